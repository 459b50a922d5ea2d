"""Quotes of a peer for errors and log records: short, escaped, and made in bounded time.

Nothing here raises: whoever quotes is telling of an error already. No protocol here.
"""

from __future__ import annotations

from itertools import islice

from sipyco_rpc.limits import LOGGED_ARGUMENTS, LOGGED_CALL, MAX_REASON

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

    from sipyco_rpc.support.memory import Text

__all__ = ["call_text", "excerpt", "first_words", "safe_str", "short_message", "short_repr"]


# Of a value, in `short_repr`: more would be cut all the same.
_LEVELS: Final = 3
_ITEMS: Final = 6  # a mod has at most five
_TEXT: Final = 24


_TLS_HANDSHAKE: Final = b"\x16\x03"  # how each version of it begins

_SHORT: Final = frozenset({bool, complex, float, type(None)})  # what has a short `repr` always
_BRACKETS: Final[dict[type, tuple[str, str]]] = {
    dict: ("{", "}"),
    list: ("[", "]"),
    set: ("{", "}"),
    tuple: ("(", ")"),
}


def short_repr(value: Any, limit: int = 60) -> str:
    """Show a value that a peer sent: of what may be long, its beginning or its type.

    Args:
        value: what the peer sent, decoded.
        limit: most characters of it to show.
    """
    return excerpt(_shown(value, _LEVELS), limit)


def call_text(name: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    """Show a call that a peer asks for, such as `set_attenuation(3, channel=2)`."""
    shown = [_shown(value, _LEVELS) for value in islice(args, LOGGED_ARGUMENTS + 1)]
    shown += [
        f"{key}={_shown(kwargs[key], _LEVELS)}"
        for key in islice(sorted(kwargs), LOGGED_ARGUMENTS + 1)
    ]
    if len(shown) > LOGGED_ARGUMENTS:
        shown[LOGGED_ARGUMENTS:] = ["..."]
    return excerpt(f"{name[:LOGGED_CALL]}({', '.join(shown)})", LOGGED_CALL)


def _shown(value: Any, levels: int) -> str:
    # By the type itself: one of the program's own may have any name, and any methods.
    kind = type(value)
    if kind in _SHORT or (kind is int and value.bit_length() <= 64):
        return repr(value)
    if kind is str or kind is bytes:
        return repr(value) if len(value) <= _TEXT else f"{value[:_TEXT]!r}..."
    if kind not in _BRACKETS:
        return _number(value) if kind.__module__ == "numpy" else f"<{kind.__name__}>"
    opening, closing = _BRACKETS[kind]
    items = ["..."]
    if levels:
        if kind is dict:
            pairs = islice(value.items(), _ITEMS)
            items = [f"{_shown(key, levels - 1)}: {_shown(of, levels - 1)}" for key, of in pairs]
        else:
            items = [_shown(item, levels - 1) for item in islice(value, _ITEMS)]
        if len(value) > _ITEMS:
            items.append("...")
    return f"{opening}{', '.join(items)}{closing}"


def _number(value: Any) -> str:
    """Show a number of NumPy; arrays, texts and structures may be long."""
    name = type(value).__name__
    try:
        return repr(value) if name != "ndarray" and value.dtype.kind in "biufc" else f"<{name}>"
    except Exception:  # noqa: BLE001  (the module of a program's own class may say the same)
        return f"<{name}>"


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


def first_words(data: Text, quoted: str) -> str:
    """Say what a peer begins with, in place of a banner.

    Args:
        data: what came.
        quoted: what is said of it, unless it is TLS.
    """
    if bytes(data[:2]) == _TLS_HANDSHAKE:
        return "a TLS handshake: the client uses TLS, and this server does not"
    return quoted


def short_message(exc: BaseException) -> str:
    """Show the text of an exception about what a peer sent: it may quote that."""
    return excerpt(safe_str(exc), MAX_REASON)


def safe_str(exc: BaseException) -> str:
    """Give the text of an exception, or say that it has none that can be made. Never raises.

    What a `KeyError` quotes may have too many digits, and a class of a program's own may do
    anything.
    """
    try:
        return str(exc)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  (as the docstring says)
        return "<the text of this exception could not be made>"
