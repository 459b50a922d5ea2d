"""The parts of `json` that are written in C, made once. No PYON here.

`json` itself, which takes its time to import, is needed for errors and options only, and where
these parts do not exist.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

    # Scans one value that begins at a position, gives it and the position after it.
    Scanner = Callable[[str, int], tuple[Any, int]]

__all__: list[str] = []

_c: Any = None
try:
    import _json
except ImportError:
    pass  # an interpreter without them
else:
    _c = _json


class _Options:
    """What a scanner in C asks for when it is made: the defaults of `json.loads`, and a hook."""

    def __init__(self, object_hook: Any, parse_int: Any) -> None:
        self.strict = True
        self.object_hook = object_hook
        self.object_pairs_hook: Any = None
        self.array_hook: Any = None  # since Python 3.15
        self.parse_float: Any = float
        self.parse_int = parse_int
        self.parse_constant: Any = _CONSTANTS.__getitem__


_CONSTANTS: Final[dict[str, float]] = {
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


def make_scanner(object_hook: Any, parse_int: Any = int) -> Scanner:
    """Make a scanner that hands each object to a hook, which gives what to take for it."""
    scanner: Scanner
    if _c is not None:
        scanner = _c.make_scanner(_Options(object_hook, parse_int))
    else:
        import json

        decoder: Any = json.JSONDecoder(object_hook=object_hook, parse_int=parse_int)
        scanner = decoder.scan_once
    return scanner


def _make_encoder() -> Callable[[Any, int], Iterable[str]]:
    if _c is not None:
        encoder: Callable[[Any, int], Iterable[str]] = _c.make_encoder(
            None, None, _c.encode_basestring_ascii, None, ":", ",", False, False, True
        )
        return encoder
    import json

    iterate = json.JSONEncoder(check_circular=False, separators=(",", ":")).iterencode
    return lambda value, level: iterate(value)


def _string_encoders() -> tuple[Callable[[str], str], Callable[[str], str]]:
    if _c is not None:
        return _c.encode_basestring_ascii, _c.encode_basestring
    from json import encoder

    return encoder.py_encode_basestring_ascii, encoder.py_encode_basestring


# Gives the pieces of the text of a plain JSON value. The second argument is 0.
encode_plain: Final[Any] = _make_encoder()

# Give the text of a string: in ASCII, or with other characters as they are.
encode_string: Final[Any] = _string_encoders()[0]
encode_string_unicode: Final[Any] = _string_encoders()[1]

_SPACE: Final = " \t\n\r"


def load_errors() -> bool:
    """Load the class of a scanner's errors, after a `SystemError`; tell whether it was missing.

    The scanner in C of CPython 3.11 does not load it itself, and then fails without an error.
    """
    import sys

    if "json.decoder" in sys.modules:
        return False
    import json.decoder  # noqa: F401

    return True


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
