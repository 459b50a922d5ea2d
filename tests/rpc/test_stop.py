"""How a server stops: whom it cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from sipyco_rpc import asyncio_server
from sipyco_rpc.asyncio_server import AsyncioServer
from support.feeds import RawPeer, comes_true, port_of
from support.peers import DEADLINE, HOST

# --- whom it cancels -------------------------------------------------------------------------


async def fails() -> None:
    raise ValueError("one of the helpers")


async def survive_a_group() -> None:
    """Leave a group of which a task fails just then; before Python 3.13 that is remembered."""
    with suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())


async def survive_a_cancellation() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert task.cancelling() == 1


class Survivor(AsyncioServer):
    """Serves on after something that may leave its task as if it were cancelled."""

    def __init__(self, survive: Callable[[], Any]) -> None:
        super().__init__()
        self.survive = survive
        self.cancelled = 0

    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await self.survive()
        writer.write(b"survived\n")
        try:
            await reader.read()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("survive", [survive_a_group, survive_a_cancellation])
def test_a_handler_that_has_been_cancelled_by_others_is_cancelled(
    survive: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        server = Survivor(survive)
        await server.start(HOST, 0)
        with RawPeer(port_of(server), b"") as peer:
            assert await peer.line() == b"survived"
            await server.stop()
        assert server.cancelled == 1
        assert not server._handlers
        assert not server._cancelled

    asyncio.run(main())
    assert caplog.messages == []


class Stubborn(AsyncioServer):
    """Has handlers that end when they have been cancelled often enough."""

    def __init__(self, resists: int) -> None:
        super().__init__()
        self.resists = resists
        self.cancelled = 0
        self.released = asyncio.Event()

    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"begun\n")
        while self.cancelled <= self.resists and not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancelled += 1


@pytest.mark.usefixtures("patient")
def test_a_handler_is_cancelled_once_by_stops_at_the_same_time() -> None:
    async def main() -> None:
        server = Stubborn(resists=1)
        await server.start(HOST, 0)
        with RawPeer(port_of(server), b"") as peer:
            assert await peer.line() == b"begun"
            stops = [asyncio.create_task(server.stop()) for _ in range(2)]
            await comes_true(lambda: server.cancelled)
            stops[0].cancel()
            await asyncio.wait(stops[:1])
            stops.append(asyncio.create_task(server.stop()))
            for _ in range(100):  # many more than it takes to cancel
                await asyncio.sleep(0)
            server.released.set()
            await asyncio.gather(*stops[1:])
        assert server.cancelled == 1
        assert not server._cancelled

    asyncio.run(main())


def test_a_handler_that_has_resisted_is_cancelled_by_the_next_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        server = Stubborn(resists=1)
        await server.start(HOST, 0)
        with RawPeer(port_of(server), b"") as peer:
            assert await peer.line() == b"begun"
            monkeypatch.setattr(asyncio_server, "_STOP_PATIENCE", 0.001)
            await server.stop()
            assert len(server._handlers) == server.cancelled == 1
            monkeypatch.setattr(asyncio_server, "_STOP_PATIENCE", DEADLINE)
            await server.stop()
        assert not server._handlers
        assert server.cancelled == 2

    asyncio.run(main())
    [message] = caplog.messages
    assert message.endswith("does not end; closing its connection")
