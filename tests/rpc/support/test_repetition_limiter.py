"""Errors that repeat: the first as it is, then how many there were, less and less often."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable

import pytest

from sipyco_rpc.support import repetition_limiter
from sipyco_rpc.support.repetition_limiter import RepetitionLimiter
from support.records import recorded

logger = logging.getLogger("sipyco.test")


def within_a_loop(body: Callable[[RepetitionLimiter], None]) -> None:
    async def main() -> None:
        limiter = RepetitionLimiter()
        body(limiter)
        limiter.flush()

    asyncio.run(main())


def tell(limiter: RepetitionLimiter, *texts: str, key: str = "a") -> None:
    for text in texts:
        limiter.log(logger, logging.WARNING, key, text)


def tick(limiter: RepetitionLimiter, key: str = "a") -> None:
    """Turn the clock of a kind by hand."""
    kind = limiter._kinds[key]
    kind.clock.cancel()
    limiter._tick(key, kind)


def test_the_first_of_each_kind_is_written_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def body(limiter: RepetitionLimiter) -> None:
        tell(limiter, "one", "two", "three")
        tell(limiter, "other", key="b")
        assert caplog.messages == ["one", "other"]
        tick(limiter)
        assert caplog.messages == ["one", "other", "three (the latest of 2 like it)"]

    within_a_loop(body)
    assert len(caplog.messages) == 3


def test_one_that_came_alone_is_written_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    within_a_loop(lambda limiter: tell(limiter, "one", "100 % more"))
    assert caplog.messages == ["one", "100 % more"]


def test_summaries_become_rarer_and_after_a_long_silence_the_next_is_a_first_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def body(limiter: RepetitionLimiter) -> None:
        tell(limiter, "one")
        kind = limiter._kinds["a"]
        intervals = []
        for _ in range(8):
            intervals.append(kind.interval)
            tell(limiter, "more", "more")
            tick(limiter)
        assert intervals == [10, 20, 40, 80, 160, 320, 600, 600]
        assert caplog.messages == ["one"] + 8 * ["more (the latest of 2 like it)"]
        tick(limiter)  # in silence
        assert not limiter._kinds
        tell(limiter, "again")

    within_a_loop(body)
    assert caplog.messages[-1] == "again"


def test_silence_of_a_few_seconds_is_not_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    def body(limiter: RepetitionLimiter) -> None:
        tell(limiter, "one")
        tick(limiter)
        tell(limiter, "two")
        assert caplog.messages == ["one"]

    within_a_loop(body)
    assert caplog.messages == ["one", "two"]


def test_kinds_are_bounded_and_what_was_counted_of_one_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetition_limiter, "MAX_ERROR_KINDS", 2)

    def body(limiter: RepetitionLimiter) -> None:
        tell(limiter, "a1", "a2", key="a")
        tell(limiter, "b1", key="b")
        tell(limiter, "c1", key="c")
        assert list(limiter._kinds) == ["b", "c"]

    within_a_loop(body)
    assert caplog.messages == ["a1", "b1", "c1", "a2"]


def test_many_kinds_at_a_time_are_a_flood(caplog: pytest.LogCaptureFixture) -> None:
    def body(limiter: RepetitionLimiter) -> None:
        for number in range(50):
            tell(limiter, f"error {number}", key=str(number))

    within_a_loop(body)
    assert caplog.messages == [
        *(f"error {number}" for number in range(20)),
        "30 more errors of other kinds were left out; the latest: error 49",
    ]


class Failure(ValueError):
    """Can be referred to weakly."""


def test_no_exception_is_kept() -> None:
    def body(limiter: RepetitionLimiter) -> None:
        found = []
        for _ in range(2):
            exc = Failure("no")
            limiter.log(logger, logging.DEBUG, "a", "text", (type(exc), exc, None))
            found.append(weakref.ref(exc))
            del exc
        gc.collect()
        assert [ref() for ref in found] == [None, None]

    with recorded("sipyco.test") as records:
        within_a_loop(body)
    assert [text for _, _, text, _ in records] == ["text", "text"]
