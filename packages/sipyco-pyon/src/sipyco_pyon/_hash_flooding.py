"""Keys that a peer has chosen to collide in Python's tables: counted, before they are put in.

Python compares a key with those that have its hash, and looks in many places where hashes lead to
the same ones. The hashes of numbers, and of tuples of them, can be chosen; those of strings and
bytes depend on a secret. So what a table will do with the others is counted, if there are many. A
clock would say as much, but what it says depends on the machine.
"""

from __future__ import annotations

from array import array
from itertools import islice
from operator import eq

from sipyco_pyon._registry import is_fraction

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Any, Final

__all__: list[str] = []

# Fewer keys than these take no longer in any case than what each key may take.
UNCHECKED_KEYS: Final = 256

# Comparisons with other keys of the same hash, for each key, or item of a tuple: some 25 ns.
_COMPARISONS: Final = 128

_AT_ONCE: Final = 256  # characters, or bytes, that are compared in this time

# Comparisons of numbers that one of fractions takes, which are compared in Python.
_FRACTION: Final = 8

# Places that are looked at in vain, for each key: some 5 ns. Numbers at equal distances, the worst
# of what is usual, need 30 if there are ten thousand of them, and 300 if there are three million.
_STEPS: Final = 1024

# Steps that one text has on top of these, of which a comparison takes 16. So 8,000 keys are put in
# without being counted; so 2,000 that all have one hash, because somebody has written a bad
# `__hash__`, are nobody's fault yet. They take some 0.1 s.
_SPARE: Final = 32 * 1024 * 1024
_COMPARISON: Final = 16

_SECRET: Final = frozenset({bytes, str})  # classes whose hashes nobody can choose
_SIMPLE: Final = frozenset({bool, bytes, complex, float, int, str, type(None)})

# What CPython does, from 3.7 on at least. Where the tables are others, the count is the same, and
# says less of the time.
_SHIFT: Final = 5
_UNSIGNED: Final = 0xFFFF_FFFF_FFFF_FFFF
_RUN: Final = 10  # neighbouring places that a set looks at before it goes elsewhere
_MANY: Final = 50_000  # items of a set from which on it grows more slowly


class HashFloodingGuard:
    """Counts what the keys of one text take."""

    def __init__(self) -> None:
        self._spare = _SPARE

    def check(self, keys: list[Any], is_set: bool) -> None:
        """Check that keys can be put into an empty dictionary or set in reasonable time.

        Raises:
            ValueError: they cannot.
            TypeError: a key cannot be hashed.
        """
        kinds = set(map(type, keys))
        if kinds <= _SECRET:
            return
        most = len(keys) ** 2 // 2
        if kinds <= _SIMPLE and _COMPARISON * most <= self._spare:
            self._spare -= _COMPARISON * most  # whatever they are: it is not worth counting
            return
        hashes = list(map(hash, keys))
        ordered = sorted(hashes)
        if any(map(eq, ordered, islice(ordered, 1, None))):
            hashes = self._distinct(keys, hashes, ordered)
        most = len(hashes) ** 2 // 2
        if most <= self._spare:
            self._spare -= most
        elif not _fits(hashes, is_set):
            raise _too_many(keys)

    def _distinct(self, keys: list[Any], hashes: list[int], ordered: list[int]) -> list[int]:
        """Give the hashes of the keys, without those that are equal to an earlier one."""
        # By strings: a table of the hashes is what they may have been chosen for.
        groups: dict[str, list[Any]] = {
            str(number): []
            for number, following in zip(ordered, islice(ordered, 1, None), strict=False)
            if number == following
        }
        sizes = list(map(_size, keys))
        left = _COMPARISONS * sum(sizes) + self._spare // _COMPARISON
        spare = min(left, self._spare // _COMPARISON)
        distinct: list[int] = []
        for key, number, size in zip(keys, hashes, sizes, strict=True):
            group = groups.get(str(number))
            if group is None:
                distinct.append(number)
                continue
            left -= size * len(group)
            if left < 0:
                raise _too_many(keys)
            # As a table does: what is the same is not asked whether it is equal.
            if not any(other is key or other == key for other in group):
                group.append(key)
                distinct.append(number)
        self._spare = min(spare, left) * _COMPARISON
        return distinct


def _fits(hashes: list[int], is_set: bool) -> bool:
    """Tell whether a growing table takes so many steps for keys, all hashes of which differ."""
    tables = _tables(len(hashes), is_set)
    cycle = positions = array("Q")
    left = _STEPS * len(hashes)
    for count, size in tables:
        if count <= UNCHECKED_KEYS:
            continue
        places = array("Q", [number & (size - 1) for number in hashes[:count]])
        if not _all_differ(places, size):
            if not cycle:
                cycle, positions = _cycle(tables[-1][1])
            places = array("Q")
            left = _put(
                hashes[:count], size, _RUN if is_set else 1, cycle, positions, places, left
            )
            if left < 0:
                return False
        if is_set:  # when it grows, its items come in the order of their places
            hashes[:count] = [number for _, number in sorted(zip(places, hashes, strict=False))]
    return True


def _all_differ(places: array[int], size: int) -> bool:
    """Tell whether each key has a place of its own, as numbers in a row do: none collides."""
    taken = bytearray(size)
    for place in places:
        taken[place] = 1
    return taken.count(1) == len(places)


def _put(
    hashes: list[int],
    size: int,
    run: int,
    cycle: array[int],
    positions: array[int],
    places: array[int],
    left: int,
) -> int:
    """Put keys into a table, and give how many steps of those that are left it has not taken.

    A key is looked for at the place that the end of its hash names, and further on at others that
    follow from all of it, but from the 13th on, or an earlier one, from the place before alone:
    by then it follows a cycle of all places. There a chain of taken ones can be long, and is seen
    at once where the places have the order of the cycle.

    Args:
        hashes: those of the keys.
        size: of the table.
        run: how many neighbours are looked at together.
        cycle: the places in the order of the cycle, in a table of this size or a larger one.
        positions: where in the cycle each place is, the same.
        places: is filled with the place of each key.
        left: the steps that are left.
    """
    mask = size - 1
    taken = bytearray(size)
    full = bytearray(size)  # in the order of the cycle: whether all of the run is taken
    for number in hashes:
        place = number & mask
        if taken[place]:
            rest = number & _UNSIGNED
            position = positions[place] & mask
            while full[position]:
                left -= 1
                rest >>= _SHIFT
                place = (place * 5 + rest + 1) & mask
                position = positions[place] & mask
                if rest == 0:
                    free = full.find(0, position)
                    if free < 0:
                        free = full.find(0) + size
                    left -= free - position
                    place = cycle[free & mask] & mask
                    break
            if left < 0:
                break
            if run > 1 and place + run <= size:
                place = taken.find(0, place)
        taken[place] = 1
        places.append(place)
        if run == 1 or place + run > size:
            full[positions[place] & mask] = 1
        if run > 1:
            first = max(taken.rfind(0, 0, place), place - run) + 1
            end = taken.find(0, place, place + run)
            last = (place + run if end < 0 else end) - run
            for start in range(first, min(last, size - run) + 1):
                full[positions[start] & mask] = 1
    return left


def _cycle(size: int) -> tuple[array[int], array[int]]:
    """Give the places in the order in which they follow each other, and where each of them is.

    With fewer bits of them, both are those of a smaller table.
    """
    cycle = array("Q", bytes(8 * size))
    positions = array("Q", bytes(8 * size))
    place = 0
    for position in range(size):
        cycle[position] = place
        positions[place] = position
        place = (place * 5 + 1) & (size - 1)
    return cycle, positions


def _tables(count: int, is_set: bool) -> list[tuple[int, int]]:
    """Give the tables that so many keys go through: how many each has at the end, and its size."""
    tables: list[tuple[int, int]] = []
    size = 8
    while True:
        # A dictionary grows before it has more than two thirds, a set when it has three fifths.
        most = -(-3 * (size - 1) // 5) if is_set else size * 2 // 3
        tables.append((min(count, most), size))
        if count < most or (count == most and not is_set):
            return tables
        wanted = most * (2 if most > _MANY else 4) + 1 if is_set else most * 3
        while size < wanted:
            size *= 2


def _size(key: Any) -> int:
    """Tell about how long it takes to compare a key."""
    cls = type(key)
    if cls is tuple:
        return 1 + sum([_size(item) for item in key])
    if cls is slice:  # can be a key from Python 3.12 on
        return 1 + _size(key.start) + _size(key.stop) + _size(key.step)
    if cls in _SECRET:
        return 1 + len(key) // _AT_ONCE
    return _FRACTION if is_fraction(cls) else 1


def _too_many(keys: list[Any]) -> ValueError:
    return ValueError(f"too many of its {len(keys)} keys collide in Python's tables")
