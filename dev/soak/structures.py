"""The structure that is published, step by step, and how to tell whether a copy is a state of it.

No sockets here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np

__all__ = ["Progress", "WrongState", "digest", "first", "progress", "step"]

# How far a copy is: the run of its publisher, then the number that each place has, in the order
# in which they change. Of two states the later one has the larger progress.
Progress: TypeAlias = tuple[int, int, int, int, int, int, int]

_WINDOW: Final = 8  # items of the list


class WrongState(Exception):
    """A copy that was never the publisher's structure."""


def first(run: int, size: int) -> dict[str, Any]:
    """Return the structure before the first step.

    Args:
        run: how many times the publisher was started; it tells the structures of two apart.
        size: items of the array.
    """
    array = np.zeros(size, dtype=np.int32)
    return {"run": run, "a": 0, "list": [0], "table": {"array": array, "keys": {"0": 0}}, "b": 0}


def step(structure: Any, number: int) -> Iterator[None]:
    """Make one change after the other, from step `number - 1` to `number`.

    Args:
        structure: a notifier, or what else has the methods of containers.
        number: 1 or more.
    """
    structure["a"] = number
    yield
    structure["list"].append(number)
    yield
    if len(structure["list"]) > _WINDOW:
        structure["list"].pop(0)
        yield
    size = len(_plain(structure)["table"]["array"])
    structure["table"]["array"] = np.full(size, number, dtype=np.int32)
    yield
    structure["table"]["keys"][str(number)] = number
    yield
    del structure["table"]["keys"][str(number - 1)]
    yield
    structure["b"] = number
    yield


def _plain(structure: Any) -> Any:
    return getattr(structure, "raw_view", structure)


def progress(structure: Any) -> Progress:
    """Tell how far a copy is.

    Raises:
        WrongState: it is none of the states that `step` goes through.
    """
    try:
        if structure.keys() != {"run", "a", "list", "table", "b"}:
            raise WrongState(f"expected the keys of the structure, got {sorted(structure)}")
        table = structure["table"]
        array, keys, window = table["array"], table["keys"], structure["list"]
        newest = max(keys.values())
        oldest = min(keys.values())
        state = (
            structure["run"],
            structure["a"],
            window[-1],
            int(array[0]),
            newest,
            oldest,
            structure["b"],
        )
        uniform = bool((array == array[0]).all())
        named = keys == {str(number): number for number in range(oldest, newest + 1)}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as exc:
        raise WrongState(f"{type(exc).__name__}: {exc}") from exc
    places = state[1:]
    if (
        not uniform
        or not named
        or list(places) != sorted(places, reverse=True)
        or places[0] - places[-1] > 1
        or window != list(range(window[0], window[-1] + 1))
        or len(window) not in (min(window[-1] + 1, _WINDOW), min(window[-1] + 1, _WINDOW + 1))
    ):
        raise WrongState(f"the places of a copy do not agree: {state}, {window}")
    return state


def digest(structure: Any) -> str:
    """Return what is the same for equal structures only."""
    return hashlib.sha256(repr(_canonical(structure)).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((key, _canonical(item)) for key, item in value.items())
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    return value
