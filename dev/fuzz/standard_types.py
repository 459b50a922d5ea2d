"""The standard types of PYON, switched on for a while: for targets and tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sipyco_pyon import _registry, _tag_decoder, pyon

__all__ = ["standard_types", "types_restored"]


@contextmanager
def standard_types(*classes: type, **named: type) -> Iterator[None]:
    """Switch them on as `pyon.register_standard_types` does, and off at the end."""
    with types_restored():
        pyon.register_standard_types(*classes, **named)
        yield


@contextmanager
def types_restored() -> Iterator[None]:
    """Take back at the end what was registered meanwhile."""
    tables: list[dict[Any, Any]] = [
        _registry._encoders,
        _registry._decoders,
        _tag_decoder._BUILT_IN,
    ]
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for table, content in zip(tables, before, strict=True):
            table.clear()
            table.update(content)
