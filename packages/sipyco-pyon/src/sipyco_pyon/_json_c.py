"""JSON documents by a scanner, as `json.loads` reads them. No PYON here.

`json` itself, which takes its time to import, is needed for errors only.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Any, Final

    from sipyco_pyon._compat import Scanner

__all__: list[str] = []

_SPACE: Final = " \t\n\r"


def scan_document(scan: Scanner, text: str) -> Any:
    """Read a whole text, as `json.loads` does.

    Raises:
        json.JSONDecodeError: it is not JSON.
    """
    try:
        value, end = scan(text, 0)
    except StopIteration as exc:
        value, end = scan_after_space(scan, text, exc.value)
    if end != len(text):
        check_end(text, end)
    return value


def scan_after_space(scan: Scanner, text: str, position: int) -> tuple[Any, int]:
    """Scan a text once more, which had no value at a position, behind the space it begins with.

    Raises:
        json.JSONDecodeError: there is no value either.
    """
    start = len(text) - len(text.lstrip(_SPACE))
    if position != 0 or start == 0:
        raise _not_json(text, position) from None
    try:
        return scan(text, start)
    except StopIteration as exc:
        raise _not_json(text, exc.value) from None


def check_end(text: str, end: int) -> None:
    """Check that nothing but space follows a value.

    Raises:
        json.JSONDecodeError: something does.
    """
    rest = text[end:].lstrip(_SPACE)
    if rest:
        from json import JSONDecodeError

        raise JSONDecodeError("Extra data", text, len(text) - len(rest))


def _not_json(text: str, position: int) -> ValueError:
    """Make the error of `json.loads` for a position where no value begins."""
    from json import JSONDecodeError

    if text.startswith("\ufeff"):
        return JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)
    return JSONDecodeError("Expecting value", text, position)


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
