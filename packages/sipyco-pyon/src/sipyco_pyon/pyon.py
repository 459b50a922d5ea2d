"""PYON v2: Python values as JSON text and back, types and NumPy arrays included.

JSON has fewer types than Python. What it lacks is written as a tagged object, such as
`{"__jsonclass__": ["tuple", [[1, 2]]]}`. The older dialect, which resembles Python source, is in
`pyon_v1`.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any, Final, NamedTuple
from uuid import uuid4

from sipyco_pyon._base64 import b64decode, b64encode
from sipyco_pyon._files import read_text, replace_text
from sipyco_pyon._numbers import from_decimal, to_decimal

__all__ = [
    "decode",
    "deregister",
    "encode",
    "load_file",
    "register",
    "store_file",
    "wrap",
]

_TAG: Final = "__jsonclass__"
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_ONLY_STR: Final = {str}

# Names of the NumPy scalar types that are supported; programs iterate over this.
_numpy_scalar = {
    "bool_",
    "bytes_",
    "complex128",
    "complex64",
    "datetime64",
    "float16",
    "float32",
    "float64",
    "int16",
    "int32",
    "int64",
    "int8",
    "str_",
    "timedelta64",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "void",
}


class _Custom(NamedTuple):
    """A type that was registered."""

    name: str
    encode: Callable[[Any], Any]


_encoders: dict[type, _Custom] = {}
_decoders: dict[str, Callable[..., Any]] = {}


def shown(value: object) -> str:
    """Show a value in an error message, whatever its `repr` does."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  (a __repr__ of the program's own may do anything)
        return f"<{type(value).__name__}, which cannot be shown>"


def numpy_class(value: object) -> str | None:
    """Tell what a value is to NumPy: `"array"`, the name of a scalar type, or None.

    No array can exist before someone has imported NumPy, so this never does.
    """
    numpy: Any = sys.modules.get("numpy")
    cls = type(value)
    if numpy is None or cls.__module__ != "numpy":
        return None
    if cls is getattr(numpy, "ndarray", None):
        return "array"
    for name in (cls.__name__, f"{cls.__name__}_"):  # `bool_` is called `bool` since NumPy 2
        if name in _numpy_scalar and getattr(numpy, name, None) is cls:
            return name
    return None


def is_fraction(value: object) -> bool:
    """Tell whether a value is a `Fraction`, without importing that class for it."""
    module = sys.modules.get("fractions")
    return module is not None and type(value) is module.Fraction


class _Preparation:
    """Turn a value into what JSON can write."""

    def __init__(self, plain_float64: bool, default: Callable[[Any], Any] | None) -> None:
        self._plain_float64 = plain_float64
        self._default = default

    def value(self, value: Any) -> Any:
        cls = type(value)
        if cls in _PLAIN:
            return value
        if cls is list:
            return self._list(value)
        if cls is dict:
            return self._dict(value)
        if cls is tuple:
            return {_TAG: ["tuple", [self._list(value)]]}
        return self._other(value)

    def _list(self, items: Any) -> list[Any]:
        if _PLAIN.issuperset(map(type, items)):
            return list(items)
        value = self.value
        return [value(item) for item in items]

    def _dict(self, items: dict[Any, Any]) -> dict[Any, Any]:
        keys = set(map(type, items))
        if keys <= _ONLY_STR or all(isinstance(key, str) for key in items):
            if _TAG in items:
                # Callers rely on this class, so it is raised by hand: `-O` removes assertions.
                raise AssertionError(f"a dictionary with the key `{_TAG}` is not PYON encodable")
            if _PLAIN.issuperset(map(type, items.values())):
                return items
            value = self.value
            return {key: value(item) for key, item in items.items()}
        return {_TAG: ["dict", [self._pairs(items)]]}

    def _pairs(self, items: dict[Any, Any]) -> list[list[Any]]:
        return [[self.value(key), self.value(item)] for key, item in items.items()]

    def _tagged(self, name: str, *arguments: Any) -> dict[str, Any]:
        return {_TAG: [name, [self.value(argument) for argument in arguments]]}

    def _other(self, value: Any) -> Any:
        cls = type(value)
        if cls is OrderedDict:
            if _TAG in value:
                raise AssertionError(f"a dictionary with the key `{_TAG}` is not PYON encodable")
            return {_TAG: ["OrderedDict", [self._pairs(value)]]}
        if cls is set:
            return {_TAG: ["set", [self._list(list(value))]]}
        if cls is bytes:
            return {_TAG: ["bytes", [b64encode(value).decode("ascii")]]}
        if cls is complex:
            return {_TAG: ["complex", [value.real, value.imag]]}
        if cls is slice:
            return self._tagged("slice", value.start, value.stop, value.step)
        kind = numpy_class(value)
        if kind is not None:
            return self._numpy(value, kind)
        # Programs rely on it that subclasses are written as their base, registered or not.
        if isinstance(value, (str, int, float)):
            return value
        if isinstance(value, list):
            return self._list(value)
        if isinstance(value, tuple):
            return {_TAG: ["tuple", [self._list(value)]]}
        if isinstance(value, dict):
            return self._dict(value)
        if is_fraction(value):
            return {_TAG: ["Fraction", [value.numerator, value.denominator]]}
        custom = _encoders.get(cls)
        if custom is not None:
            return {_TAG: [custom.name, self._arguments(custom.encode(value))]}
        if self._default is not None:
            return self.value(self._default(value))
        raise TypeError(f"`{shown(value)}`: Object of type `{cls.__name__}` is not PYON encodable")

    def _arguments(self, arguments: Any) -> Any:
        if isinstance(arguments, (list, tuple)):
            return self._list(arguments)
        return self.value(arguments)

    def _numpy(self, value: Any, kind: str) -> Any:
        if kind == "float64" and self._plain_float64:
            return float(value)
        from sipyco_pyon import _numpy

        if kind == "array":
            shape, dtype, data = _numpy.array_arguments(value)
            return {_TAG: ["nparray", [shape, self.value(dtype), data.decode("ascii")]]}
        dtype, data = _numpy.scalar_arguments(value)
        return {_TAG: ["npscalar", [self.value(dtype), data.decode("ascii")]]}


def _is_digit_limit(exc: ValueError) -> bool:
    return "integer string conversion" in str(exc)


def _dump_with_large_integers(prepared: Any, options: dict[str, Any]) -> str:
    """Write JSON with integers beyond the interpreter's limit of digits."""
    prefix = uuid4().hex  # stands for a number until the text is there
    numbers: list[int] = []

    def without(value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value.bit_length() > 2000:
            numbers.append(value)
            return f"{prefix}-{len(numbers) - 1}-"
        if isinstance(value, list):
            return [without(item) for item in value]
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items()}
        return value

    text = json.dumps(without(prepared), **options)
    for index, number in enumerate(numbers):
        text = text.replace(f'"{prefix}-{index}-"', to_decimal(int(number)), 1)
    return text


def encode(x: Any, pretty: bool = False, *, plain_float64: bool = False, **kwargs: Any) -> str:
    """Write a value as PYON v2.

    Args:
        x: the value: None, bool, int, float, complex, str, bytes, list, tuple, dict, set, slice,
            `Fraction`, `OrderedDict`, NumPy arrays and scalars, registered types, and any nesting
            of these. Subclasses of the JSON types and of tuple are written as their base.
        pretty: indent by 4 spaces, one member a line, instead of one line without spaces.
        plain_float64: write `numpy.float64` scalars as plain numbers, as older programs do.
        **kwargs: as for `json.dumps`.

    Raises:
        TypeError: a value of a type that cannot be encoded; the text shows it.
        AssertionError: a dictionary has the key `__jsonclass__`.
        ValueError: a structure contains itself.
        RecursionError: a structure is nested too deeply, or contains itself.
    """
    prepared = _Preparation(plain_float64, kwargs.pop("default", None)).value(x)
    layout: dict[str, Any] = {"indent": 4} if pretty else {"separators": (",", ":")}
    options = {**layout, **kwargs}
    try:
        return json.dumps(prepared, **options)
    except ValueError as exc:
        if not _is_digit_limit(exc):
            raise
    return _dump_with_large_integers(prepared, options)


def _decode_fraction(*arguments: int) -> Any:
    from fractions import Fraction

    if not all(type(argument) is int for argument in arguments):
        # A text such as "1e999999999" would take all memory.
        raise ValueError("a Fraction is made of integers")
    return Fraction(*arguments)


def _decode_array(shape: Any, dtype: Any, data: Any) -> Any:
    from sipyco_pyon import _numpy

    return _numpy.decode_array(shape, dtype, data)


def _decode_scalar(dtype: Any, data: Any) -> Any:
    from sipyco_pyon import _numpy

    return _numpy.decode_scalar(dtype, data)


_BUILT_IN: Final[dict[str, Callable[..., Any]]] = {
    "Fraction": _decode_fraction,
    "OrderedDict": OrderedDict,
    "bytes": b64decode,
    "complex": complex,
    "dict": dict,
    "nparray": _decode_array,
    "npscalar": _decode_scalar,
    "set": set,
    "slice": slice,
    "tuple": tuple,
}
_RESERVED: Final = frozenset({*_BUILT_IN, "buffer"})


def rebuild(tag: str, arguments: Iterable[Any]) -> Any:
    """Rebuild a value of a built-in tag.

    Raises:
        ValueError: the arguments are malformed, whatever the cause inside.
    """
    try:
        return _BUILT_IN[tag](*arguments)
    except ImportError:
        raise
    except RecursionError:
        raise
    except Exception as exc:
        raise ValueError(f"malformed `{tag}`: {exc}") from exc


def _untag(members: dict[str, Any]) -> Any:
    description = members[_TAG]
    if (
        not isinstance(description, list)
        or len(description) != 2
        or not isinstance(description[0], str)
    ):
        raise ValueError(f"malformed `{_TAG}`: expected a name and its arguments")
    name, arguments = description
    if name in _BUILT_IN:
        if not isinstance(arguments, list):
            raise ValueError(f"malformed `{name}`: the arguments are not an array")
        return rebuild(name, arguments)
    decoder = _decoders.get(name)
    if decoder is None:
        raise TypeError(f"Object of type `{name}` is not PYON decodable")
    return decoder(*arguments)


def decode(s: str | bytes | bytearray, **kwargs: Any) -> Any:
    """Read a value from PYON v2.

    Args:
        s: the text.
        **kwargs: as for `json.loads`.

    Raises:
        ValueError: it is not JSON (`json.JSONDecodeError`), or a tagged value is malformed.
        TypeError: a tag is unknown.
        ImportError: it holds NumPy values, and NumPy is not installed.
        RecursionError: it is nested too deeply.
    """
    text = s if isinstance(s, str) else s.decode(json.detect_encoding(s), "surrogatepass")
    # Without a tag in the text, escaped or not, the scanner needs no help.
    if _TAG in text or "\\u" in text:
        _install_hook(kwargs)
    try:
        return json.loads(text, **kwargs)
    except ValueError as exc:
        if not _is_digit_limit(exc) or "parse_int" in kwargs:
            raise
    return json.loads(text, parse_int=from_decimal, **kwargs)


def _install_hook(kwargs: dict[str, Any]) -> None:
    pairs_hook = kwargs.pop("object_pairs_hook", None)
    object_hook = kwargs.get("object_hook")
    if pairs_hook is not None:

        def from_pairs(pairs: list[tuple[str, Any]]) -> Any:
            members = dict(pairs)
            return _untag(members) if _TAG in members else pairs_hook(pairs)

        kwargs["object_pairs_hook"] = from_pairs
        return

    def from_members(members: dict[str, Any]) -> Any:
        if _TAG in members:
            return _untag(members)
        return members if object_hook is None else object_hook(members)

    kwargs["object_hook"] = from_members


def register(
    types: Iterable[type],
    *,
    name: str,
    encode: Callable[[Any], Any],
    decode: Callable[..., Any],
) -> None:
    """Teach PYON v2 a type.

        register([Point], name="Point", encode=lambda p: (p.x, p.y), decode=Point)

    Args:
        types: the classes, exactly: subclasses are not concerned.
        name: the tag; all programs that exchange such values must agree on it.
        encode: gives the arguments, any encodable values, from which `decode` rebuilds the value.
        decode: is called with these arguments.

    Raises:
        AssertionError: a class or the name is registered already, or the name is reserved.
    """
    classes = list(types)
    taken = [cls for cls in classes if cls in _encoders]
    if taken:
        raise AssertionError(f"registered already: {shown(taken)}")
    if name in _decoders or name in _RESERVED:
        raise AssertionError(f"the name `{name}` is taken already")
    for cls in classes:
        _encoders[cls] = _Custom(name, encode)
    _decoders[name] = decode


def deregister(types: Iterable[type], name: str) -> None:
    """Undo `register`.

    Raises:
        KeyError: a class is not registered.
        AssertionError: a class is registered under another name.
    """
    classes = list(types)
    for cls in classes:
        if _encoders[cls].name != name:
            raise AssertionError(
                f"{cls.__name__} is registered under `{_encoders[cls].name}`, not `{name}`"
            )
    for cls in classes:
        del _encoders[cls]
    if not any(custom.name == name for custom in _encoders.values()):
        _decoders.pop(name, None)


def wrap(o: Any) -> Any:
    """Return the value itself.

    It exists for `encode` hooks that pass tuples, or dictionaries with other keys than strings,
    through it: these need no help to round trip.
    """
    return o


def store_file(filename: str | PathLike[str], x: Any, **kwargs: Any) -> None:
    """Write a value to a file in the pretty form, atomically.

    A reader, or a crash at any moment, sees the old file or the new one, never a mixture. On
    failure the old file is untouched, and nothing else is left behind.

    Raises:
        TypeError, AssertionError, ValueError: as `encode`.
        OSError: the file cannot be written.
    """
    replace_text(filename, encode(x, pretty=True, **kwargs))


def load_file(filename: str | PathLike[str], **kwargs: Any) -> Any:
    """Read a value from a file.

    Raises:
        OSError: the file cannot be read.
        ValueError, TypeError, ImportError: as `decode`.
    """
    return decode(read_text(filename), **kwargs)


def main() -> None:
    """Convert files from PYON v1: see `python -m sipyco_pyon --help`."""
    from sipyco_pyon import _migrate

    _migrate.main()
