"""The writer of PYON v1: values as text that resembles Python source."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from sipyco_pyon._base64 import b64text
from sipyco_pyon._bigint import to_decimal
from sipyco_pyon._registry import (
    _numpy_scalar,
    further_numpy_kind,
    is_fraction,
    numpy_kind,
    safe_repr,
)
from sipyco_pyon._tag_decoder import numpy_codec

_INDENT: Final = 4  # spaces for each level of the pretty form

# The scalars that the dialect knows: numbers with a size in their names.
_SCALARS: Final = frozenset(
    name for name in _numpy_scalar if name[-1].isdigit() and "time" not in name
)

# What a slice shows in a way that is read back.
_SHOWN: Final = frozenset({bool, float, int, str, type(None)})


class Writer:
    """Turns a value into text.

    Attributes:
        places: of what could not be written, where it is in what is around it, from inside out.
        refused: a value of an unknown type; it is what could not be written.
    """

    def __init__(self, pretty: bool) -> None:
        self.places: list[tuple[Any, Any, Any]] = []
        self.refused: tuple[Any] | None = None
        self._pretty = pretty
        self._level = 0

    def write(self, value: Any) -> str:
        writer = _WRITERS.get(type(value))
        if writer is not None:
            return writer(self, value)
        if is_fraction(type(value)):
            return f"Fraction({self.write(value.numerator)}, {self.write(value.denominator)})"
        kind = numpy_kind(type(value))
        if kind == "array":
            return self._array(value)
        if kind in _SCALARS or further_numpy_kind(type(value)) == "integer":
            return self._scalar(value)
        self.refused = (value,)
        raise TypeError(f"`{safe_repr(value)}` ({type(value)}) is not PYON serializable")

    def _within(self, kind: str, container: Any, inner: Any, value: Any) -> str:
        """Write what is in a container; if it cannot be written, note its place."""
        try:
            return self.write(value)
        except Exception as exc:
            if not isinstance(exc, (MemoryError, RecursionError)):
                self.places.append((kind, container, inner))
            raise

    def _items(self, values: Any, kind: str = "item") -> str:
        return ", ".join([self._within(kind, values, value, value) for value in values])

    def _str(self, value: str) -> str:
        return json.dumps(value).replace("\x7f", "\\u007f")

    def _list(self, value: list[Any]) -> str:
        return f"[{self._items(value)}]"

    def _tuple(self, value: tuple[Any, ...]) -> str:
        return f"({self._items(value)}, )" if len(value) == 1 else f"({self._items(value)})"

    def _set(self, value: set[Any]) -> str:
        # `{}` would be read as a dictionary, by every reader.
        return f"{{{self._items(value, 'set')}}}" if value else "{*()}"

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
        return [": ".join(self._pair(value, key)) for key in keys]

    def _pair(self, value: dict[Any, Any], key: Any) -> tuple[str, str]:
        text = self._within("key", value, key, key)
        return text, self._within("value", value, key, value[key])

    def _slice(self, value: slice) -> str:
        bounds = (value.start, value.stop, value.step)
        return f"slice({', '.join([self._bound(bounds, bound) for bound in bounds])})"

    def _bound(self, bounds: tuple[Any, ...], bound: Any) -> str:
        """Write a bound of a slice as Python shows it, if that can be read back."""
        text = self._within("slice", bounds, bound, bound)
        items = bound if type(bound) is tuple else (bound,)
        if _SHOWN.issuperset(map(type, items)):
            try:
                return repr(bound)
            except ValueError:
                pass  # an integer beyond the interpreter's limit of digits
        return text

    def _ordered_dict(self, value: OrderedDict[Any, Any]) -> str:
        pairs = [f"({', '.join(self._pair(value, key))})" for key in value]
        return f"OrderedDict([{', '.join(pairs)}])"

    def _array(self, value: Any) -> str:
        return f"nparray({self._tuple(value.shape)}, {self._data(value)})"

    def _scalar(self, value: Any) -> str:
        return f"npscalar({self._data(value)})"

    def _data(self, value: Any) -> str:
        """Write the dtype and the content of an array or a scalar."""
        description = numpy_codec().dtype_description(value)
        return f'{self.write(description)}, b"{b64text(value.tobytes())}"'


_WRITERS: Final[dict[type, Callable[[Writer, Any], str]]] = {
    type(None): lambda _, value: "null",
    bool: lambda _, value: "true" if value else "false",
    int: lambda _, value: to_decimal(value),
    float: lambda _, value: repr(value),
    complex: lambda _, value: repr(value),
    bytes: lambda _, value: repr(value),
    str: Writer._str,
    list: Writer._list,
    tuple: Writer._tuple,
    set: Writer._set,
    dict: Writer._dict,
    slice: Writer._slice,
    OrderedDict: Writer._ordered_dict,
}
