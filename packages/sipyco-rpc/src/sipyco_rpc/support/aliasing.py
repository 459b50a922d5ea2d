"""Tells whether anybody could still change a piece of memory. No sending here.

Memory that nobody else can reach need not be copied before it waits to be sent. That is believed
only where it is certain: of an array of NumPy that owns its memory, alone or through one view, by
the reference counts of CPython. They are no promise: they are believed in the versions that are
known to count whoever can come back to an object. Everywhere else the answer is that somebody
could, and what waits is copied.

* Up to 3.13, each reference counts.
* From 3.14 on, what a running frame has on its stack, and a parameter of a function that it calls,
  may not count, if a local variable of a frame that outlives them does: the object has at least
  that count. What is compared are differences to samples that are counted in the same place.
* Not where references are counted by threads (free threading), nor where the just-in-time compiler
  may leave out counts that it takes for superfluous.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import MethodType
from typing import Any, Final
from weakref import getweakrefcount

# The versions whose counts have been looked into.
_KNOWN: Final = sys.version_info < (3, 16)

# None where there is no such function, as on other implementations of Python.
_getrefcount: Final[Callable[[object], int] | None] = getattr(sys, "getrefcount", None)


def is_unaliased(piece: Any) -> bool:
    """Tell whether it is certain that nobody but a piece itself can reach its memory.

    Args:
        piece: a `memoryview` to whose array the caller has no reference left.
    """
    numpy = sys.modules.get("numpy")
    kind = getattr(numpy, "ndarray", None)
    if not COUNTS_HOLD or kind is None:
        return False
    # Of a class derived from it nothing is known: where it has its memory from, nor who else
    # knows of an instance.
    if type(piece.obj) is not kind:
        return False
    owns = _owns(piece.obj)
    if not owns and not (type(piece.obj.base) is kind and _owns(piece.obj.base)):
        return False
    if getweakrefcount(piece.obj) or getweakrefcount(piece.obj.base):
        return False
    # What else counts while this runs is found out by samples, each time: it is not the same in
    # all versions, and may become another when Python has optimized this function.
    counts, alone, held = _counts(piece), _counts(_ALONE), _counts(_HELD)
    if held != (alone[0] + 1, alone[1] + 1):
        return False
    return counts[0] == alone[0] and (owns or counts[1] == alone[1])


def _owns(array: Any) -> bool:
    """Tell whether an array has memory of its own: without a base it may be that of C code."""
    return array.flags.owndata and array.base is None


def _counts(piece: Any) -> tuple[int, int]:
    """Count who refers to the object that a piece is memory of, and to the base of that."""
    assert _getrefcount is not None
    return _getrefcount(piece.obj), _getrefcount(piece.obj.base)


class _Sample(bytearray):
    """Something with memory and a base, as an array may have."""

    base: object

    @classmethod
    def memory(cls) -> memoryview:
        sample = cls(1)
        sample.base = object()
        return memoryview(sample)


def _suspended(value: object) -> Iterator[object]:
    """Have a value in a frame."""
    yield None
    yield value


def _frame_with(value: object) -> Iterator[object]:
    frame = _suspended(value)
    next(frame)
    return frame


# Ways to refer to something; each counts as one.
_HOLDERS: Final[list[Callable[[Any], object]]] = [
    lambda value: [value],
    lambda value: {0: value},
    lambda value: partial(id, value),
    lambda value: lambda: value,
    lambda value: _frame_with(value),
    lambda value: MethodType(id, value),
]


def _check_counts() -> bool:
    """Tell whether the counts of references are all that refer to something, and at once."""
    if _getrefcount is None or sys.implementation.name != "cpython" or not _KNOWN:
        return False
    jit = getattr(sys, "_jit", None)  # since Python 3.14
    if jit is not None and jit.is_enabled():
        return False
    if "free-threading" in sys.version or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False  # other threads count by themselves, and some references do not count
    memory = _Sample.memory()
    alone = _counts(memory)
    local = memory.obj
    if _counts(memory)[0] != alone[0] + 1:
        return False
    del local
    for hold in _HOLDERS:
        holders = hold(memory.obj), hold(memory.obj.base)  # type: ignore[attr-defined]
        if _counts(memory) != (alone[0] + 1, alone[1] + 1):
            return False
        del holders
        if _counts(memory) != alone:
            return False
    return True


def _counts_hold() -> bool:
    try:
        return _check_counts()
    except Exception:  # noqa: BLE001  (of what a later version may have changed)
        return False


_ALONE: Final = _Sample.memory()
_HELD: Final = _Sample.memory()
_HELD_BY: Final = (_HELD.obj, _HELD.obj.base)  # type: ignore[attr-defined]

COUNTS_HOLD: Final = _counts_hold()
