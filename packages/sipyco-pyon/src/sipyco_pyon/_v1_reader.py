"""The reader of PYON v1: values from syntax trees. Nothing is evaluated here."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any, Final

from sipyco_pyon._bigint import check_digits
from sipyco_pyon._hash_flooding import HashFloodingGuard
from sipyco_pyon._registry import TAG
from sipyco_pyon._tag_decoder import TagDecoder

__all__: list[str] = []

_NAMES: Final[dict[str, Any]] = {
    "null": None,
    "true": True,
    "false": False,
    "inf": float("inf"),
    "nan": float("nan"),
    "infj": complex(0, float("inf")),
    "nanj": complex(0, float("nan")),
}

# The first half of what JSON escapes as two characters.
_HALF: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def _joined(text: str) -> str:
    """Join the halves of characters beyond U+FFFF, as JSON does; others stay as they are."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


_CALLS: Final = frozenset({"Fraction", "OrderedDict", "nparray", "npscalar", "slice"})


class Reader:
    """Turns the syntax tree of a text into its value; nothing is evaluated."""

    def __init__(self, numbers: list[int]) -> None:
        # The values of the integers that stand in the text by their position in this list.
        self._numbers = numbers
        self._tag_decoder = TagDecoder(HashFloodingGuard())

    def read(self, node: ast.expr) -> Any:
        reader = _READERS.get(type(node))
        if reader is None:
            raise ValueError(f"not part of PYON v1: {type(node).__name__}")
        return reader(self, node)

    def _decode(self, name: str, arguments: list[Any]) -> Any:
        return self._tag_decoder.decode_tag({TAG: [name, arguments]})

    def _constant(self, node: ast.Constant) -> Any:
        value: Any = node.value
        if value is Ellipsis:
            raise ValueError("not part of PYON v1: ...")
        if type(value) is int:
            check_digits(value)  # it may be hexadecimal
        elif type(value) is str and not value.isascii() and _HALF.search(value):
            return _joined(value)
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
        if any(key is None for key in node.keys):
            raise ValueError("not part of PYON v1: **")
        return self._decode(
            "dict",
            [
                [
                    [self.read(key), self.read(value)]
                    for key, value in zip(node.keys, node.values, strict=True)
                    if key is not None
                ]
            ],
        )

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


_READERS: Final[dict[type, Callable[[Reader, Any], Any]]] = {
    ast.Constant: Reader._constant,
    ast.Name: Reader._name,
    ast.List: Reader._list,
    ast.Tuple: Reader._tuple,
    ast.Set: Reader._set,
    ast.Dict: Reader._dict,
    ast.UnaryOp: Reader._sign,
    ast.BinOp: Reader._sum,
    ast.Call: Reader._call,
}
