"""What a value costs that becomes items of an array. What it is compared with is not known here.

NumPy makes an array of it before it looks whether that fits, and converts an item once for each
item that it is set to. NumPy is not imported here: no array can exist before it is loaded.
"""

from __future__ import annotations

import functools
import math
import sys
from itertools import chain
from typing import Any, Final

__all__: list[str] = []

MAX_DIMENSIONS: Final = 64  # more than any array has
ITEM: Final = 16  # bytes that an item of a list takes at least, with what refers to it

# What nearly all values are made of is looked at quickly: nothing of it multiplies.
NUMPY_SCALARS: Final[frozenset[type]] = frozenset(
    {bool, bytes, complex, float, int, str, type(None)}
)

# NumPy's characters for truth values, integers, floats, complex numbers, and times.
_CHARACTERS: Final = "?bBhHiIlLqQefdgFDGmM"

_SHOWN: Final = (dict, frozenset, set, slice)  # no items: as text they may be far longer
_SMALL: Final = 256  # bytes of an item; to convert a number to one takes no longer than to look
_BUFFERED: Final = 128  # items that NumPy has memory for when it converts one
_BUFFER_TIMES: Final = 4  # to make that memory takes as long as to convert so many of the items


@functools.cache
def numbers() -> frozenset[type]:
    """Give the types of NumPy's numbers of at most 16 bytes, truth values and times among them."""
    numpy: Any = sys.modules["numpy"]
    dtypes = [numpy.dtype(character) for character in _CHARACTERS]
    return frozenset(dtype.type for dtype in dtypes if dtype.itemsize <= 16)


class Cost:
    """What a value costs as items of an array.

    A field that is an array itself is made of what a record has for it: so there are levels, one
    for each such field within another, and at each of them the whole must be in bounds.

    Args:
        value: the value.
        dtype: that of the items.
        count: how many items are set.

    Attributes:
        own: bytes that the value takes at least.
        room: bytes that its items take in such an array, at the level where they take most.
        converted: bytes that NumPy goes through, or has memory for, to convert what is in arrays
            and scalars of another kind.

    Raises:
        ValueError: the value is no such items.
    """

    def __init__(self, value: Any, dtype: Any, count: int) -> None:
        self.own = 0
        self._rooms: dict[int, int] = {}  # by level
        self._read = 0
        self._buffer = 0
        self._known: dict[Any, tuple[int, int]] = {}
        # Values of one place, with their dtype, the items each is set to, and level and dimension.
        self._to_see: list[tuple[Any, Any, int, int, int]] = [([value], dtype, count, 0, 0)]
        while self._to_see:
            self._see(*self._to_see.pop())
        self.room = max(self._rooms.values())
        self.converted = max(self._read, self._buffer)

    def _see(self, values: Any, dtype: Any, count: int, level: int, depth: int) -> None:
        numpy: Any = sys.modules["numpy"]
        fields = _fields(dtype)
        plain = NUMPY_SCALARS | numbers() if fields <= dtype.itemsize <= _SMALL else NUMPY_SCALARS
        if dtype.kind in "SU":
            plain |= {numpy.bytes_ if dtype.kind == "S" else numpy.str_}
        kinds = set(map(type, values))
        others = kinds - plain
        items = sum([type(item) in plain for item in values]) if others else len(values)
        self.own += items * ITEM
        for kind in others:
            group: Any = values
            if len(kinds) > 1:
                group = [item for item in values if type(item) is kind]
            if issubclass(kind, tuple) and dtype.names is not None:
                items += len(group)
                if plain.issuperset(map(type, chain.from_iterable(group))):
                    self.own += len(group) * ITEM
                else:
                    self._see_fields_later(group, dtype, level)
            elif issubclass(kind, (list, tuple)):
                if depth == MAX_DIMENSIONS:
                    raise ValueError(
                        f"expected a value of at most {depth} dimensions for an array"
                    )
                deeper = group[0] if len(group) == 1 else list(chain.from_iterable(group))
                self._to_see.append((deeper, dtype, 1, level, depth + 1))
            elif issubclass(kind, (numpy.ndarray, numpy.generic)):
                items += sum([array.size for array in group])
                self.own += sum([array.nbytes for array in group])
                for array in group:
                    if array.dtype is not dtype:
                        self._convert(array.dtype, dtype, max(count, array.size))
            elif issubclass(kind, _SHOWN) and not dtype.hasobject:
                raise ValueError(
                    f"expected numbers or strings as items of an array, got a `{kind.__name__}`"
                )
            else:
                items += len(group)
                self.own += len(group) * ITEM
        self._rooms[level] = self._rooms.get(level, 0) + items * max(fields, dtype.itemsize)

    def _see_fields_later(self, records: Any, dtype: Any, level: int) -> None:
        for index, name in enumerate(dtype.names):
            field = dtype[name]
            if field.kind != "O":  # an object is held as it is
                values = [record[index] for record in records if index < len(record)]
                self._to_see.append((values, field.base, math.prod(field.shape), level + 1, 0))

    def _convert(self, given: Any, wanted: Any, count: int) -> None:
        known = self._known.get((given, wanted))
        if known is None:
            known = self._known[given, wanted] = _conversion(given, wanted)
        read, buffered = known
        self._read += max(read * count, buffered * _BUFFER_TIMES)
        self._buffer = max(self._buffer, buffered * _BUFFERED)


def _fields(dtype: Any) -> int:
    """Count the fields of a record: each takes its time, and may have no bytes."""
    return sum(_fields(dtype[name].base) for name in dtype.names) if dtype.names else 1


def _conversion(given: Any, wanted: Any) -> tuple[int, int]:
    """Tell how many bytes NumPy goes through to convert an item, and of how many it has buffers.

    What is no record becomes each field of one, and each item of a field that is an array.
    """
    if wanted.subdtype is not None:
        read, buffered = _conversion(given.base, wanted.base)
        return read * math.prod(wanted.shape), buffered
    given = given.base
    if wanted.names:
        fields = [wanted[name] for name in wanted.names]
        each = [given[name] for name in given.names] if given.names else [given] * len(fields)
        parts = [_conversion(*pair) for pair in zip(each, fields, strict=False)]
        return sum(read for read, _ in parts), sum(buffered for _, buffered in parts)
    if given.names and wanted.kind != "O":
        return _conversion(given[given.names[0]], wanted)
    if given.kind == wanted.kind:
        return 0, 0  # no more is copied than is set
    size = max(given.itemsize, wanted.itemsize)
    return size, size
