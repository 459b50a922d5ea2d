"""Many subscribers, one of which never reads: the others lose nothing, memory is bounded."""

from __future__ import annotations

import asyncio
import functools
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_rpc.support.memory import MIB
from sipyco_rpc.wire.lines import LineReader, LineTooLong
from sipyco_sync.sync_struct import process_mod
from support.environment import as_installed
from support.feeds import BANNER, RawPeer, comes_true
from support.peers import DEADLINE, HOST

PROGRAM = Path(__file__).with_name("publisher_program.py")

pytestmark = [
    pytest.mark.one_python,
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="memory is measured as Linux tells it"
    ),
]

decoded = functools.lru_cache(maxsize=4096)(pyon.decode)  # the same lines come to all


class Follower(asyncio.Protocol):
    """A copy of the structure, and the number of mods that made it."""

    def __init__(self) -> None:
        self.copy: dict[str, Any] = {}
        self.mods = 0
        self._lines = LineReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(BANNER + b"n\n")

    def data_received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            assert not isinstance(line, LineTooLong)
            mod = decoded(bytes(line))
            if mod["action"] == "init":
                assert not self.copy, "it was never beyond its limit"
                self.copy = dict(mod["struct"])
            else:
                process_mod(self.copy, mod)
                self.mods += 1


async def load(subscribers: int, count: int, batch: int, size: int, limit: int) -> None:
    """Let the quick ones take each batch, which is smaller than the limit, before the next."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        str(limit),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=as_installed(),
    )
    assert program.stdin is not None
    assert program.stdout is not None
    followers: list[Follower] = []
    try:
        port = int(await program.stdout.readline())
        loop = asyncio.get_running_loop()
        with RawPeer(port, BANNER + b"n\n") as stalled:
            for _ in range(subscribers - 1):
                _, follower = await loop.create_connection(Follower, HOST, port)
                followers.append(follower)
            await comes_true(lambda: all(follower.copy for follower in followers))
            copy: Any = pyon.decode(await stalled.line())["struct"]
            for done in range(0, count, batch):
                program.stdin.write(b"%d %d %d\n" % (done, batch, size))
                grown = int(await asyncio.wait_for(program.stdout.readline(), 2 * DEADLINE))
                mods = done + batch + 1 + done // batch
                await comes_true(lambda: all(f.mods == mods for f in followers))
            expected = {"count": count, "value": f"{count - 1:x<{size}}"}
            assert all(follower.copy == expected for follower in followers)
            # Beside what waits for the stalled one: what is on its way to the others, at most
            # one write each, and what Python's allocator keeps.
            assert grown <= limit + 8 * MIB
            # It reads again, and is whole at once.
            while copy["count"] != count:
                mod = pyon.decode(await stalled.line())
                if mod["action"] == "init":
                    copy = mod["struct"]
                else:
                    process_mod(copy, mod)
            assert copy == expected
    finally:
        for follower in followers:
            follower.transport.abort()
        program.stdin.close()
        try:
            await asyncio.wait_for(program.wait(), DEADLINE)
        except TimeoutError:
            program.kill()
            await program.wait()
            raise
        program._transport.close()  # type: ignore[attr-defined]


def test_five_hundred_subscribers_and_two_hundred_changes() -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 700:
        pytest.skip("too few files may be open")
    asyncio.run(load(500, 200, 50, 10_000, 1 * MIB))


def test_fifty_subscribers_and_two_thousand_changes() -> None:
    asyncio.run(load(50, 2000, 200, 10_000, 3 * MIB))
