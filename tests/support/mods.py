"""Random values for structures, and random changes of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from sipyco_sync.sync_struct import Notifier

LARGEST = 15_000  # bytes of the largest value

LEAVES = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=5),
    st.floats(allow_nan=False),
    st.binary(max_size=5),
    st.integers(1, LARGEST).map(lambda size: "x" * size),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=2), st.integers(0, 3)), inner, max_size=3),
        st.tuples(inner),
    ),
    max_leaves=6,
)
NUMBERS = st.integers(0, 2**16)  # which of what there is, modulo how many there are


def containers(part: Notifier) -> list[Notifier]:
    """Find every list and dictionary."""
    found = [part]
    raw = part.raw_view
    for key in raw if isinstance(raw, dict) else range(len(raw)):
        if isinstance(raw[key], (dict, list)):
            found += containers(part[key])
    return found


def change(n: Notifier, where: int, which: int, at: int, value: Any) -> None:
    """Make one random change."""
    value = deepcopy(value)  # one list in two places is what a notifier's users may not do
    if not isinstance(value, (dict, list)) and where % 7 == 0:
        value = [value, {}]  # structures that grow deep
    parts = containers(n)
    part = parts[where % len(parts)]
    raw = part.raw_view
    if isinstance(raw, dict):
        key = list(raw)[at % len(raw)] if raw and at % 2 else ("a", 1, (1, "t"), 2.5)[at % 4]
        if which % 3 == 0 and key in raw:
            del part[key]
        elif which % 3 == 1 and key in raw:
            part.pop(key)
        else:
            part[key] = value
    else:
        index = at % (len(raw) + 1) - (len(raw) if which % 2 else 0)
        there = -len(raw) <= index < len(raw)
        if which % 5 == 0 and there:
            part.pop(index)
        elif which % 5 == 1 and there:
            del part[index]
        elif which % 5 == 2 and there:
            part[index] = value
        elif which % 5 == 3 and at % 4 == 0:
            part[slice(index, None)] = [value]
        elif which % 2:
            part.append(value)
        else:
            part.insert(index, value)
