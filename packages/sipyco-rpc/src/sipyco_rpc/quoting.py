"""What errors and log records quote of a peer: short, escaped, and made in bounded time.

Nothing here raises: whoever quotes is telling of an error already. No protocol here.
"""

from __future__ import annotations

import reprlib

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Any, Final

    from sipyco_rpc.framing import Text

__all__ = ["brief", "excerpt", "reason_of", "text_of"]

_MAX_REASON: Final = 300  # characters; ours are shorter, but not what they quote
_SHORT: Final = frozenset({bool, complex, float, type(None)})  # what has a short `repr` always


class _Brief(reprlib.Repr):
    """Looks at the beginning of collections, and at no array: their text may take minutes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxdict = 6  # a mod has at most five
        self.maxlevel = 3  # six times as much in each

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= 64 else "<int>"

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x) if type(x) in _SHORT else f"<{type(x).__name__}>"


_brief: Final = _Brief()


def brief(value: Any, limit: int = 60) -> str:
    """Show a value that a peer sent: of what may be long, its beginning or its type.

    Args:
        value: what the peer sent, decoded.
        limit: most characters of it to show.
    """
    return excerpt(_brief.repr(value), limit)


def excerpt(data: Text | str, limit: int = 60) -> str:
    """Show the beginning of what a peer sent in an error message.

    Bytes are shown as a literal. A text is shown without quotes, as names stand in backticks:
    what a terminal or a reader of logs may take for something else is escaped.

    Args:
        data: what the peer sent.
        limit: most bytes or characters of it to show.
    """
    if isinstance(data, str):
        # Not `repr`, which doubles backslashes: the text of an exception may have reprs in it.
        shown = "".join([c if c.isprintable() else ascii(c)[1:-1] for c in data[:limit]])
        unit = "characters"
    else:
        shown, unit = repr(bytes(data[:limit]))[1:], "bytes"
    return shown if len(data) <= limit else f"{shown}… ({len(data)} {unit})"


def reason_of(exc: BaseException) -> str:
    """Show the text of an exception about what a peer sent: it may quote that."""
    return excerpt(text_of(exc), _MAX_REASON)


def text_of(exc: BaseException) -> str:
    """Give the text of an exception, or say that it has none that can be made. Never raises.

    What a `KeyError` quotes may have too many digits, and a class of a program's own may do
    anything.
    """
    try:
        return str(exc)
    except Exception:  # noqa: BLE001  (as the docstring says)
        return "<the text of this exception could not be made>"
