"""A guard against hash flooding: keys that a peer has chosen to collide in Python's hash tables.

Python compares a key with those that have its hash, and probes many slots where hashes lead to the
same ones. The hashes of numbers, and of tuples of them, can be chosen; those of strings and bytes
depend on a secret. So the comparisons and probes that a table will need are counted before the
keys are put in, if there are many. A clock would say as much, but that depends on the machine.
"""

from __future__ import annotations

from array import array
from itertools import islice
from operator import eq

from sipyco_pyon._registry import is_fraction
from sipyco_pyon.limits import COMPARISONS_PER_KEY, PROBES_PER_KEY, PROBES_PER_TEXT, UNCHECKED_KEYS

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Any, Final

# What takes as long as to compare two numbers, or so many times as long.
_AT_ONCE: Final = 256  # characters, or bytes
_FRACTION_COST: Final = 8  # these are compared in Python
_PROBES_PER_COMPARISON: Final = 16

_SECRET: Final = frozenset({bytes, str})  # classes whose hashes nobody can choose
_FLAT: Final = frozenset({bool, bytes, complex, float, int, str, type(None)})

# What CPython does, from 3.7 on at least. Where the tables are others, the count is the same, and
# says less of the time.
_PERTURB_SHIFT: Final = 5
_HASH_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_LINEAR_PROBES: Final = 10  # neighbouring slots that a set probes before it goes elsewhere
_MANY: Final = 50_000  # items of a set from which on it grows more slowly


class HashFloodingGuard:
    """Counts what the keys of one text take."""

    _budget = PROBES_PER_TEXT

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
        if kinds <= _FLAT and _PROBES_PER_COMPARISON * most <= self._budget:
            # Whatever they are: it is not worth counting.
            self._budget -= _PROBES_PER_COMPARISON * most
            return
        hashes = list(map(hash, keys))
        ordered = sorted(hashes)
        if any(map(eq, ordered, islice(ordered, 1, None))):
            hashes = self._distinct(keys, hashes, ordered)
        most = len(hashes) ** 2 // 2
        if most <= self._budget:
            self._budget -= most
        elif not _within_budget(hashes, is_set):
            raise _too_many_collisions(keys)

    def _distinct(self, keys: list[Any], hashes: list[int], ordered: list[int]) -> list[int]:
        """Give the hashes of the keys, without those that are equal to an earlier one."""
        # By strings: a table of the hashes is what they may have been chosen for.
        groups: dict[str, list[Any]] = {
            str(number): []
            for number, following in zip(ordered, islice(ordered, 1, None), strict=False)
            if number == following
        }
        sizes = list(map(_comparison_cost, keys))
        budget = COMPARISONS_PER_KEY * sum(sizes) + self._budget // _PROBES_PER_COMPARISON
        spare = min(budget, self._budget // _PROBES_PER_COMPARISON)
        distinct: list[int] = []
        for key, number, size in zip(keys, hashes, sizes, strict=True):
            group = groups.get(str(number))
            if group is None:
                distinct.append(number)
                continue
            budget -= size * len(group)
            if budget < 0:
                raise _too_many_collisions(keys)
            # As a table does: what is the same is not asked whether it is equal.
            if not any(other is key or other == key for other in group):
                group.append(key)
                distinct.append(number)
        self._budget = min(spare, budget) * _PROBES_PER_COMPARISON
        return distinct


def _within_budget(hashes: list[int], is_set: bool) -> bool:
    """Tell whether a growing table needs few enough probes for keys whose hashes all differ."""
    tables = _table_sizes(len(hashes), is_set)
    cycle = positions = array("Q")
    budget = PROBES_PER_KEY * len(hashes)
    for count, size in tables:
        if count <= UNCHECKED_KEYS:
            continue
        slots = array("Q", [number & (size - 1) for number in hashes[:count]])
        if not _all_slots_differ(slots, size):
            if not cycle:
                cycle, positions = _probe_cycle(tables[-1][1])
            slots = array("Q")
            linear = _LINEAR_PROBES if is_set else 1
            budget = _insert(hashes[:count], size, linear, cycle, positions, slots, budget)
            if budget < 0:
                return False
        if is_set:  # when it grows, its items come in the order of their slots
            hashes[:count] = [number for _, number in sorted(zip(slots, hashes, strict=False))]
    return True


def _all_slots_differ(slots: array[int], size: int) -> bool:
    """Tell whether each key has a slot of its own, as numbers in a row do: none collides."""
    used = bytearray(size)
    for slot in slots:
        used[slot] = 1
    return used.count(1) == len(slots)


def _insert(
    hashes: list[int],
    size: int,
    linear: int,
    cycle: array[int],
    positions: array[int],
    slots: array[int],
    budget: int,
) -> int:
    """Put keys into a table; return what is left of the budget of probes, or less than 0.

    The first slot to be probed is the end of the hash; the next ones follow from all of it, but
    from the 13th on, or an earlier one, from the slot before alone: by then they follow a cycle
    of all slots. There a chain of used ones can be long, and is seen at once where the slots have
    the order of the cycle.

    Args:
        hashes: those of the keys.
        size: of the table.
        linear: how many neighbours are probed together.
        cycle: see `_probe_cycle`; of a table of this size or a larger one.
        positions: the same.
        slots: is filled with the slot of each key.
        budget: the probes that are left.
    """
    mask = size - 1
    used = bytearray(size)
    full = bytearray(size)  # in the order of the cycle: whether it and its neighbours are used
    for number in hashes:
        slot = number & mask
        if used[slot]:
            perturb = number & _HASH_MASK
            position = positions[slot] & mask
            while full[position]:
                budget -= 1
                perturb >>= _PERTURB_SHIFT
                slot = (slot * 5 + perturb + 1) & mask
                position = positions[slot] & mask
                if perturb == 0:
                    free = full.find(0, position)
                    if free < 0:
                        free = full.find(0) + size
                    budget -= free - position
                    slot = cycle[free & mask] & mask
                    break
            if budget < 0:
                break
            if linear > 1 and slot + linear <= size:
                slot = used.find(0, slot)
        used[slot] = 1
        slots.append(slot)
        if linear == 1 or slot + linear > size:
            full[positions[slot] & mask] = 1
        if linear > 1:
            first = max(used.rfind(0, 0, slot), slot - linear) + 1
            end = used.find(0, slot, slot + linear)
            last = (slot + linear if end < 0 else end) - linear
            for start in range(first, min(last, size - linear) + 1):
                full[positions[start] & mask] = 1
    return budget


def _probe_cycle(size: int) -> tuple[array[int], array[int]]:
    """Give the slots in the order in which they follow each other, and where each of them is.

    With fewer bits of them, both are those of a smaller table.
    """
    cycle = array("Q", bytes(8 * size))
    positions = array("Q", bytes(8 * size))
    slot = 0
    for position in range(size):
        cycle[position] = slot
        positions[slot] = position
        slot = (slot * 5 + 1) & (size - 1)
    return cycle, positions


def _table_sizes(count: int, is_set: bool) -> list[tuple[int, int]]:
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


def _comparison_cost(key: Any) -> int:
    """Tell about how long it takes to compare a key."""
    cls = type(key)
    if cls is tuple:
        return 1 + sum([_comparison_cost(item) for item in key])
    if cls is frozenset:
        return 1 + sum([_comparison_cost(item) for item in key])
    if cls is slice:  # can be a key from Python 3.12 on
        return 1 + sum([_comparison_cost(bound) for bound in (key.start, key.stop, key.step)])
    if cls in _SECRET:
        return 1 + len(key) // _AT_ONCE
    return _FRACTION_COST if is_fraction(cls) else 1


def _too_many_collisions(keys: list[Any]) -> ValueError:
    return ValueError(f"too many of its {len(keys)} keys collide in Python's tables")
