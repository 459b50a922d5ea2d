"""Limits of what a mod may do with arrays: not far more than both it and they are large.

Without them a mod of some kilobytes could have a gigabyte made, or each byte of an array set a
million times. What is accepted:

* as a step of a path, what leads to a part that can change, and not to a copy (`check_step`);
* as a key of an array, integers, slices, None, `...`, masks, lists and arrays of integers or truth
  values, and tuples of these; the name of a field, and lists of names (`_selected`);
* as a value, numbers, text and arrays, and lists and tuples of these (`Cost`);
* an array as items of a list, if these are not far larger than it (`_check_list_items`).

NumPy is not imported here: no array can exist before it is loaded.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sipyco_rpc.support.quoting import short_repr
from sipyco_sync._array_cost import ITEM, Cost, nested
from sipyco_sync._limits import ALWAYS_ALLOWED

_GROWTH: Final = 8  # a byte of a value may become a number, or a pointer to an object
_CONVERTED_TIMES: Final = 16  # a byte of a value or an array may be as much for NumPy to convert
# A byte of a mask of 8 dimensions becomes as much, and one that becomes a scalar.
_TIMES: Final = 64

# Bytes that an item of an array takes in a list: most scalars, and a view by its dimensions.
_SCALAR: Final = 64
_VIEW: Final = 96
_DIMENSION: Final = 16

# What nearly all mods are made of is looked at quickly: nothing of it multiplies.
_PLAIN_VALUES: Final = frozenset({bool, bytes, complex, float, int, str, type(None)})
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
    numpy = None if type(container) is dict else sys.modules.get("numpy")  # dicts give no copies
    if numpy is None or not isinstance(container, (numpy.ndarray, numpy.generic)):
        return
    expected = "an integer or the name of a field"
    allowed: tuple[type, ...] = (int, str, numpy.integer)
    is_array = isinstance(container, numpy.ndarray)
    if is_array:
        expected = "integers, slices, names of fields and None"
        allowed += (slice, type(None))
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
    if type(value) is range and isinstance(container, list) and isinstance(key, slice):
        most = ALWAYS_ALLOWED // ITEM
        if value[most:]:  # its length may be more than `len` can give
            raise ValueError(f"expected at most {most} items for a slice of a list, got {value}")
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return
    if isinstance(container, list):
        if isinstance(key, slice) and isinstance(value, numpy.ndarray) and value.ndim:
            _check_list_items(value)
    elif isinstance(container, (numpy.ndarray, numpy.void)):
        dtype = container.dtype
        quick = type(value) in _PLAIN_VALUES
        if dtype.names and type(value) is tuple:
            quick = _PLAIN_VALUES.issuperset(map(type, value))  # one record
        quick = quick and container.shape and dtype.itemsize
        keys = key if type(key) is tuple else (key,)
        if not quick or not _PLAIN_KEYS.issuperset(map(type, keys)):
            _check_array_items(container, key, value)


def _check_list_items(array: Any) -> None:
    """Refuse an array whose items would take far more as items of a list than they do in it."""
    each = _SCALAR if array.ndim == 1 else _VIEW + array.ndim * _DIMENSION
    limit = max(array.nbytes * _TIMES, ALWAYS_ALLOWED)
    if len(array) * each > limit:
        raise ValueError(
            f"expected an array whose items take at most {limit} bytes as items of a list, got "
            f"one of {array.nbytes} bytes whose {len(array)} items take {len(array) * each}"
        )


def _check_array_items(container: Any, key: Any, value: Any) -> None:
    """Refuse to set too many bytes of an array, or to make or convert too many of the value."""
    dtype, count, indices = _selected(container, key)
    if count is None:
        return
    cost = Cost(value, dtype, count)
    limit = max(container.nbytes, ALWAYS_ALLOWED, indices * ITEM)
    convertible = max(limit, cost.own) * _CONVERTED_TIMES
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
    converted = cost.converted()
    if converted > convertible:
        raise ValueError(
            f"expected a value that is at most {convertible} bytes to convert for an array of "
            f"{container.nbytes} bytes, got one of {converted}"
        )


def _selected(container: Any, key: Any) -> tuple[Any, int | None, int]:
    """Tell which items of an array a key selects.

    Returns:
        Their dtype; how many are set, or None for one object, which is held as it is; and how
        many integers are in lists and arrays of the key.
    """
    numpy: Any = sys.modules["numpy"]
    shape, dtype = container.shape, container.dtype
    names, fields = dtype.names or (), dtype.fields or {}
    if isinstance(container, numpy.void) and isinstance(key, (int, numpy.integer)):
        if isinstance(key, bool) or not -len(names) <= key < len(names):
            raise IndexError(
                f"expected the index of one of {len(names)} fields, got {short_repr(key)}"
            )
        key = names[key]
    if isinstance(key, str):
        if key not in fields:
            return dtype, None, 0  # NumPy refuses it, and looks at nothing else
        field = fields[key][0]
        shape, dtype, key = (*shape, *field.shape), field.base, ()
    elif isinstance(key, list) and 0 < len(key) <= len(names) and _are_names(key, fields):
        dtype, key = dtype[key], ()
    shapes = []  # of lists and arrays, which NumPy repeats until they have the same
    others: list[Any] = []  # the key with a slice for each dimension of these
    for index in key if isinstance(key, tuple) else (key,):
        if isinstance(index, (bool, numpy.bool_, list, tuple, numpy.ndarray)):
            index_shape, dimensions = _index_shape(index, container.nbytes)
            shapes.append(index_shape)
            others += [slice(0, 1)] * dimensions
        elif type(index) in _PLAIN_KEYS or hasattr(index, "__index__"):
            others.append(index)
        else:
            raise _no_index(type(index))
    each = numpy.broadcast_to(numpy.int8(0), shape)[tuple(others)]
    if dtype.kind == "O" and not shapes and not isinstance(each, numpy.ndarray):
        return dtype, None, 0
    # Indices are looked at where there is nothing to set, too.
    chosen = math.prod(numpy.broadcast_shapes(*shapes)) if shapes else 1
    count = chosen * max(1, numpy.size(each))
    return dtype, count, max(map(math.prod, shapes), default=0)


def _are_names(key: list[Any], fields: Mapping[str, Any]) -> bool:
    return all(isinstance(name, str) and name in fields for name in key)


def _index_shape(index: Any, nbytes: int) -> tuple[tuple[int, ...], int]:
    """Tell the shape of the integers in an index, and how many dimensions it is for.

    An array is made of it once it is known that nothing in it multiplies.
    """
    numpy: Any = sys.modules["numpy"]
    for _, kind, group in nested([index]):
        if issubclass(kind, numpy.ndarray):
            allowed = all(array.dtype.kind in "biu" for array in group)
        else:
            allowed = issubclass(kind, (int, numpy.integer, numpy.bool_))
        if not allowed:
            raise _no_index(kind)
    indices = numpy.asarray(index)
    if indices.dtype.kind == "b":
        count = int(numpy.count_nonzero(indices))
        # NumPy makes integers of a mask: 8 bytes for each dimension.
        if count * indices.ndim * 8 > max(nbytes, ALWAYS_ALLOWED) * _TIMES:
            raise ValueError(
                f"a mask of {indices.ndim} dimensions and {count} items becomes too many indices "
                f"for an array of {nbytes} bytes"
            )
        return (count,), indices.ndim
    if indices.dtype.kind not in "iu" and indices.size:
        raise _no_index(numpy.ndarray)
    return indices.shape, 1


def _no_index(kind: type) -> IndexError:
    return IndexError(
        "expected integers, slices, None, masks and lists or arrays of integers as indices of an "
        f"array, got a `{kind.__name__}`"
    )
