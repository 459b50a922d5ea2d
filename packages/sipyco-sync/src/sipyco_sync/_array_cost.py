"""The cost of a value that becomes items of an array. What it is compared with is not known here.

NumPy makes an array of it before it looks whether that fits, and converts an item once for each
item that it is set to. NumPy is not imported here: no array can exist before it is loaded.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

ITEM: Final = 16  # bytes that an item of a list takes at least, with what refers to it

_MAX_DIMENSIONS: Final = 64  # more than any array has
_BUFFERED: Final = 128  # items that NumPy has memory for when it converts one
# No items: as text they may be far longer, and what is in a `range` takes nothing in a message.
_SHOWN: Final = (deque, dict, frozenset, range, set, slice)


def nested(values: Any, whole: Any = ()) -> Iterator[tuple[int, type, Any]]:
    """Give what is in nested lists and tuples: its depth, its type, and all of that.

    However many there are, no call is made for each of them. Those of the type `whole` are not
    gone into.
    """
    depth = 0
    while values:
        if depth > _MAX_DIMENSIONS:
            raise ValueError(f"expected lists of at most {_MAX_DIMENSIONS} dimensions")
        kinds = set(map(type, values))
        sequences: list[Any] = []
        for kind in kinds:
            group: Any = values
            if len(kinds) > 1:
                group = [item for item in values if type(item) is kind]
            if issubclass(kind, (list, tuple)) and not issubclass(kind, whole):
                sequences += group
            else:
                yield depth, kind, group
        values = sequences[0] if len(sequences) == 1 else list(chain.from_iterable(sequences))
        depth += 1


class Cost:
    """What a value costs as items of an array.

    A field that is an array is made of what a record has for it: so there are levels, one for each
    such field within another, and at each of them the whole must be in bounds.

    Args:
        dtype: that of the items.
        count: how many items are set.

    Raises:
        ValueError: the value is no such items.
    """

    def __init__(self, value: Any, dtype: Any, count: int) -> None:
        self.own = 0  # bytes that the value takes at least
        self.room = 0  # bytes that its items take, at the level where they take most
        # How many items there are to be converted, by the dtypes that they have and will have.
        self._arrays = Counter[Any]()
        level = [([value], dtype, count)]
        while level:
            fields: list[Any] = []
            self.room = max(self.room, sum([self._add(*values, fields) for values in level]))
            level = fields

    def _add(self, values: Any, dtype: Any, count: int, fields: list[Any]) -> int:
        """Count values, of which each is set to `count` items; return the room that they take."""
        numpy: Any = sys.modules["numpy"]
        items = 0
        for depth, kind, group in nested(values, tuple if dtype.names else ()):
            self.own += len(group) * ITEM
            if issubclass(kind, (numpy.ndarray, numpy.generic)):
                times = 1 if depth else count
                for array in group:
                    size = array.size or 1
                    items += size
                    self.own += array.nbytes
                    if array.dtype is not dtype:
                        self._arrays[array.dtype, dtype] += size if size > times else times
                continue
            items += len(group)
            if issubclass(kind, tuple):
                fields += _columns(group, dtype)
            elif issubclass(kind, _SHOWN) and not dtype.hasobject:
                raise ValueError(
                    f"expected numbers or strings as items of an array, got a `{kind.__name__}`"
                )
        # Each field takes its time, and may have no bytes.
        return items * max(len(_scalars(dtype)), int(dtype.itemsize))

    def converted(self) -> int:
        """Count the bytes that NumPy goes through, or has buffers of, to convert what it sets."""
        read = buffers = 0
        for (given, wanted), number in self._arrays.items():
            sources, targets = _scalars(given.base), _scalars(wanted)
            if len(sources) != len(targets):  # each of a record is made of the whole
                sources = [(given.base, 1)] * len(targets)
            pairs = zip(sources, targets, strict=True)
            other = [
                (max(a.itemsize, b.itemsize), n) for (a, _), (b, n) in pairs if a.kind != b.kind
            ]
            read += number * sum(size * n for size, n in other)
            buffers = max(buffers, _BUFFERED * sum(size for size, _ in other))
        return max(read, buffers)


def _columns(records: Any, dtype: Any) -> Iterator[tuple[Any, Any, int]]:
    """Give what records have for each field, its dtype, and how many items that is set to."""
    width = len(dtype.names)
    if set(map(len, records)) != {width}:  # NumPy refuses those of another length
        records = [record for record in records if len(record) == width]
    for name, values in zip(dtype.names, zip(*records, strict=True), strict=False):
        field = dtype[name]
        if field.kind != "O":  # an object is held as it is
            yield values, field.base, math.prod(field.shape)


def _scalars(dtype: Any, times: int = 1) -> list[tuple[Any, int]]:
    """List the types of numbers and texts that an item has, and how many of each."""
    if dtype.subdtype is not None:
        return _scalars(dtype.base, times * math.prod(dtype.shape))
    if dtype.names:
        return [pair for name in dtype.names for pair in _scalars(dtype[name], times)]
    return [(dtype, times)]
