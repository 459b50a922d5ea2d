"""Random changes, stalls and disconnections: every copy equals the source in the end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipyco_pyon import pyon
from sipyco_sync._feed_queue import OVERHEAD, SendQueue
from sipyco_sync.sync_struct import Notifier, Publisher, Subscriber, process_mod
from support.feeds import BANNER, RawPeer, comes_true, serving
from support.mods import LARGEST, NUMBERS, VALUES, change
from support.peers import HOST

pytestmark = pytest.mark.one_python

LIMIT = 20_000  # bytes of backlog
STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["change", "change", "change", "change", "flood", "pass", "disconnect"]),
        st.tuples(NUMBERS, NUMBERS, NUMBERS),
        VALUES,
    ),
    st.tuples(st.sampled_from(["stall", "read"]), st.tuples(NUMBERS), st.none()),
)


class Reader:
    """A copy that is kept over a bare socket, which stalls when it is told to."""

    def __init__(self, port: int) -> None:
        self.copy: Any = None
        self.going = asyncio.Event()
        self.going.set()
        self._peer = RawPeer(port, BANNER + b"n\n", receive_buffer=2048)
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            await self.going.wait()
            mod = pyon.decode(await self._peer.line())
            if mod["action"] == "init":
                self.copy = mod["struct"]
            else:
                process_mod(self.copy, mod)

    def revived(self, port: int) -> Reader:
        """Return this one, or another in its place if it was disconnected."""
        if not self.task.done():
            return self
        assert isinstance(self.task.exception(), (EOFError, ConnectionError)), self.task
        self._peer.socket.close()
        return Reader(port)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        self._peer.socket.close()


def check_memory(publisher: Publisher, n: Notifier) -> None:
    feed = publisher._feeds[id(n)]
    for queue in feed.queues:
        assert isinstance(queue, SendQueue)
        # One line may be larger than the limit by itself; nothing is added to it then.
        assert queue.queued_bytes <= max(LIMIT, 8 * LARGEST) + 2 * OVERHEAD
        if queue.queued_lines > 1:
            assert queue.queued_bytes <= LIMIT + 8 * LARGEST
    assert feed._pending_size <= 64 * 1024 + 8 * LARGEST


async def play(steps: list[Any]) -> None:
    n = Notifier({"list": [], "dict": {}})
    publisher = Publisher({"n": n}, max_backlog=LIMIT)
    async with serving(publisher) as port:
        assert publisher.server is not None
        for listening in publisher.server.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        copies: dict[str, Any] = {}

        def build(struct: Any) -> Any:
            copies["s"] = struct
            return struct

        async with Subscriber("n", build, reconnect=0.001) as subscriber:
            await subscriber.connect(HOST, port)
            readers = [Reader(port) for _ in range(3)]
            try:
                for action, numbers, value in steps:
                    if action == "change":
                        change(n, *numbers, value)
                    elif action == "flood":
                        for i in range(10):
                            change(n, numbers[0] + i, numbers[1] + i, numbers[2], value)
                    elif action == "pass":
                        await asyncio.sleep(0)
                    elif action == "disconnect":
                        queues = list(publisher._feeds[id(n)].queues)
                        if queues:
                            # The subscriber comes back by itself; of the readers, another comes.
                            queues[numbers[0] % len(queues)]._transport.abort()
                            await asyncio.sleep(0)
                    elif action == "stall":
                        readers[numbers[0] % 3].going.clear()
                    else:
                        readers[numbers[0] % 3].going.set()
                    check_memory(publisher, n)
                    readers = [reader.revived(port) for reader in readers]
                for reader in readers:
                    reader.going.set()

                def settled() -> bool:
                    nonlocal readers
                    readers = [reader.revived(port) for reader in readers]
                    return all(
                        there == n.raw_view
                        for there in (copies.get("s"), *(r.copy for r in readers))
                    )

                await comes_true(settled)
            finally:
                for reader in readers:
                    await reader.close()


@settings(max_examples=100)
@given(st.lists(STEPS, max_size=60))
def test_every_copy_equals_the_source_in_the_end(steps: list[Any]) -> None:
    asyncio.run(play(steps))
