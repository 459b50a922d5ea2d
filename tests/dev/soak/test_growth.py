"""A process that grows is told from one that is flat."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dev.soak.growth import Sample, judge, least, take

pytestmark = pytest.mark.one_python

MIB = 1024 * 1024
EARLY = Sample(100.0, 40 * MIB, 20, 3, 5)


@pytest.mark.parametrize(
    ("late", "complaint"),
    [
        (Sample(160.0, 55 * MIB, 20, 3, 5), "memory grew by 15.0 MiB in 60 s, where 10.0 MiB is"),
        (Sample(160.0, 40 * MIB, 23, 3, 5), "descriptors grew by 3, where 2 is the limit"),
        (Sample(160.0, 40 * MIB, 20, 5, 5), "threads grew by 2, where 1 is the limit"),
        (Sample(160.0, 40 * MIB, 20, 3, 9), "tasks grew by 4, where 3 is the limit"),
    ],
)
def test_a_process_that_grows_is_not_flat(late: Sample, complaint: str) -> None:
    growth = judge([EARLY, late])
    assert growth.flat is False
    assert len(growth.complaints) == 1
    assert growth.complaints[0].startswith(complaint)


def test_a_process_that_stays_within_the_limits_is_flat() -> None:
    growth = judge([EARLY, Sample(130.0, 90 * MIB, 99, 99, 99), Sample(160.0, 46 * MIB, 22, 4, 8)])
    assert growth.flat is True
    assert growth.complaints == ()


def lived(*memory: int) -> list[Sample]:
    """Give a sample for each minute, of so many MiB."""
    return [
        EARLY._replace(at=60.0 * minute, memory=mib * MIB) for minute, mib in enumerate(memory)
    ]


def test_the_first_minute_is_not_compared_in_a_long_life() -> None:
    assert judge(lived(40, 49)).flat is True
    assert judge(lived(40, 51)).flat is False
    growth = judge(lived(40, 60, 61, 62))
    assert growth.flat is True
    assert (growth.first.at, growth.last.at) == (60.0, 180.0)
    assert judge(lived(40, 60, 61, 67)).complaints == (
        "memory grew by 7.0 MiB in 120 s, where 6.0 MiB is the limit",
    )


def test_a_leak_is_seen_in_a_long_life_that_would_not_be_in_a_short_one() -> None:
    assert judge(lived(40, 42, 44)).flat is True
    assert judge(lived(*range(40, 62, 2))).flat is False


def test_a_short_life_tells_nothing() -> None:
    assert judge([EARLY]).flat is None
    assert judge([EARLY, Sample(104.0, 400 * MIB, 20, 3, 5)]).flat is None


def test_what_comes_and_goes_in_a_quiet_moment_does_not_count() -> None:
    assert least([Sample(1.0, 9, 4, 3, 2), Sample(2.0, 8, 5, 1, 3)]) == Sample(1.0, 8, 4, 1, 2)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="it needs /proc")
def test_a_sample_counts_what_there_is() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    before = take(loop)

    async def wait() -> None:
        await asyncio.Event().wait()

    waiting = asyncio.run_coroutine_threadsafe(wait(), loop)
    with open(__file__):
        after = take(loop)
    waiting.cancel()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert after.memory > MIB
    assert after.descriptors == before.descriptors + 1
    assert after.threads == before.threads
    assert after.tasks == before.tasks + 1
