"""The writer of PYON v2: values as pieces of text. No options of `json` here."""

from __future__ import annotations

import sys
from collections import OrderedDict

from sipyco_pyon._base64 import b64text
from sipyco_pyon._bigint import to_decimal
from sipyco_pyon._compat import encode_string
from sipyco_pyon._pieces import Pieces
from sipyco_pyon._plain_json import FLAT_FROM, all_strings, are_scalars, are_strings, flat_json
from sipyco_pyon._registry import (
    COMPILED,
    TAG,
    VALUE,
    _encoders,
    further_numpy_kind,
    is_fraction,
    numpy_kind,
    safe_repr,
)
from sipyco_pyon._tag_decoder import numpy_codec

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

# Compiled functions call each other without the interpreter's check for too deep a recursion.
# Uncompiled, that check comes first.
_MAX_DEPTH: Final = 500 if COMPILED else sys.maxsize

# Other integers take the slower way, in case that they are beyond the interpreter's limit of
# digits. Compiled, these are machine words.
_LARGEST: Final = 4611686018427387903
_SMALLEST: Final = -4611686018427387904

_SINGLETONS: Final[dict[Any, str]] = {None: "null", True: "true", False: "false"}

_TOO_DEEP: Final = "nested too deeply to be encoded"
_TAG_AS_KEY: Final = f"a dictionary with the key `{TAG}` is not PYON encodable"


class Writer(Pieces):
    """A value as pieces of text.

    Args:
        value: the value.
        plain_float64: write `numpy.float64` as plain numbers.
        default: gives what to write in place of a value of an unknown type.
        buffer_callback: takes the memory of arrays and long `bytes`.
        name: what errors call the value.

    Raises:
        TypeError, ValueError, AssertionError: it cannot be written; the text has the place in it.
    """

    def __init__(
        self,
        value: Any,
        plain_float64: bool = False,
        default: Callable[[Any], Any] | None = None,
        buffer_callback: Callable[[memoryview], object] | None = None,
        name: str = VALUE,
    ) -> None:
        self._plain_float64 = plain_float64
        self._default = default
        self._buffer_callback = buffer_callback
        self._pieces = []
        try:
            self._value(value, 0)
            return
        except RecursionError:
            from sipyco_pyon._cycles import circular_reference_error

            error = circular_reference_error(value, default, name)
            if error is None:
                raise
        except MemoryError:
            raise
        except Exception as exc:
            self._explain(exc, name)
            raise
        raise error

    def _value(self, value: Any, depth: int) -> None:
        """Write a value."""
        cls = type(value)
        if cls is str:
            self._pieces.append(encode_string(value))
        elif cls is float:
            number: float = value
            self._pieces.append(repr(value) if number - number == 0.0 else flat_json(value))
        elif cls is int:
            integer: int = value
            small = _SMALLEST <= integer <= _LARGEST
            self._pieces.append(repr(value) if small else to_decimal(integer))
        elif cls is dict:
            self._dict(value, depth)
        elif cls is tuple:
            self._pieces.append('{"__jsonclass__":["tuple",[')
            self._items(list(value), depth)
            self._pieces.append("]]}")
        elif cls is list:
            self._items(value, depth)
        elif value is None or cls is bool:
            self._pieces.append(_SINGLETONS[value])
        else:
            self._other(value, depth)

    def _items(self, items: list[Any], depth: int, kind: Any = "item") -> None:
        """Write an array; errors call what is in it an item, or what is told."""
        if len(items) >= FLAT_FROM and are_scalars(map(type, items)):
            text = flat_json(items)
            if text is not None:
                self._pieces.append(text)
                return
        if depth > _MAX_DEPTH:  # pragma: elsewhere (compiled)
            raise RecursionError(_TOO_DEEP)
        separator = "["
        try:
            for item in items:
                self._pieces.append(separator)
                self._value(item, depth + 1)
                separator = ","
        except Exception as exc:
            self._failed_in(exc, kind, items, item)
            raise
        self._pieces.append("]" if items else "[]")

    def _dict(self, items: dict[Any, Any], depth: int) -> None:
        """Write a dictionary, of a class that may be derived."""
        only_strings = not COMPILED and are_strings(map(type, items))
        if not only_strings and not all_strings(items):
            self._pairs("dict", items, depth)
            return
        if TAG in items:
            raise AssertionError(_TAG_AS_KEY)
        if len(items) >= FLAT_FROM and are_scalars(map(type, items.values())):
            text = flat_json(items)
            if text is not None:
                self._pieces.append(text)
                return
        if depth > _MAX_DEPTH:  # pragma: elsewhere (compiled)
            raise RecursionError(_TOO_DEEP)
        separator = "{"
        try:
            for key, item in items.items():
                self._pieces.append(separator)
                self._pieces.append(encode_string(key))
                self._pieces.append(":")
                self._value(item, depth + 1)
                separator = ","
        except Exception as exc:
            self._failed_in(exc, "value", items, key)
            raise
        self._pieces.append("}" if separator == "," else "{}")

    def _pairs(self, name: str, items: dict[Any, Any], depth: int) -> None:
        """Write a tag with an array of pairs of the keys and values of a dictionary."""
        if TAG in items:
            raise AssertionError(_TAG_AS_KEY)
        if depth > _MAX_DEPTH:  # pragma: elsewhere (compiled)
            raise RecursionError(_TOO_DEEP)
        self._pieces.append('{"__jsonclass__":["' + name + '",[')
        separator = "[["
        try:
            for key, item in items.items():
                kind = "key"
                self._pieces.append(separator)
                self._value(key, depth + 1)
                self._pieces.append(",")
                kind = "value"
                self._value(item, depth + 1)
                separator = "],["
        except Exception as exc:
            self._failed_in(exc, kind, items, key)
            raise
        self._pieces.append("]]]]}" if items else "[]]]}")

    def _other(self, value: Any, depth: int) -> None:
        cls = type(value)
        if cls is OrderedDict:
            self._pairs("OrderedDict", value, depth)
        elif cls is set:
            self._pieces.append('{"__jsonclass__":["set",[')
            self._items(list(value), depth, "set")
            self._pieces.append("]]}")
        elif cls is bytes:
            self._pieces.append('{"__jsonclass__":["bytes",[')
            self._memory(value, len(value))
            self._pieces.append("]]}")
        elif cls is complex:
            self._tagged("complex", [value.real, value.imag], depth)
        elif cls is slice:
            self._tagged("slice", [value.start, value.stop, value.step], depth)
        else:
            kind = numpy_kind(cls)
            if kind is None:
                self._derived(value, depth)
            elif kind == "array":
                self._array(value)
            else:
                self._scalar(value, kind, depth)

    def _derived(self, value: Any, depth: int) -> None:
        # Programs rely on it that subclasses are written as their base, registered or not.
        if isinstance(value, str):
            self._pieces.append(encode_string(value))
        elif isinstance(value, int):
            # Their own comparisons and texts are theirs to define.
            self._value(int.__pos__(value), depth)
        elif isinstance(value, float):
            self._value(float.__pos__(value), depth)
        elif isinstance(value, list):
            self._items(list(value), depth)
        elif isinstance(value, tuple):
            self._value(tuple(value), depth)
        elif isinstance(value, dict):
            self._dict(value, depth)
        elif is_fraction(type(value)):
            self._tagged("Fraction", [value.numerator, value.denominator], depth)
        else:
            self._unknown(value, depth)

    def _unknown(self, value: Any, depth: int) -> None:
        if depth > _MAX_DEPTH:  # pragma: elsewhere (compiled)
            raise RecursionError(_TOO_DEEP)
        cls = type(value)
        registered = _encoders.get(cls)
        if registered is not None:
            if cls is bytearray and registered.built_in:
                self._bytearray(value)
                return
            self._in_hook = not registered.built_in
            arguments = registered.encode(value)
            self._in_hook = False
            self._pieces.append('{"__jsonclass__":[' + encode_string(registered.name) + ",")
            if isinstance(arguments, (list, tuple)):
                self._items(list(arguments), depth, registered)
            else:
                self._value(arguments, depth + 1)
            self._pieces.append("]}")
            return
        kind = further_numpy_kind(cls)
        if kind == "array":
            self._array(value)
        elif kind is not None:
            self._scalar(value, kind, depth)
        elif self._default is not None:
            self._in_hook = True
            replacement = self._default(value)
            self._in_hook = False
            self._value(replacement, depth + 1)
        else:
            self._refused = (value,)
            text = safe_repr(value)
            if "\n" in text:  # such as an array with a class of its own: an error is one line
                text = " ".join(text.split())
            raise TypeError(f"`{text}`: Object of type `{cls.__name__}` is not PYON encodable")

    def _tagged(self, name: str, arguments: list[Any], depth: int) -> None:
        self._pieces.append('{"__jsonclass__":["' + name + '",')
        self._items(arguments, depth, name)
        self._pieces.append("]}")

    def _array(self, array: Any) -> None:
        shape = array.shape
        sizes = str(shape[0]) if len(shape) == 1 else ",".join([str(size) for size in shape])
        dtype = numpy_codec().DTYPE_TEXTS.get(array.dtype) or _describe(array)
        self._pieces.append(f'{{"__jsonclass__":["nparray",[[{sizes}],{dtype},')
        self._memory(array, array.nbytes)
        self._pieces.append("]]}")

    def _scalar(self, scalar: Any, kind: str, depth: int) -> None:
        if kind == "float64" and self._plain_float64:
            self._value(float(scalar), depth)
            return
        dtype = numpy_codec().DTYPE_TEXTS.get(scalar.dtype) or _describe(scalar)
        data = b64text(scalar.tobytes())
        self._pieces.append(f'{{"__jsonclass__":["npscalar",[{dtype},"{data}"]]}}')


def _describe(owner: Any) -> str:
    """Describe a rare dtype, that of an array or a scalar, as JSON."""
    return Writer(numpy_codec().dtype_description(owner)).text()
