"""What Pythons do differently, and what none of them promises, with a way around.

The parts of `json` that are written in C are in a private module of CPython. To be used they must
give what they should, for samples that hold everything, when this is loaded. If they do not, or
are not there, `json` itself does the work: it takes its time to be imported, and is slower. A
Python to come cannot break this.
"""

from __future__ import annotations

import sys

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


def _scanner_in_c(object_hook: Any, parse_int: Any) -> Scanner:
    scanner: Scanner = _c.make_scanner(_Options(object_hook, parse_int))
    return scanner


def _scanner_of_json(object_hook: Any, parse_int: Any) -> Scanner:
    import json

    decoder: Any = json.JSONDecoder(object_hook=object_hook, parse_int=parse_int)

    def scan(text: str, position: int) -> tuple[Any, int]:
        start = position
        if position == 0:
            start = len(text) - len(text.lstrip(" \t\n\r"))
        if text[start : start + 1] not in _BEGINNINGS:
            raise StopIteration(start)
        value, end = decoder.raw_decode(text, start)
        return value, end

    return scan


# Of a value; empty at the end of the text.
_BEGINNINGS: Final = frozenset('"{[-0123456789tfnNI')

_SCANNED: Final = (
    r'{"a" : [1, -2, 3.5e1, true,false,null, "x\n\u00e9\ud83d\ude00", [ ], NaN, -Infinity],'
    ' "b":{"c":Infinity, "d": {}}} '
)
_READ: Final = (
    r"(3, 114, [{}, {'c': inf, 'd': 1}, {'a': ['<1>', '<-2>', 35.0, True, False, None,"
    r" 'x\n\xe9\U0001f600', [], nan, -inf], 'b': 2}], {'a': [1, -2, 35.0, True, False, None,"
    r" 'x\n\xe9\U0001f600', [], nan, -inf], 'b': {'c': inf, 'd': {}}}, (3, 5))"
)


def _scans(make: Callable[[Any, Any], Scanner]) -> bool:
    """Tell whether the scanners that a function makes read what they should."""
    seen: list[Any] = []

    def hook(members: dict[str, Any]) -> Any:
        seen.append(members)
        return len(seen)

    try:
        value, end = make(hook, lambda digits: f"<{digits}>")(_SCANNED, 0)
        plain, _ = make(None, int)(_SCANNED, 0)
        return ascii((value, end, seen, plain, make(None, int)("[12]3", 4))) == _READ
    except Exception:  # noqa: BLE001  (whatever it is, it is no scanner)
        return False


def _encoder_in_c() -> Callable[[Any, int], Iterable[str]]:
    encoder: Callable[[Any, int], Iterable[str]] = _c.make_encoder(
        None, None, _c.encode_basestring_ascii, None, ":", ",", False, False, True
    )
    return encoder


def _encoder_of_json() -> Callable[[Any, int], Iterable[str]]:
    import json

    encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
    return lambda value, level: (encode(value),)


_TEXT: Final = 'x"\\\n\0\x7f/\u00e9\U0001f600' + chr(0xD800)  # mypyc takes it in no literal
_IN_ASCII: Final = '"x\\"\\\\\\n\\u0000\\u007f/\\u00e9\\ud83d\\ude00\\ud800"'
_IN_UNICODE: Final = '"x\\"\\\\\\n\\u0000\x7f/\u00e9\U0001f600' + chr(0xD800) + '"'

_PLAIN: Final[dict[str, Any]] = {
    "b": [1, -2, 0.5, 1e300, float("nan"), float("-inf"), None, _TEXT, [], {}],
    "\u00e9": {"a": True, "c": False},
}
_WRITTEN: Final = (
    f'{{"b":[1,-2,0.5,1e+300,NaN,-Infinity,null,{_IN_ASCII},[],{{}}],'
    '"\\u00e9":{"a":true,"c":false}}'
)


def _encodes(make: Callable[[], Callable[[Any, int], Iterable[str]]]) -> bool:
    """Tell whether the encoder that a function makes writes what it should."""
    try:
        encode = make()
        return ["".join(encode(x, 0)) for x in (_PLAIN, _TEXT)] == [_WRITTEN, _IN_ASCII]
    except Exception:  # noqa: BLE001  (whatever it is, it is no encoder)
        return False


def _strings_in_c() -> tuple[Callable[[str], str], Callable[[str], str]]:
    return _c.encode_basestring_ascii, _c.encode_basestring


def _strings_of_json() -> tuple[Callable[[str], str], Callable[[str], str]]:
    import json

    return json.JSONEncoder().encode, json.JSONEncoder(ensure_ascii=False).encode


def _writes_strings(make: Callable[[], tuple[Callable[[str], str], Callable[[str], str]]]) -> bool:
    """Tell whether the functions that a function gives write strings as they should."""
    try:
        in_ascii, in_unicode = make()
        return (in_ascii(_TEXT), in_unicode(_TEXT)) == (_IN_ASCII, _IN_UNICODE)
    except Exception:  # noqa: BLE001  (whatever they are, they are not those)
        return False


# Makes a scanner that hands each object to a hook, which gives what to take for it.
_make_scanner: Final[Any] = _scanner_in_c if _scans(_scanner_in_c) else _scanner_of_json


def make_scanner(object_hook: Any, parse_int: Any = int) -> Scanner:
    """Make a scanner that hands each object to a hook, which gives what to take for it.

    It raises `StopIteration` with the position where no value begins.
    """
    scanner: Scanner = _make_scanner(object_hook, parse_int)
    return scanner


# Gives the pieces of the text of a plain JSON value. The second argument is 0.
encode_plain: Final[Any] = _encoder_in_c() if _encodes(_encoder_in_c) else _encoder_of_json()

_strings: Final = _strings_in_c() if _writes_strings(_strings_in_c) else _strings_of_json()

# Give the text of a string: in ASCII, or with other characters as they are.
encode_string: Final[Any] = _strings[0]
encode_string_unicode: Final[Any] = _strings[1]


def load_errors() -> bool:
    """Load the class of a scanner's errors, after a `SystemError`; tell whether it was missing.

    The scanner in C of CPython 3.11 does not load it itself, and then fails without an error.
    """
    if "json.decoder" in sys.modules:
        return False
    import json.decoder  # noqa: F401

    return True


def beyond_digit_limit(text: str) -> bool:
    """Tell whether a text has more digits in a row than the interpreter takes for an integer.

    Its error is an ordinary `ValueError`, whose text is nobody's promise.
    """
    limit = sys.get_int_max_str_digits()
    if limit == 0:
        return False
    digits = "0123456789"
    # So many digits in a row stand at one of these places.
    for place in range(limit, len(text), limit + 1):
        if text[place] in digits:
            before, after = text[place - limit : place], text[place : place + limit + 1]
            run = len(before) - len(before.rstrip(digits)) + len(after) - len(after.lstrip(digits))
            if run > limit:
                return True
    return False
