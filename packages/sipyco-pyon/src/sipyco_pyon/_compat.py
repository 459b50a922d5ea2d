"""Private parts of CPython, used where they are as they are known; else `json` does the work.

The parts of `json` that are written in C are in the private module `_json`. They are used as they
are in CPython 3.11 to 3.15: when this is loaded, they must give what they should, for samples that
hold everything. If they do not, or are not there, `json` itself takes its time to be imported, and
is slower. A Python to come cannot break this.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    # Scans one value that begins at a position, gives it and the position after it.
    Scanner = Callable[[str, int], tuple[Any, int]]

_c: Any = None
try:
    import _json
except ImportError:
    pass  # an interpreter without them
else:
    _c = _json


def _as_known(check: Callable[[Any], bool], in_c: Any) -> bool:
    """Tell whether what is in C passes a check."""
    try:
        return check(in_c)
    except Exception:  # noqa: BLE001  (whatever it is, it is not what is known)
        return False


# `_json.make_scanner`


class _Options:
    """What a scanner in C asks for when it is made: the defaults of `json.loads`, and a hook."""

    def __init__(self, object_hook: Any) -> None:
        self.strict = True
        self.object_hook = object_hook
        self.object_pairs_hook: Any = None
        self.array_hook: Any = None  # since Python 3.15
        self.parse_float: Any = float
        self.parse_int: Any = int
        self.parse_constant: Any = _CONSTANTS.__getitem__


_CONSTANTS: Final[dict[str, float]] = {
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


def _scanner_in_c(object_hook: Any) -> Scanner:
    scanner: Scanner = _c.make_scanner(_Options(object_hook))
    return scanner


def _scanner_of_json(object_hook: Any) -> Scanner:
    import json

    decoder: Any = json.JSONDecoder(object_hook=object_hook)

    def scan(text: str, position: int) -> tuple[Any, int]:
        if text[position : position + 1] not in _BEGINNINGS:
            raise StopIteration(position)
        value, end = decoder.raw_decode(text, position)
        return value, end

    return scan


# Of a value; empty at the end of the text.
_BEGINNINGS: Final = frozenset('"{[-0123456789tfnNI')

_SCANNED: Final = (
    r'{"a" : [1, -2, 3.5e1, true,false,null, "x\n\u00e9\ud83d\ude00", [ ], NaN, -Infinity],'
    ' "b":{"c":Infinity, "d": {}}} '
)
_READ: Final = (
    r"(3, 114, [{}, {'c': inf, 'd': 1}, {'a': [1, -2, 35.0, True, False, None,"
    r" 'x\n\xe9\U0001f600', [], nan, -inf], 'b': 2}], {'a': [1, -2, 35.0, True, False, None,"
    r" 'x\n\xe9\U0001f600', [], nan, -inf], 'b': {'c': inf, 'd': {}}}, (3, 5))"
)


def _scans(make: Callable[[Any], Scanner]) -> bool:
    """Tell whether the scanners that a function makes read what they should."""
    seen: list[Any] = []

    def hook(members: dict[str, Any]) -> Any:
        seen.append(members)
        return len(seen)

    value, end = make(hook)(_SCANNED, 0)
    plain, _ = make(None)(_SCANNED, 0)
    return ascii((value, end, seen, plain, make(None)("[12]3", 4))) == _READ


# Makes a scanner that hands each object to a hook, if there is one, which gives what to take for
# it. It raises `StopIteration` with the position where no value begins, space included.
make_scanner: Final[Callable[[Any], Scanner]] = (
    _scanner_in_c if _as_known(_scans, _scanner_in_c) else _scanner_of_json
)


def load_errors() -> bool:
    """Load the class of a scanner's errors, after a `SystemError`; tell whether it was missing.

    The scanner in C of CPython 3.11 does not load it itself, and then fails without an error.
    """
    if "json.decoder" in sys.modules:
        return False
    import json.decoder  # noqa: F401

    return True


# `_json.make_encoder`, and `_json.encode_basestring_ascii`


def _encoders_in_c() -> tuple[Any, Any]:
    encode_string = _c.encode_basestring_ascii
    return _c.make_encoder(
        None, None, encode_string, None, ":", ",", False, False, True
    ), encode_string


def _encoders_of_json() -> tuple[Any, Any]:
    import json

    encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
    return (lambda value, level: (encode(value),)), encode


_TEXT: Final = 'x"\\\n\0\x7f/\u00e9\U0001f600' + chr(0xD800)  # mypyc takes it in no literal
_WRITTEN_TEXT: Final = '"x\\"\\\\\\n\\u0000\\u007f/\\u00e9\\ud83d\\ude00\\ud800"'
_PLAIN: Final[dict[str, Any]] = {
    "b": [1, -2, 0.5, 1e300, float("nan"), float("-inf"), None, _TEXT, [], {}],
    "\u00e9": {"a": True, "c": False},
}
_WRITTEN: Final = (
    f'{{"b":[1,-2,0.5,1e+300,NaN,-Infinity,null,{_WRITTEN_TEXT},[],{{}}],'
    '"\\u00e9":{"a":true,"c":false}}'
)


def _encodes(make: Callable[[], tuple[Any, Any]]) -> bool:
    """Tell whether the encoders that a function makes write what they should."""
    encode, encode_string = make()
    texts = ["".join(encode(_PLAIN, 0)), "".join(encode(_TEXT, 0)), encode_string(_TEXT)]
    return texts == [_WRITTEN, _WRITTEN_TEXT, _WRITTEN_TEXT]


_encoders: Final = _encoders_in_c() if _as_known(_encodes, _encoders_in_c) else _encoders_of_json()

# Gives the pieces of the text of a plain JSON value. The second argument is 0.
encode_plain: Final[Any] = _encoders[0]

encode_string: Final[Any] = _encoders[1]  # in ASCII


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
