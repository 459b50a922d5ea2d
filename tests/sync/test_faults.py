"""Several structures, several subscribers, and a bad link: copies are never wrong, and converge.

Each copy that a subscriber has on the way is one that the publisher had, and never an older one
than before (contract 3).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dev.faults.proxy import FaultProxy
from sipyco_pyon import pyon
from sipyco_sync.sync_struct import Notifier, Publisher, Subscriber, ThreadSubscriber
from support.feeds import comes_true
from support.mods import NUMBERS, VALUES, change
from support.peers import HOST
from support.records import recorded

pytestmark = pytest.mark.one_python

BACKLOG = 20_000  # bytes that may wait for one subscriber
BUFFER = 4096  # bytes that a socket holds, so that a stall is felt soon
RETRY = 0.001  # seconds until a subscriber connects again

directions = st.sampled_from(["up", "down", "both"])
CHANGES = st.tuples(
    st.sampled_from(["change", "flood", "elsewhere"]),
    st.sampled_from(["a", "b"]),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    VALUES,
)
FAULTS = st.one_of(
    st.tuples(st.sampled_from(["reset", "cut", "clear", "clear", "pass", "restart", "settle"])),
    st.tuples(st.sampled_from(["stall", "stall", "resume", "half_close"]), directions),
    st.tuples(st.just("truncate"), st.integers(0, 30_000), st.just("down")),
    st.tuples(st.just("split"), st.sampled_from([50, 1000]), directions),
)


class Published:
    """A structure, and all that it has ever been, as text."""

    def __init__(self, structure: Any) -> None:
        self.notifier = Notifier(structure)
        self.states = [pyon.encode(structure)]

    def change(self, numbers: tuple[int, int, int], value: Any) -> None:
        """Make one change; from any thread."""
        with self.notifier.changes.lock:  # nobody is sent the change before it is written down
            change(self.notifier, *numbers, value)
            self.states.append(pyon.encode(self.notifier.raw_view))


class Copy:
    """What one subscriber has seen."""

    def __init__(self, published: Published) -> None:
        self.struct: Any = None
        self.wrong: list[str] = []
        self._published = published
        self._moment = 0  # the earliest at which the structure was what was seen last

    def build(self, struct: Any) -> Any:
        self.struct = struct
        return struct

    def look(self, mod: Any = None) -> None:
        """Find the moment at which the structure was as the copy is now."""
        text = pyon.encode(self.struct)
        try:
            self._moment = self._published.states.index(text, self._moment)
        except ValueError:
            self.wrong.append(f"after {str(mod)[:100]}: {text[:1000]}")

    def is_current(self) -> bool:
        return self.struct == self._published.notifier.raw_view


class CopyInThread(Copy):
    """The same of a subscriber in a thread, whose structure nobody else may look at."""

    subscriber: ThreadSubscriber | None = None

    def look(self, mod: Any = None) -> None:
        if self.subscriber is not None:
            self.struct = self.subscriber.copy()
            super().look(mod)


class Station:
    """A publisher that can be started again."""

    def __init__(self, published: dict[str, Published]) -> None:
        self._notifiers = {name: one.notifier for name, one in published.items()}
        self._publisher: Publisher | None = None
        self.port = 0

    async def start(self) -> None:
        await self.stop()
        self._publisher = Publisher(self._notifiers, max_backlog=BACKLOG)
        await self._publisher.start(HOST, self.port)
        assert self._publisher.server is not None
        [listening] = self._publisher.server.sockets
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.port = listening.getsockname()[1]

    async def stop(self) -> None:
        if self._publisher is not None:
            await self._publisher.stop()
            for name in self._notifiers:
                self._publisher.remove(name)


@asynccontextmanager
async def subscribed(published: dict[str, Published], port: int) -> AsyncIterator[list[Copy]]:
    """Have two subscribers of each structure, one of which is in a thread."""
    async with AsyncExitStack() as stack:
        copies: list[Copy] = []
        for name, one in published.items():
            plain, in_thread = Copy(one), CopyInThread(one)
            copies += [plain, in_thread]
            subscriber = Subscriber(name, plain.build, plain.look, reconnect=RETRY)
            await stack.enter_async_context(subscriber)
            await subscriber.connect(HOST, port)
            in_thread.subscriber = await asyncio.to_thread(
                ThreadSubscriber, HOST, port, name, in_thread.look, reconnect=RETRY
            )
            stack.push_async_callback(asyncio.to_thread, in_thread.subscriber.close)
            in_thread.look()
        yield copies


async def play(steps: list[tuple[Any, ...]]) -> None:
    published = {"a": Published({"list": [], "dict": {}}), "b": Published([[], {}])}
    station = Station(published)
    await station.start()
    try:
        with FaultProxy(station.port, buffer_size=BUFFER) as proxy:
            async with subscribed(published, proxy.port) as copies:

                async def settle() -> None:
                    await comes_true(lambda: all(copy.is_current() for copy in copies))

                faulty = silent = False
                for step in [*steps, ("clear",), ("settle",)]:
                    match step:
                        case ("change", name, numbers, value):
                            published[name].change(numbers, value)
                        case ("flood", name, numbers, value):
                            for i in range(10):
                                published[name].change((numbers[0] + i, *numbers[1:]), value)
                        case ("elsewhere", name, numbers, value):
                            await asyncio.to_thread(published[name].change, numbers, value)
                        case ("pass",):
                            await asyncio.sleep(0)
                        case ("restart",):
                            await station.start()
                        case ("settle",):
                            if not faulty:
                                await settle()
                        case (fault, *details):
                            getattr(proxy, fault)(*details)
                            if fault == "clear" and silent:
                                proxy.reset()  # what was closed by half would never say so
                            faulty = fault != "clear" and (faulty or fault != "reset")
                            silent = fault != "clear" and (silent or fault == "half_close")
                    await asyncio.sleep(0)
                assert [copy.wrong for copy in copies] == [[], [], [], []]
    finally:
        await station.stop()


BIG = "x" * 9000
STALLED = [
    ("stall", "down"),
    ("flood", "a", (0, 2, 1), BIG),
    ("flood", "a", (1, 1, 2), BIG),
    ("elsewhere", "b", (3, 5, 0), BIG),
    ("resume", "down"),
    ("change", "a", (2, 3, 4), 1),
]
RESTARTED = [("flood", "a", (0, 0, 0), BIG), ("restart",), ("change", "a", (0, 0, 0), 1)]


@settings(max_examples=30)
@given(st.lists(st.tuples(CHANGES, FAULTS, CHANGES), min_size=3, max_size=8))
@example([tuple(STALLED)])
@example([tuple(RESTARTED)])
def test_copies_are_never_wrong_and_converge(rounds: list[tuple[Any, ...]]) -> None:
    with recorded("sipyco", logging.ERROR) as errors:
        asyncio.run(play([step for round_ in rounds for step in round_]))
    assert errors == []
