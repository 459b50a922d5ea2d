"""PYON v1: the older dialect, which resembles Python source.

Programs from before 2025 speak it. Reading evaluates nothing: the text is parsed, and only what
the format consists of is accepted. New programs use `pyon`.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from os import PathLike
from typing import Any, Final

from sipyco_pyon._bigint import check_digits, to_decimal
from sipyco_pyon._collisions import Collisions
from sipyco_pyon._cycles import circular
from sipyco_pyon._rebuild import Rebuilder
from sipyco_pyon._registry import advice, further_numpy_class
from sipyco_pyon._v1_text import check_size, take_numbers
from sipyco_pyon.files import read_text, replace_text
from sipyco_pyon.pyon import is_fraction, numpy_class, shown

__all__ = ["decode", "encode", "load_file", "store_file"]

_INDENT: Final = 4  # spaces for each level of the pretty form

# The scalars that the dialect knows: those with a size in their names.
_SCALARS: Final = frozenset(
    f"{kind}{size}"
    for kind, sizes in {
        "int": (8, 16, 32, 64),
        "uint": (8, 16, 32, 64),
        "float": (16, 32, 64),
        "complex": (64, 128),
    }.items()
    for size in sizes
)


# What a slice shows in a way that is read back.
_SHOWN: Final = frozenset({bool, float, int, str, type(None)})


class _Writer:
    """Turn a value into text."""

    def __init__(self, pretty: bool) -> None:
        self._pretty = pretty
        self._level = 0

    def write(self, value: Any) -> str:
        writer = _WRITERS.get(type(value))
        if writer is not None:
            return writer(self, value)
        if is_fraction(value):
            return f"Fraction({self.write(value.numerator)}, {self.write(value.denominator)})"
        kind = numpy_class(value)
        if kind == "array":
            return self._array(value)
        if kind in _SCALARS or further_numpy_class(value) == "integer":
            return self._scalar(value)
        raise TypeError(
            f"`{shown(value)}` ({type(value)}) is not PYON serializable" + advice(value)
        )

    def _items(self, values: Any) -> str:
        return ", ".join([self.write(value) for value in values])

    def _none(self, value: None) -> str:
        return "null"

    def _bool(self, value: bool) -> str:
        return "true" if value else "false"

    def _int(self, value: int) -> str:
        return to_decimal(value)

    def _repr(self, value: Any) -> str:
        return repr(value)

    def _str(self, value: str) -> str:
        return json.dumps(value).replace("\x7f", "\\u007f")

    def _list(self, value: list[Any]) -> str:
        return f"[{self._items(value)}]"

    def _tuple(self, value: tuple[Any, ...]) -> str:
        return f"({self.write(value[0])}, )" if len(value) == 1 else f"({self._items(value)})"

    def _set(self, value: set[Any]) -> str:
        # `{}` would be read as a dictionary, by every reader.
        return f"{{{self._items(value)}}}" if value else "{*()}"

    def _dict(self, value: dict[Any, Any]) -> str:
        if not self._pretty or len(value) < 2:
            return f"{{{', '.join(self._pairs(value, list(value)))}}}"
        keys = list(value)
        if all(isinstance(key, str) for key in keys):
            keys.sort()
        self._level += 1
        indent = "\n" + " " * (_INDENT * self._level)
        text = "{" + indent + ("," + indent).join(self._pairs(value, keys))
        self._level -= 1
        return text + "\n" + " " * (_INDENT * self._level) + "}"

    def _pairs(self, value: dict[Any, Any], keys: list[Any]) -> list[str]:
        return [f"{self.write(key)}: {self.write(value[key])}" for key in keys]

    def _slice(self, value: slice) -> str:
        bounds = (value.start, value.stop, value.step)
        return f"slice({', '.join([self._bound(bound) for bound in bounds])})"

    def _bound(self, bound: Any) -> str:
        """Write a bound of a slice as Python shows it, if that can be read back."""
        text = self.write(bound)
        items = bound if type(bound) is tuple else (bound,)
        if _SHOWN.issuperset(map(type, items)):
            try:
                return repr(bound)
            except ValueError:
                pass  # an integer beyond the interpreter's limit of digits
        return text

    def _ordered_dict(self, value: OrderedDict[Any, Any]) -> str:
        pairs = [f"({self.write(key)}, {self.write(item)})" for key, item in value.items()]
        return f"OrderedDict([{', '.join(pairs)}])"

    def _array(self, value: Any) -> str:
        from sipyco_pyon import _numpy

        shape, dtype, data = _numpy.array_arguments(value)
        text = data.decode("ascii")
        return f'nparray({self._tuple(tuple(shape))}, {self.write(dtype)}, b"{text}")'

    def _scalar(self, value: Any) -> str:
        from sipyco_pyon import _numpy

        dtype, data = _numpy.scalar_arguments(value)
        return f'npscalar({self.write(dtype)}, b"{data.decode("ascii")}")'


_WRITERS: Final[dict[type, Callable[[_Writer, Any], str]]] = {
    type(None): _Writer._none,
    bool: _Writer._bool,
    int: _Writer._int,
    float: _Writer._repr,
    complex: _Writer._repr,
    bytes: _Writer._repr,
    str: _Writer._str,
    list: _Writer._list,
    tuple: _Writer._tuple,
    set: _Writer._set,
    dict: _Writer._dict,
    slice: _Writer._slice,
    OrderedDict: _Writer._ordered_dict,
}


def encode(x: Any, pretty: bool = False) -> str:
    """Write a value as PYON v1.

    Args:
        x: the value. Exact classes only: a subclass is not taken for its base.
        pretty: spread dictionaries over several lines.

    Raises:
        TypeError: a value of a type that cannot be encoded; the text shows it.
        ValueError: a structure contains itself, or an integer has more than 100,000 digits.
        RecursionError: a structure is nested too deeply.
    """
    try:
        return _Writer(pretty).write(x)
    except RecursionError:
        error = circular(x)
        if error is None:
            raise
    raise error


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


class _Reader:
    """Turn the syntax tree of a text into its value; nothing is evaluated."""

    def __init__(self, numbers: list[int]) -> None:
        # The values of the integers that stand in the text by their position in this list.
        self._numbers = numbers
        self._rebuilder = Rebuilder(Collisions())

    def read(self, node: ast.expr) -> Any:
        reader = _READERS.get(type(node))
        if reader is None:
            raise ValueError(f"not part of PYON v1: {type(node).__name__}")
        return reader(self, node)

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
        return self._rebuilder.rebuild("set", [[self.read(item) for item in node.elts]])

    def _dict(self, node: ast.Dict) -> Any:
        if any(key is None for key in node.keys):
            raise ValueError("not part of PYON v1: **")
        return self._rebuilder.rebuild(
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
        return self._rebuilder.rebuild(name, [self.read(argument) for argument in node.args])


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


def _parse(text: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a backslash that means nothing is no news to a reader
        return ast.parse(text, "<pyon>", "eval").body


def decode(s: str) -> Any:
    """Read a value from PYON v1.

    Raises:
        ValueError: it is not PYON v1, or a value in it is malformed. An integer has more than
            100,000 digits, or the text more than 2,097,152 items, of which an array is one.
        ImportError: it holds NumPy values, and NumPy is not installed.
        RecursionError: it is nested too deeply.
    """
    check_size(s)
    return _decode(s)


def _decode(s: str) -> Any:
    """Read a value from a text of any length."""
    text, numbers = take_numbers(s.strip(" \t"))
    try:
        tree = _parse(text)
    except (SyntaxError, ValueError, MemoryError) as exc:
        # The parser's ways to say no; MemoryError is what it says of deep nesting.
        raise ValueError(f"not PYON v1: {str(exc) or 'nested too deeply'}") from exc
    return _Reader(numbers).read(tree)


def store_file(filename: str | PathLike[str], x: Any) -> None:
    """Write a value to a file in the pretty form, atomically; see `pyon.store_file`."""
    replace_text(filename, encode(x, pretty=True) + "\n")


def load_file(filename: str | PathLike[str]) -> Any:
    """Read a value from a file, which may be of any length; see `decode`."""
    return _decode(read_text(filename))
