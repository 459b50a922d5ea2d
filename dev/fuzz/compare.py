"""Values as something that can be compared, whatever is in them. No entry points here."""

from __future__ import annotations

import struct
from collections import OrderedDict, deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

__all__ = ["canonical", "outcome"]

_PLAIN: Final = frozenset({bool, bytes, int, str, type(None)})

# The modules of standard types whose `repr` tells all of them.
_WITH_REPR: Final = frozenset({"datetime", "decimal", "pathlib", "uuid", "zoneinfo"})


def canonical(value: Any) -> Any:
    """Give nested tuples that are equal if, and only if, two values are alike.

    That is of the same classes, NaN like NaN, and 0.0 unlike -0.0 but in complex numbers, whose
    `repr` does not always tell. Sets have an order.

    Raises:
        TypeError: a value of a class that PYON does not have.
        RecursionError: it is nested too deeply.
    """
    cls = type(value)
    if cls in _PLAIN:
        return (cls.__name__, value)
    if cls is float:
        return ("float", _bits(value))
    if cls is complex:
        return ("complex", _bits(value.real + 0.0), _bits(value.imag + 0.0))
    if cls in (list, tuple):
        return (cls.__name__, *[canonical(item) for item in value])
    if cls is set:
        return ("set", *sorted([canonical(item) for item in value], key=repr))
    if cls in (dict, OrderedDict):
        pairs = [(canonical(key), canonical(item)) for key, item in value.items()]
        return (cls.__name__, *pairs)
    if cls is slice:
        return ("slice", *map(canonical, (value.start, value.stop, value.step)))
    if cls is frozenset:
        return ("frozenset", *sorted([canonical(item) for item in value], key=repr))
    if cls is deque:
        return ("deque", value.maxlen, *[canonical(item) for item in value])
    if cls is bytearray:
        return ("bytearray", bytes(value))
    if cls is range:
        return ("range", value.start, value.stop, value.step)
    if cls.__module__.partition(".")[0] in _WITH_REPR:
        return (cls.__name__, repr(value))
    if type(value) is Fraction:
        return ("Fraction", value.numerator, value.denominator)
    if cls.__module__ == "numpy":
        dtype = value.dtype
        described = (dtype.str, repr(dtype), dtype.itemsize, value.shape)
        if dtype.names is not None:
            # What is between fields is nobody's, and not always copied.
            return (cls.__name__, described, *[canonical(value[name]) for name in dtype.names])
        if dtype.hasobject:
            return (cls.__name__, described, *map(_canonical_object, value.flat))
        return (cls.__name__, described, value.tobytes())
    raise TypeError(f"a value of {cls} is none of PYON's")


def _canonical_object(value: Any) -> Any:
    """Give what is in an array of objects; NumPy makes dates of its own ones, for instance."""
    try:
        return canonical(value)
    except TypeError:
        return (type(value).__name__, repr(value))


def _bits(number: float) -> bytes:
    return b"nan" if number != number else struct.pack(">d", number)


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[str, Any]:
    """Call a function: give "value" and the value in its canonical form, or "error" and its class.

    The class is one of those that the decoders document, or the error passes.
    """
    try:
        value = function(*arguments, **options)
    except ImportError:
        return "error", "ImportError"
    except RecursionError:
        return "error", "RecursionError"
    except ValueError:  # JSONDecodeError and the Unicode errors among them
        return "error", "ValueError"
    except TypeError:
        return "error", "TypeError"
    try:
        return "value", canonical(value)
    except RecursionError:
        return "value", RecursionError
