"""Log records over a bad link: none is invented, and what is lost is counted, as far as it can be.

The protocol has no acknowledgements. What the systems of both hosts have taken and not delivered
when a connection is reset is lost without being counted, but for the last record.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dev.faults.proxy import FaultProxy
from sipyco_tools._logging import connection
from sipyco_tools.logging_tools import LogForwarder, Server
from support.feeds import comes_true, serving
from support.peers import HOST
from support.records import recorded

pytestmark = pytest.mark.one_python

QUEUE = 8  # records that a forwarder keeps
ATTEMPTS = 3  # that it makes to send one record
DROPPED = re.compile(
    r"(1) log message was dropped, as it could not be sent|"
    r"(\d+) log messages were dropped, as they could not be sent"
)

Record = tuple[str, int, str, Any]


def message_of(number: int) -> str:
    """Give the text of a record: some have several lines."""
    return f"record {number}" + "\nmore" * (number % 3)


class Log:
    """What came of the records that a program has logged."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def numbers(self) -> list[int]:
        """Give the numbers of the records that have come, in order.

        Raises:
            AssertionError: one was invented.
        """
        found = []
        for name, level, text, source in self._records:
            if DROPPED.fullmatch(text):
                assert (name, level) == ("sipyco.logs", logging.WARNING)
                continue
            number = int(text.split()[1])
            assert (name, level, text) == ("under.faults", logging.INFO, message_of(number))
            found.append(number)
            assert source
        return found

    def dropped(self) -> list[int]:
        """Give the numbers of dropped records, as the log tells them."""
        matches = [DROPPED.fullmatch(text) for _, _, text, _ in self._records]
        return [int(match[1] or match[2]) for match in matches if match]


@contextmanager
def program() -> Iterator[tuple[logging.Logger, Log]]:
    """Give the logger of a program, and what comes of it at a log server in this process."""
    logger = logging.getLogger("under.faults")
    logger.setLevel(1)
    logger.propagate = False
    with recorded() as records, recorded("sipyco", logging.CRITICAL):
        try:
            yield logger, Log(records)
        finally:
            logger.propagate = True
            logger.handlers.clear()


@asynccontextmanager
async def forwarding(logger: logging.Logger, port: int) -> Any:
    forwarder = LogForwarder(HOST, port, reconnect_timer=0.001, queue_size=QUEUE)
    logger.addHandler(forwarder)
    forwarder.start()
    try:
        yield forwarder
    finally:
        await forwarder.stop()


class Program:
    """Logs numbered records, and knows what has become of them as far as that can be known."""

    def __init__(self, logger: logging.Logger, log: Log, forwarder: LogForwarder) -> None:
        self.count = 0
        self._logger = logger
        self._log = log
        self._forwarder = forwarder

    def emit(self, count: int) -> None:
        for _ in range(count):
            self._logger.info("%s", message_of(self.count))
            self.count += 1

    def newest_has_come(self) -> bool:
        return self._log.numbers()[-1:] == [self.count - 1]

    def under_way(self) -> int:
        """Tell how many records have left the forwarder, and neither came nor were counted."""
        known = len(set(self._log.numbers())) + sum(self._log.dropped())
        return self.count - self._forwarder._queue.unsent - known


async def settled(made: Program) -> None:
    made.emit(1)
    await comes_true(made.newest_has_come)


@contextmanager
def impatient() -> Iterator[None]:
    """Wait less for tunnels and resets, which nothing here needs: a proxy resets at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "ANSWER_TIMEOUT", 0.05)
        yield


# How many records are logged while there is a connection, and then while there is none; and
# whether the forwarder knows of that by then.
OUTAGES = st.lists(
    st.tuples(st.integers(0, QUEUE - 1), st.integers(0, 3 * QUEUE), st.booleans()), max_size=5
)


@settings(max_examples=25)
@given(OUTAGES)
@example([(2, 2, True), (2, 20, False), (0, 9, True)])
def test_after_outages_every_record_has_come_or_is_counted(
    outages: list[tuple[int, int, bool]],
) -> None:
    async def play(logger: logging.Logger, log: Log, server: Server) -> None:
        async with serving(server) as port:
            with FaultProxy(port) as proxy:
                async with forwarding(logger, proxy.port) as forwarder:
                    made = Program(logger, log, forwarder)
                    for up, down, noticed in outages:
                        made.emit(up)
                        await settled(made)
                        proxy.cut()
                        if noticed:
                            await comes_true(lambda: not forwarder._sender.reachable)
                        made.emit(down)
                        proxy.mend()
                    await settled(made)
                    # The last record before each outage is in doubt: it may be counted though it
                    # has come.
                    assert -len(outages) <= made.under_way() <= 0

    with program() as (logger, log), impatient():
        asyncio.run(play(logger, log, Server()))
        assert_order(log.numbers(), breaks=len(outages))


def assert_order(numbers: list[int], breaks: int) -> None:
    """Check that records came in order; again, if at all, only those that were under way."""
    firsts = list(dict.fromkeys(numbers))
    assert firsts == sorted(firsts)
    repeated = len(numbers) - len(firsts)
    assert repeated <= breaks
    assert max(Counter(numbers).values()) <= ATTEMPTS


EMIT = st.tuples(st.just("emit"), st.integers(1, 2 * QUEUE))
STEPS = [
    EMIT,
    EMIT,
    st.tuples(st.sampled_from(["stall", "resume", "reset", "cut", "clear", "pass", "settle"])),
    st.tuples(st.just("split"), st.sampled_from([1, 20])),
]
# After these a connection may end at any later time, with what is under way then.
ENDING = [
    st.tuples(st.just("truncate"), st.integers(0, 300), st.just("up")),
    st.tuples(st.just("half_close"), st.sampled_from(["up", "down"])),
]


def steps_of(kinds: list[Any]) -> Any:
    return st.lists(st.one_of(kinds), min_size=6, max_size=24)


@settings(max_examples=20)
@given(steps_of(STEPS))
@example([("cut",), ("emit", 30), ("clear",), ("emit", 2), ("reset",), ("emit", 30)])
def test_whatever_happens_no_record_is_invented_and_what_the_program_lost_is_counted(
    steps: list[tuple[Any, ...]],
) -> None:
    play_steps(steps)


@settings(max_examples=10)
@given(steps_of([*STEPS, *ENDING]))
@example([("emit", 5), ("truncate", 100, "up"), ("emit", 30), ("clear",), ("emit", 3)])
def test_where_connections_end_in_the_midst_no_record_is_invented(
    steps: list[tuple[Any, ...]],
) -> None:
    play_steps(steps)


def play_steps(steps: list[tuple[Any, ...]]) -> None:
    async def play(logger: logging.Logger, log: Log) -> None:
        hanging = ending = False  # nothing may come; connections may end at any time
        swallowed = 0
        async with serving(Server()) as port:
            with FaultProxy(port, buffer_size=4096) as proxy:
                async with forwarding(logger, proxy.port) as forwarder:
                    made = Program(logger, log, forwarder)
                    for step in [*steps, ("clear",), ("reset",)]:
                        match step:
                            case ("emit", count):
                                made.emit(count)
                            case ("pass",):
                                await asyncio.sleep(0)
                            case ("settle",):
                                if not (hanging or ending):
                                    await settled(made)
                            case (fault, *details):
                                if fault in ("reset", "cut"):
                                    # It may be lost in the systems, which nobody is told of.
                                    swallowed = max(swallowed, made.under_way())
                                getattr(proxy, fault)(*details)
                                if fault == "clear":
                                    hanging = False
                                hanging |= fault in ("stall", "cut", "half_close")
                                ending |= fault in ("truncate", "half_close")
                        await asyncio.sleep(0)
                    await settled(made)
                    # A record that is in doubt may be counted though it has come.
                    assert made.under_way() >= 1 - proxy.connections
                    assert ending or made.under_way() <= swallowed
                    assert_order(log.numbers(), breaks=proxy.connections - 1)

    with program() as (logger, log):
        asyncio.run(play(logger, log))
