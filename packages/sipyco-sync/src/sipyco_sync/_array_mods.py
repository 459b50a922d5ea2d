"""What mods may do with arrays: no more work than the mod and the array are large.

Lists and arrays of indices multiply. With them a mod of a megabyte could have a terabyte made, or
each item of an array set a million times.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Final

__all__: list[str] = []

_ALWAYS_ALLOWED: Final = 65536  # items that take no time worth counting


def check_step(container: Any, key: Any) -> None:
    """Refuse to go into an array by a list or an array of indices: that gives a copy.

    Raises:
        ValueError: the key has one.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(container, numpy.ndarray):
        return
    for index in key if isinstance(key, tuple) else (key,):
        if not isinstance(index, (int, slice, str, type(None), numpy.integer)):
            raise ValueError(f"no part of an array is at an index of {type(index)}")


def check_setitem(container: Any, key: Any) -> None:
    """Refuse to set more items of an array than it has, or than there are indices.

    Raises:
        ValueError: the key is of so many; or its indices do not go together.
        IndexError: the array has no such dimension.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(container, numpy.ndarray) or not container.size:
        return
    shapes = []
    others: list[Any] = []  # the key with 0 for each index that comes from a list or an array
    limit = max(container.size, _ALWAYS_ALLOWED)
    for index in key if isinstance(key, tuple) else (key,):
        if not isinstance(index, (list, tuple, numpy.ndarray)):
            others.append(index)
            continue
        indices = numpy.asarray(index)
        limit = max(limit, indices.size)
        if indices.dtype.kind == "b":
            shapes.append((int(numpy.count_nonzero(indices)),))
            others += [0] * indices.ndim
        elif indices.dtype.kind in "iu":
            shapes.append(indices.shape)
            others.append(0)
        else:
            return  # names of fields; or nothing, or what NumPy refuses
    if not shapes:
        return
    each = numpy.broadcast_to(numpy.int8(0), container.shape)[tuple(others)]
    count = math.prod(numpy.broadcast_shapes(*shapes)) * numpy.size(each)
    if count > limit:
        raise ValueError(f"{count} items of an array cannot be set at once: it has fewer")
