"""What a process holds, and whether that stays as it is. What it does is not known here."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Growth", "Sample", "judge", "least", "take"]

_MIB: Final = 1024 * 1024

# What a process may hold more at the end of its life than early in it.
MEMORY: Final = 4 * _MIB  # bytes
WARM_UP: Final = 5 * _MIB  # bytes besides, in the first minute: allocators and caches fill up
SLOPE: Final = _MIB / 60  # bytes for each second besides; 10 bytes a call would show in an hour
DESCRIPTORS: Final = 2  # a connection that is being made anew just then
THREADS: Final = 1
TASKS: Final = 3

_SHORTEST: Final = 5.0  # seconds between two samples that can be compared
_WARM_AFTER: Final = 60.0  # seconds


class Sample(NamedTuple):
    """What a process held at one time.

    Attributes:
        at: seconds, by the monotonic clock, which all processes share.
        memory: resident bytes.
        descriptors, threads, tasks: how many there were.
    """

    at: float
    memory: int
    descriptors: int
    threads: int
    tasks: int


def take(loop: asyncio.AbstractEventLoop | None) -> Sample:
    """Look at this process, from any thread but that of the loop."""
    gc.collect()
    tasks = 0
    if loop is not None:
        tasks = asyncio.run_coroutine_threadsafe(_count_tasks(), loop).result(30)
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return Sample(
        time.monotonic(),
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        tasks,
    )


async def _count_tasks() -> int:
    return len(asyncio.all_tasks()) - 1  # without this one


def least(samples: Sequence[Sample]) -> Sample:
    """Return the least of samples from one quiet moment: what comes and goes does not count."""
    return Sample(samples[0].at, *map(min, zip(*(sample[1:] for sample in samples), strict=True)))


class Growth(NamedTuple):
    """How a process has grown.

    Attributes:
        flat: whether that is within the limits; None if it did not live long enough to tell.
        first, last: samples from an early and a late quiet moment.
        complaints: what has grown too much.
    """

    flat: bool | None
    first: Sample
    last: Sample
    complaints: tuple[str, ...]


def judge(samples: Sequence[Sample]) -> Growth:
    """Compare what one process held in quiet moments of its life.

    Args:
        samples: one for each moment, the earliest first; at least one.
    """
    first, last = samples[0], samples[-1]
    allowed = float(MEMORY)
    warm = next(
        sample for sample in samples if sample.at - first.at >= _WARM_AFTER or sample is last
    )
    if last.at - warm.at >= _WARM_AFTER:
        first = warm
    else:
        allowed += WARM_UP
    seconds = last.at - first.at
    if seconds < _SHORTEST:
        return Growth(None, first, last, ())
    allowed += SLOPE * seconds
    complaints = []
    if last.memory - first.memory > allowed:
        complaints.append(
            f"memory grew by {(last.memory - first.memory) / _MIB:.1f} MiB in {seconds:.0f} s, "
            f"where {allowed / _MIB:.1f} MiB is the limit"
        )
    for name, limit in (("descriptors", DESCRIPTORS), ("threads", THREADS), ("tasks", TASKS)):
        more = getattr(last, name) - getattr(first, name)
        if more > limit:
            complaints.append(f"{name} grew by {more}, where {limit} is the limit")
    return Growth(not complaints, first, last, tuple(complaints))
