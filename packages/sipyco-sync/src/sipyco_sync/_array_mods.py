"""What mods may do with arrays and slices: no more than the mod and the structure are large.

A slice of a list, a list of indices, and a value that becomes items of an array multiply. With
them a mod of some kilobytes could have a gigabyte made, or each byte of an array set a million
times. NumPy is not imported here: no array can exist before it is loaded.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sipyco_pyon import pyon

__all__: list[str] = []

_ALWAYS_ALLOWED: Final = 512 * 1024  # bytes: 65,536 numbers take no time worth counting
_ITEM: Final = 16  # bytes that an item of a list takes at least, with what refers to it
_MAX_DIMENSIONS: Final = 64  # more than any array has
_MAX_INDICES: Final = 128  # of one key; more than NumPy takes
_SHOWN: Final = (dict, frozenset, set, slice)  # no items: as text they may be far longer
_SMALL: Final = 256  # bytes of an item; of larger ones NumPy may not make 128 to cast one
_MASK_TIMES: Final = 64  # a mask of 8 dimensions becomes as many indices of 8 bytes

# What nearly all keys and values are made of is looked at quickly: nothing of it multiplies.
_PLAIN: Final = frozenset({bool, bytes, complex, float, int, str, type(None)})
_PLAIN_INDICES: Final = frozenset({bool, int})
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
    """Refuse to set more bytes of an array than it has, or than there are indices.

    The same goes for the value, of which NumPy makes an array before it looks whether that fits.

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
    if is_array and dtype.itemsize and type(value) in _PLAIN and _is_plain_key(key):
        return
    names, fields = dtype.names or (), dtype.fields or {}
    limit = max(container.nbytes, _ALWAYS_ALLOWED)
    if isinstance(container, numpy.void) and isinstance(key, (int, numpy.integer)):
        if isinstance(key, bool) or not -len(names) <= key < len(names):
            shown = f"{pyon.shown(key):.40}"  # it may have too many digits for Python
            raise IndexError(f"expected the index of one of {len(names)} fields, got {shown}")
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
            if count * indices.ndim * 8 > max(container.nbytes, _ALWAYS_ALLOWED) * _MASK_TIMES:
                raise ValueError(
                    f"a mask of {indices.ndim} dimensions and {count} items becomes too many "
                    f"indices for an array of {container.nbytes} bytes"
                )
            shapes.append((count,))
            others += [0] * indices.ndim
        else:
            limit = max(limit, indices.size * _ITEM)
            shapes.append(indices.shape)
            others.append(0)
    # A dimension without items has none to point to, and indices are looked at all the same.
    lengths = [max(1, length) for length in shape]
    each = numpy.broadcast_to(numpy.int8(0), lengths)[tuple(others)]
    count = math.prod(numpy.broadcast_shapes(*shapes)) * max(1, numpy.size(each))
    if count * max(1, dtype.itemsize) > limit:
        raise ValueError(
            f"expected to set at most {limit} bytes of an array of {container.nbytes} bytes, "
            f"got a key of {count} items of {dtype.itemsize} bytes"
        )
    if dtype.kind == "O" and not shapes and not isinstance(each, numpy.ndarray):
        return  # one object, which is held as it is
    _check_value(value, dtype, limit)


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


def _index_array(index: Any) -> Any:
    """Make an array of an index, once it is known that nothing in it multiplies."""
    numpy: Any = sys.modules["numpy"]
    level = [index] if isinstance(index, (list, tuple)) else []
    for _ in range(_MAX_DIMENSIONS):
        deeper: list[Any] = []
        mixed = (
            sequence for sequence in level if not _PLAIN_INDICES.issuperset(map(type, sequence))
        )
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
        raise IndexError(f"expected at most {_MAX_DIMENSIONS} dimensions of indices")
    indices = numpy.asarray(index)
    if isinstance(index, (list, tuple)) and not indices.size:
        return indices.astype(int)  # of what is in it nothing can be told, and NumPy takes it
    if indices.dtype.kind not in "biu":
        raise IndexError(f"expected integers as indices of an array, got {indices.dtype}")
    return indices


def _check_items(array: Any) -> None:
    """Refuse an array whose items become items of a list, and take bytes only there."""
    if array.ndim and len(array) > array.nbytes:
        raise ValueError(
            f"expected an array whose items have bytes as items of a list, got {len(array)} "
            f"items of an array of {array.nbytes} bytes"
        )


def _check_value(value: Any, dtype: Any, limit: int) -> None:
    """Refuse a value whose items would take more room in an array of that dtype than is allowed.

    A field that is an array itself is made of what a record has for it: so there are levels, one
    for each such field within another, and at each of them the whole must be in bounds.
    """
    numpy: Any = sys.modules["numpy"]
    room: dict[int, int] = {}  # bytes, by level
    own = 0  # bytes that the value takes at least
    to_see = [(value, dtype, 0, 0)]
    while to_see:
        value, dtype, level, depth = to_see.pop()
        count = 1
        if isinstance(value, tuple) and dtype.names is not None:
            for name, item in zip(dtype.names, value, strict=False):
                if dtype[name].kind != "O":
                    to_see.append((item, dtype[name].base, level + 1, 0))
        elif isinstance(value, (list, tuple)):
            if depth == _MAX_DIMENSIONS:
                raise ValueError(f"expected a value of at most {depth} dimensions for an array")
            rest = [] if _PLAIN.issuperset(map(type, value)) else list(value)
            if dtype.names is not None:
                rest = [item for item in rest if not _is_plain_record(item)]
            to_see.extend((item, dtype, level, depth + 1) for item in rest)
            count = len(value) - len(rest)
            own += count * _ITEM
        elif isinstance(value, (numpy.ndarray, numpy.generic)):
            count = value.size
            if dtype.itemsize > _SMALL and _is_cast(value.dtype, dtype):
                count = max(count, 128)
            own += value.nbytes * 8  # an object for each takes a pointer
        elif isinstance(value, _SHOWN) and not dtype.hasobject:
            raise ValueError(
                f"expected numbers or strings as items of an array, got a `{type(value).__name__}`"
            )
        else:
            own += _ITEM
        room[level] = room.get(level, 0) + count * max(1, dtype.itemsize)
    most = max(room.values(), default=0)
    if most > max(limit, own):
        raise ValueError(
            f"expected a value of at most {limit} bytes as items of an array, got one of {most}"
        )


def _is_plain_record(value: Any) -> bool:
    return type(value) is tuple and _PLAIN.issuperset(map(type, value))


def _is_cast(given: Any, wanted: Any) -> bool:
    """Tell whether NumPy converts by way of memory for 128 items, to and from which it copies."""
    return given.kind != wanted.kind or (wanted.names is not None and given != wanted)
