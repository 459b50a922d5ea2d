"""JSON around a scanner in C: encodings, and what follows a value. No PYON here.

`json` itself, which takes its time to import, is needed for errors only.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Final

__all__: list[str] = []

_SPACE: Final = " \t\n\r"


def check_end(text: str, end: int) -> None:
    """Check that nothing but space follows a value.

    Raises:
        json.JSONDecodeError: something does.
    """
    rest = text[end:].lstrip(_SPACE)
    if rest:
        from json import JSONDecodeError

        raise JSONDecodeError("Extra data", text, len(text) - len(rest))


def encoding_of(source: bytes | bytearray) -> str:
    """Tell the encoding of bytes that hold JSON by the first of them."""
    first = source[:4]
    if len(first) == 4 and first.isascii() and 0 not in first:
        return "utf-8"  # as nearly always; there may be no descriptor left to load `json` with
    from json import detect_encoding

    return detect_encoding(source)


def to_text(source: bytes | bytearray) -> str:
    """Decode bytes that hold JSON, as `json.loads` does.

    Raises:
        UnicodeDecodeError: they hold no text.
    """
    return source.decode(encoding_of(source), "surrogatepass")
