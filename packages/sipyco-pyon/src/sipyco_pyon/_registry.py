"""The registry of types: built-in tags, NumPy's classes, what programs register. No text here."""

from __future__ import annotations

import sys
from collections import OrderedDict

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

TAG: Final = "__jsonclass__"

VALUE: Final = "the value"  # what errors call what was to be written

# The tags with a meaning of their own; `buffer` stands for memory beside the text.
RESERVED: Final = frozenset(
    {
        *("Fraction", "OrderedDict", "buffer", "bytes", "complex", "dict"),
        *("nparray", "npscalar", "set", "slice", "tuple"),
    }
)

# What `register_standard_types` adds: the classes as they are imported. Tags are the last part.
STANDARD_TYPES: Final = frozenset(
    {
        *("builtins.bytearray", "builtins.frozenset", "builtins.range", "collections.deque"),
        *("datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta"),
        *("datetime.timezone", "decimal.Decimal", "pathlib.PosixPath", "pathlib.PurePosixPath"),
        *("pathlib.PureWindowsPath", "pathlib.WindowsPath", "uuid.UUID", "zoneinfo.ZoneInfo"),
    }
)

STANDARD_TAGS: Final = frozenset([name.rpartition(".")[2] for name in STANDARD_TYPES])

# Names of the NumPy scalar types that are supported; programs iterate over this.
_numpy_scalar = {
    *("bool_", "bytes_", "str_", "void", "datetime64", "timedelta64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
}

# The classes with a tag that are there without an import.
_BUILT_IN: Final[frozenset[type]] = frozenset(
    {OrderedDict, bytes, complex, dict, set, slice, tuple}
)


class RegisteredType:
    """A type that was registered.

    Args:
        name: its tag.
        encode: gives the arguments.
        built_in: whether it is one of the standard types, and no program's own.
        content: what the only argument has in it, for errors: "field"s by their names, "item"s by
            their indices, or those of a "set".
    """

    def __init__(
        self,
        name: str,
        encode: Callable[[Any], Any],
        built_in: bool = False,
        content: str | None = None,
    ) -> None:
        self.name = name
        self.encode = encode
        self.built_in = built_in
        self.content = content


_encoders: dict[type, RegisteredType] = {}
_decoders: dict[str, Callable[..., Any]] = {}


def safe_repr(value: object) -> str:
    """Show a value in an error message, whatever its `repr` does."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  (a __repr__ of the program's own may do anything)
        return f"<{type(value).__name__}, which cannot be shown>"


# Whether mypyc has compiled the package: its functions are not Python's then.
COMPILED: Final = type(safe_repr).__name__ != "function"


def is_built_in(cls: type) -> bool:
    """Tell whether values of a class have a built-in tag."""
    return cls in _BUILT_IN or numpy_kind(cls) is not None or is_fraction(cls)


_numpy_kinds: dict[type, str] = {}  # what `numpy_kind` has found; there are not many


def numpy_kind(cls: type) -> str | None:
    """Tell what a class is to NumPy: `"array"`, the name of a scalar type, or None.

    No array can exist before someone has imported NumPy, so this never does.
    """
    kind = _numpy_kinds.get(cls)
    if kind is not None:
        return kind
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    if cls is getattr(numpy, "ndarray", None):
        _numpy_kinds[cls] = "array"
        return "array"
    for name in (cls.__name__, cls.__name__ + "_"):  # `bool_` is called `bool` since NumPy 2
        if name in _numpy_scalar and getattr(numpy, name, None) is cls:
            _numpy_kinds[cls] = name
            return name
    return None


def further_numpy_kind(cls: type) -> str | None:
    """Tell what a class is to NumPy that `numpy_kind` does not know, if nothing of it is lost.

    It is `"array"` for a memory map, `"integer"` for one of a platform's integers (`longlong` is
    another class than `int64`, and the same number), `"inexact"` for a long double. Programs may
    have registered these, so it is asked after that.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or numpy_kind(cls) is not None:
        return None
    if vars(numpy).get(cls.__name__) is not cls:  # some names of it warn
        return None
    if cls is getattr(numpy, "memmap", None):
        return "array"
    for kind in ("integer", "inexact"):
        base = getattr(numpy, kind, None)
        if base is not None and issubclass(cls, base):
            return kind
    return None


def is_fraction(cls: type) -> bool:
    """Tell whether a class is `Fraction`, without importing that for it."""
    module = sys.modules.get("fractions")
    return module is not None and cls is module.Fraction


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
        AssertionError: a class or the name is registered already, or built in.
    """
    classes = list(types)
    taken = [cls for cls in classes if cls in _encoders or is_built_in(cls)]
    if taken:
        raise AssertionError(f"registered already: {safe_repr(taken)}")
    switched_on = any(known.built_in for known in _encoders.values())
    if name in _decoders or name in RESERVED or (switched_on and name in STANDARD_TAGS):
        raise AssertionError(f"the name `{name}` is taken already")
    for cls in classes:
        _encoders[cls] = RegisteredType(name, encode)
    _decoders[name] = decode


def deregister(types: Iterable[type], name: str) -> None:
    """Undo `register`. If a class is refused, all of them stay as they are.

    Args:
        types: the classes, or some of them: the tag is known until the last one goes.
        name: the tag that they are registered under.

    Raises:
        KeyError: a class is not registered.
        AssertionError: a class is registered under another name, or built in.
    """
    classes = dict.fromkeys(types)
    for cls in classes:
        registered = _encoders.get(cls)
        if is_built_in(cls) if registered is None else registered.built_in:
            raise AssertionError(f"{cls.__name__} is built in, not registered as `{name}`")
        if _encoders[cls].name != name:
            raise AssertionError(
                f"{cls.__name__} is registered under `{_encoders[cls].name}`, not `{name}`"
            )
    for cls in classes:
        del _encoders[cls]
    if not any(registered.name == name for registered in _encoders.values()):
        _decoders.pop(name, None)
