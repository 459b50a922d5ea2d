"""The reader of PYON v1: values from Python's syntax trees. Nothing is evaluated here."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from typing import Any, Final

from sipyco_pyon._bigint import check_digits, from_decimal
from sipyco_pyon._hash_flooding import HashFloodingGuard
from sipyco_pyon._registry import TAG
from sipyco_pyon._tag_decoder import TagDecoder
from sipyco_pyon.limits import MAX_V1_ITEMS

# A number that Python's own parser may refuse for its length.
_LONG_NUMBER: Final = re.compile(r"(?<![0-9])[0-9]{600,}")

# A string that is not terminated goes on to the end, or its quotes would all be looked at as
# beginnings of others.
_STRING: Final = (
    r'''"""(?:[^"\\]++|\\.|"(?!""))*+(?:""")?|"[^"\\]*+(?:\\.[^"\\]*+)*+"?'''
    r"""|'''(?:[^'\\]++|\\.|'(?!''))*+(?:''')?|'[^'\\]*+(?:\\.[^'\\]*+)*+'?"""
)
_STRING_OR_NUMBER: Final = re.compile(
    rf"{_STRING}|(?<![\w.])(?P<number>[0-9]{{600,}})(?![\w.])", re.DOTALL
)

# A comment may have what looks like the beginning of a string.
_STRING_OR_COMMENT: Final = re.compile(rf"{_STRING}|#[^\r\n]*", re.DOTALL)

# What makes a string one with expressions in it, just before its first quote.
_FORMATTED: Final = re.compile(r"(?:[ft]r?|r[ft])\Z", re.IGNORECASE)

# What Python's parser makes something of, beside strings: a character that is not part of a name
# or a number, or a word after another one. A list of numbers has one for each, the comma; a sign
# is part of its number where it cannot be an operator.
_ITEM: Final = re.compile(
    r"[^\w\s.+-]|(?<![\s,(\[{:=])[+-]|[+-](?![\d.])|\.(?![0-9])|(?<=\w)\s+(?=[\w+-])"
)

_SLICE: Final = 64 * 1024  # characters to look at in one go

_NAMES: Final[dict[str, Any]] = {
    "null": None,
    "true": True,
    "false": False,
    "inf": float("inf"),
    "nan": float("nan"),
    "infj": complex(0, float("inf")),
    "nanj": complex(0, float("nan")),
}

# The halves of a character beyond U+FFFF, which JSON escapes as two.
_HALVES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")

_CALLS: Final = frozenset({"Fraction", "OrderedDict", "nparray", "npscalar", "slice"})


class _Reader:
    """Turns the syntax tree of a text into its value; nothing is evaluated."""

    def __init__(self, numbers: list[int]) -> None:
        # The values of the integers that stand in the text by their position in this list.
        self._numbers = numbers
        self._tags = TagDecoder(HashFloodingGuard())

    def read(self, node: ast.expr) -> Any:
        reader = _READERS.get(type(node))
        if reader is None:
            raise ValueError(f"not part of PYON v1: {type(node).__name__}")
        return reader(self, node)

    def _decode(self, name: str, arguments: list[Any]) -> Any:
        return self._tags.decode_tag({TAG: [name, arguments]})

    def _constant(self, node: ast.Constant) -> Any:
        value: Any = node.value
        if value is Ellipsis:
            raise ValueError("not part of PYON v1: ...")
        if type(value) is int:
            check_digits(value)  # it may be hexadecimal
        elif type(value) is str and not value.isascii() and _HALVES.search(value):
            # As JSON does, join the halves of characters; others stay as they are.
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return value

    def _name(self, node: ast.Name) -> Any:
        if node.id in _NAMES:
            return _NAMES[node.id]
        if node.id.startswith("_long_") and node.id[6:].isdecimal():
            index = int(node.id[6:])
            if index < len(self._numbers):
                return self._numbers[index]
        raise ValueError(f"not part of PYON v1: the name `{node.id}`")

    def _list(self, node: ast.List) -> Any:
        return [self.read(item) for item in node.elts]

    def _tuple(self, node: ast.Tuple) -> Any:
        return tuple([self.read(item) for item in node.elts])

    def _set(self, node: ast.Set) -> Any:
        if len(node.elts) == 1 and isinstance(node.elts[0], ast.Starred):
            starred = node.elts[0].value
            if isinstance(starred, ast.Tuple) and not starred.elts:
                return set()  # `{*()}`
        return self._decode("set", [[self.read(item) for item in node.elts]])

    def _dict(self, node: ast.Dict) -> Any:
        pairs = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise ValueError("not part of PYON v1: **")
            pairs.append([self.read(key), self.read(value)])
        return self._decode("dict", [pairs])

    def _sign(self, node: ast.UnaryOp) -> Any:
        value = self.read(node.operand)
        if isinstance(node.op, (ast.USub, ast.UAdd)) and type(value) in (int, float, complex):
            return -value if isinstance(node.op, ast.USub) else value
        raise ValueError("not part of PYON v1: an operator before anything but a number")

    def _sum(self, node: ast.BinOp) -> Any:
        left, right = self.read(node.left), self.read(node.right)
        if type(left) in (int, float) and type(right) is complex:
            # The sign of an imaginary zero is kept, as Python does from 3.14 on, not before.
            try:
                if isinstance(node.op, ast.Add):
                    return complex(left + right.real, right.imag)
                if isinstance(node.op, ast.Sub):
                    return complex(left - right.real, -right.imag)
            except OverflowError as exc:
                raise ValueError(f"not PYON v1: {exc}") from exc
        raise ValueError("not part of PYON v1: an operator but in a complex number")

    def _call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in _CALLS or node.keywords:
            raise ValueError(f"not part of PYON v1: a call of {name or 'an expression'}")
        return self._decode(name, [self.read(argument) for argument in node.args])


_READERS: Final[dict[type, Callable[[_Reader, Any], Any]]] = {
    ast.Constant: _Reader._constant,
    ast.Name: _Reader._name,
    ast.List: _Reader._list,
    ast.Tuple: _Reader._tuple,
    ast.Set: _Reader._set,
    ast.Dict: _Reader._dict,
    ast.UnaryOp: _Reader._sign,
    ast.BinOp: _Reader._sum,
    ast.Call: _Reader._call,
}


def check_size(text: str) -> None:
    """Raise `ValueError` if a text would take too much memory."""
    if len(text) <= MAX_V1_ITEMS:
        return
    count, position = 0, 0
    for match in _STRING_OR_COMMENT.finditer(text):
        start = match.start()
        if _FORMATTED.search(text, max(position, start - 2), start):
            raise ValueError("not part of PYON v1: a string with expressions in it")
        count += 1 + _items(text, position, start)
        position = match.end()
        if count > MAX_V1_ITEMS:
            break
    if count + _items(text, position, len(text)) > MAX_V1_ITEMS:
        raise ValueError(
            f"not PYON v1: it has more than {MAX_V1_ITEMS} items; "
            "an array is one, and PYON v2 has no such limit"
        )


def _items(text: str, start: int, end: int) -> int:
    """Count what there is between two strings, as far as it matters."""
    count = 0
    for begin in range(start, end, _SLICE):
        count += len(_ITEM.findall(text, begin, min(begin + _SLICE, end)))
        if count > MAX_V1_ITEMS:
            break
    return count


def _take_numbers(text: str) -> tuple[str, list[int]]:
    """Put names in the places of the integers that the parser may refuse for their length.

    Returns:
        The text, in which `_long_0` stands for the first one, and the integers.

    Raises:
        ValueError: one of them is too long.
    """
    numbers: list[int] = []

    def stand_in(match: re.Match[str]) -> str:
        if match["number"] is None:
            return match[0]
        numbers.append(from_decimal(match["number"]))
        return f"_long_{len(numbers) - 1}"

    if _LONG_NUMBER.search(text):
        text = _STRING_OR_NUMBER.sub(stand_in, text)
    return text, numbers


def read(text: str) -> Any:
    """Read a value from a text of any length; see `pyon_v1.decode`."""
    text, numbers = _take_numbers(text.strip(" \t"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a backslash that means nothing
            tree = ast.parse(text, "<pyon>", "eval").body
    except (SyntaxError, ValueError, MemoryError) as exc:
        # The parser's ways to say no; MemoryError is what it says of deep nesting.
        raise ValueError(f"not PYON v1: {str(exc) or 'nested too deeply'}") from exc
    return _Reader(numbers).read(tree)
