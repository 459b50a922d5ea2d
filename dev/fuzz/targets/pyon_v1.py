"""`pyon_v1.decode`: any text."""

from __future__ import annotations

from typing import Any

from dev.fuzz.compare import canonical
from sipyco_pyon import pyon_v1

__all__ = ["one_input"]


def one_input(data: bytes) -> None:
    """Read a text, and write what came of it."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        value: Any = pyon_v1.decode(text)
    except (ValueError, ImportError, RecursionError):
        return
    try:
        expected = canonical(value)
        written = pyon_v1.encode(value)
        pretty = pyon_v1.encode(value, pretty=True)
    except RecursionError:
        return  # writing may give up earlier than reading
    except TypeError as exc:
        # Scalars that the dialect reads and does not write: those of NumPy without a size.
        if "npscalar" in text and "is not PYON serializable" in str(exc):
            return
        raise
    assert canonical(pyon_v1.decode(written)) == expected, written
    # The pretty form puts the keys of dictionaries in order.
    assert _unordered(canonical(pyon_v1.decode(pretty))) == _unordered(expected), pretty


def _unordered(value: Any) -> Any:
    """Give a canonical value without the order of its dictionaries."""
    if not isinstance(value, tuple):
        return value
    items = [_unordered(item) for item in value]
    return (*items[:1], *sorted(items[1:], key=repr)) if items[:1] == ["dict"] else tuple(items)
