"""What mods may do with arrays and slices: not far more than both they and the arrays are large.

A slice of a list, a list of indices, and a value that becomes items of an array multiply. With
them a mod of some kilobytes could have a gigabyte made, or each byte of an array set a million
times. NumPy is not imported here: no array can exist before it is loaded.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sipyco_rpc.support.quoting import short_repr
from sipyco_sync._array_cost import ITEM, MAX_DIMENSIONS, NUMPY_SCALARS, Cost, numbers

__all__: list[str] = []

_ALWAYS_ALLOWED: Final = 512 * 1024  # bytes: 65,536 numbers take no time worth counting
_GROWTH: Final = 8  # a byte of a value may become a number, or a pointer to an object
_CONVERTED_TIMES: Final = 16  # a byte of a value or an array may be as much for NumPy to convert
_TIMES: Final = (
    64  # a byte of a mask of 8 dimensions becomes as much, and one that becomes a scalar
)
_MAX_INDICES: Final = 128  # of one key; more than NumPy takes

# Bytes that an item of an array takes in a list: most scalars, and a view by its dimensions.
_SCALAR: Final = 64
_VIEW: Final = 96
_DIMENSION: Final = 16

# Keys of these are looked at quickly: nothing of them multiplies.
_PLAIN_KEYS: Final = frozenset({int, slice, type(None), type(...)})


def check_step(container: Any, key: Any) -> None:
    """Refuse to go into a copy of a part of an array or of a sequence: changes would be lost.

    Raises:
        ValueError: the key gives one.
    """
    if isinstance(key, slice) and isinstance(container, Sequence):
        raise ValueError(
            f"expected a path to a part that can change, got a slice of a "
            f"`{type(container).__name__}`, which is a copy"
        )
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    allowed: tuple[type, ...]
    if isinstance(container, numpy.ndarray):
        expected = "integers, slices, names of fields and None"
        allowed = (int, slice, str, type(None), numpy.integer)
    elif isinstance(container, numpy.generic):
        expected, allowed = "an integer or the name of a field", (int, str, numpy.integer)
    else:
        return
    is_array = isinstance(container, numpy.ndarray)
    for index in key if is_array and isinstance(key, tuple) else (key,):
        if isinstance(index, bool) or not isinstance(index, allowed):
            raise ValueError(
                f"expected {expected} in a path into a `{type(container).__name__}`, "
                f"got a `{type(index).__name__}`"
            )


def check_setitem(container: Any, key: Any, value: Any) -> None:
    """Refuse to set far more bytes of an array than it, the indices or the value have.

    The same goes for the array that NumPy makes of the value before it looks whether that fits,
    for what it converts on the way, and for the items of an array as items of a list.

    Raises:
        ValueError: they are so many; or the indices do not go together.
        IndexError: the key is none of an array; or the array has no such dimension.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return
    if isinstance(container, list):
        if isinstance(key, slice) and isinstance(value, numpy.ndarray):
            _check_items(value)
        return
    if not isinstance(container, (numpy.ndarray, numpy.void)):
        return
    shape, dtype = container.shape, container.dtype
    is_array = isinstance(container, numpy.ndarray)
    if is_array and dtype.itemsize and type(value) in NUMPY_SCALARS and _is_plain_key(key):
        return
    names, fields = dtype.names or (), dtype.fields or {}
    limit = max(container.nbytes, _ALWAYS_ALLOWED)
    if isinstance(container, numpy.void) and isinstance(key, (int, numpy.integer)):
        if isinstance(key, bool) or not -len(names) <= key < len(names):
            raise IndexError(
                f"expected the index of one of {len(names)} fields, got {short_repr(key)}"
            )
        key = names[key]
    if isinstance(key, str):
        if key not in fields:
            return  # NumPy refuses it, and looks at nothing else
        field = fields[key][0]
        shape, dtype, key = (*shape, *field.shape), field.base, ()
    elif isinstance(key, list) and 0 < len(key) <= len(names) and _are_names(key, fields):
        dtype, key = dtype[key], ()
    shapes = []
    others: list[Any] = []  # the key with 0 for each index that comes from a list or an array
    for index in _indices(key):
        if index is None or index is ... or isinstance(index, slice):
            others.append(index)
            continue
        if not isinstance(index, (bool, numpy.bool_, list, tuple, numpy.ndarray)):
            if not hasattr(type(index), "__index__"):
                raise _no_index(index)
            others.append(index)
            continue
        indices = _index_array(index)
        if indices.dtype.kind == "b":
            count = int(numpy.count_nonzero(indices))
            if count * indices.ndim * 8 > max(container.nbytes, _ALWAYS_ALLOWED) * _TIMES:
                raise ValueError(
                    f"a mask of {indices.ndim} dimensions and {count} items becomes too many "
                    f"indices for an array of {container.nbytes} bytes"
                )
            shapes.append((count,))
            others += [0] * indices.ndim
        else:
            limit = max(limit, indices.size * ITEM)
            shapes.append(indices.shape)
            others.append(0)
    # A dimension without items has none to point to, and indices are looked at all the same.
    lengths = [max(1, length) for length in shape]
    each = numpy.broadcast_to(numpy.int8(0), lengths)[tuple(others)]
    count = math.prod(numpy.broadcast_shapes(*shapes)) * max(1, numpy.size(each))
    if dtype.kind == "O" and not shapes and not isinstance(each, numpy.ndarray):
        return  # one object, which is held as it is
    cost = Cost(value, dtype, count)
    most = max(limit, cost.own) * _CONVERTED_TIMES
    limit = max(limit, cost.own * _GROWTH)
    if count * max(1, dtype.itemsize) > limit:
        raise ValueError(
            f"expected to set at most {limit} bytes of an array of {container.nbytes} bytes, "
            f"got a key of {count} items of {dtype.itemsize} bytes"
        )
    if cost.room > limit:
        raise ValueError(
            f"expected a value of at most {limit} bytes as items of an array, got one of "
            f"{cost.room}"
        )
    if cost.converted > most:
        raise ValueError(
            f"expected a value that is at most {most} bytes to convert for an array of "
            f"{container.nbytes} bytes, got one of {cost.converted}"
        )


def _no_index(index: Any) -> IndexError:
    return IndexError(
        "expected integers, slices, None, masks and lists or arrays of integers as indices of an "
        f"array, got a `{type(index).__name__}`"
    )


def _is_plain_key(key: Any) -> bool:
    return _PLAIN_KEYS.issuperset(map(type, key if type(key) is tuple else (key,)))


def _indices(key: Any) -> tuple[Any, ...]:
    if not isinstance(key, tuple):
        return (key,)
    if len(key) > _MAX_INDICES:
        raise IndexError(f"expected at most {_MAX_INDICES} indices, got {len(key)}")
    return key


def _are_names(key: list[Any], fields: Mapping[str, Any]) -> bool:
    return all(isinstance(name, str) and name in fields for name in key)


@functools.cache
def _index_types() -> frozenset[type]:
    numpy: Any = sys.modules["numpy"]
    allowed = (bool, int, numpy.integer, numpy.bool_)
    return frozenset(kind for kind in NUMPY_SCALARS | numbers() if issubclass(kind, allowed))


def _index_array(index: Any) -> Any:
    """Make an array of an index, once it is known that nothing in it multiplies."""
    numpy: Any = sys.modules["numpy"]
    plain = _index_types()  # a sequence of them is looked at quickly
    level = [index] if isinstance(index, (list, tuple)) else []
    for _ in range(MAX_DIMENSIONS):
        deeper: list[Any] = []
        mixed = (sequence for sequence in level if not plain.issuperset(map(type, sequence)))
        for item in (item for sequence in mixed for item in sequence):
            if isinstance(item, (list, tuple)):
                deeper.append(item)
            elif isinstance(item, numpy.ndarray):
                if item.dtype.kind not in "biu":
                    raise _no_index(item)
            elif not isinstance(item, (int, numpy.integer, numpy.bool_)):
                raise _no_index(item)
        level = deeper
    if level:
        raise IndexError(f"expected at most {MAX_DIMENSIONS} dimensions of indices")
    indices = numpy.asarray(index)
    if isinstance(index, (list, tuple)) and not indices.size:
        return indices.astype(int)  # of what is in it nothing can be told, and NumPy takes it
    if indices.dtype.kind not in "biu":
        raise IndexError(f"expected integers as indices of an array, got {indices.dtype}")
    return indices


def _check_items(array: Any) -> None:
    """Refuse an array whose items would take far more as items of a list than they do in it."""
    if not array.ndim:
        return  # it has none, as Python says
    each = _SCALAR if array.ndim == 1 else _VIEW + array.ndim * _DIMENSION
    limit = max(array.nbytes * _TIMES, _ALWAYS_ALLOWED)
    if len(array) * each > limit:
        raise ValueError(
            f"expected an array whose items take at most {limit} bytes as items of a list, got "
            f"one of {array.nbytes} bytes whose {len(array)} items take {len(array) * each}"
        )
