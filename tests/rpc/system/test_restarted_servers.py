"""Servers as processes that are killed in the middle of calls, and clients that reconnect."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, Client, ConnectionLost
from support.event_loops import every_loop, loop_factory
from support.peers import DEADLINE, HOST, until
from support.programs import free_port

pytestmark = pytest.mark.slow

SERVER = """
import os, sys, time
from sipyco_rpc.pc_rpc import simple_server_loop

class Driver:
    def note(self, token, stays):
        with open(sys.argv[2], "a") as file:
            file.write(f"{token}\\n")
        if stays:
            time.sleep(1000)
        return os.getpid()

simple_server_loop({"driver": Driver()}, "127.0.0.1", int(sys.argv[1]))
"""


@contextmanager
def process(port: int, notes: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that notes each call."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port), str(notes)])
    try:
        yield server
    finally:
        server.kill()
        server.wait(DEADLINE)


def noted(notes: Path) -> list[str]:
    return notes.read_text().split() if notes.exists() else []


def killed_in_the_middle_of(notes: Path, token: str, server: subprocess.Popen[Any]) -> None:
    until(lambda: token in noted(notes))
    server.send_signal(signal.SIGKILL)
    server.wait(DEADLINE)


def test_no_call_of_a_blocking_client_is_done_twice(tmp_path: Path) -> None:
    port, notes = free_port(), tmp_path / "notes"
    with process(port, notes) as server:
        client = Client(HOST, port, reconnect=DEADLINE)
        assert client.note("a", False) == server.pid
        killer = asyncio.to_thread(killed_in_the_middle_of, notes, "b", server)

        async def both() -> None:
            killing = asyncio.create_task(killer)
            with pytest.raises(ConnectionLost) as caught:
                await asyncio.to_thread(client.note, "b", True)
            assert caught.value.sent
            await killing

        asyncio.run(both())
    with client:
        for token in "cd":
            with process(port, notes) as server:
                assert client.note(token, False) == server.pid
    assert noted(notes) == ["a", "b", "c", "d"]


@every_loop
def test_no_call_of_an_asyncio_client_is_done_twice(loop: str, tmp_path: Path) -> None:
    port, notes = free_port(), tmp_path / "notes"

    async def main() -> None:
        async with AsyncioClient(reconnect=DEADLINE) as client:
            with process(port, notes) as server:
                await client.connect_rpc(HOST, port)
                assert await client.note("a", False) == server.pid
                call = asyncio.create_task(client.note("b", True))
                await asyncio.to_thread(killed_in_the_middle_of, notes, "b", server)
                with pytest.raises(ConnectionLost) as caught:
                    await call
                assert caught.value.sent
            waiting = asyncio.gather(*(client.note(token, False) for token in "cdef"))
            await asyncio.sleep(0)
            with process(port, notes) as server:
                assert await waiting == [server.pid] * 4

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())
    assert sorted(noted(notes)) == ["a", "b", "c", "d", "e", "f"]
