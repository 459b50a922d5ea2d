"""How a server stops: whom it cancels, how long it waits, and what it leaves behind."""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from sipyco_rpc._server import connection
from sipyco_rpc.net import listener
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.net.workarounds import feed
from sipyco_rpc.pc_rpc import Server
from support.feeds import RawPeer, comes_true, port_of
from support.pairs import connection_in_memory
from support.peers import DEADLINE, HOST

BANNER = b"ARTIQ pc_rpc\ntarget pyon_v2 frames\n"
CALL = b'{"action":"call","name":"%b","args":[],"kwargs":{}}'


def frame(number: int, text: bytes) -> bytes:
    return b"#%d %d\n%b" % (number, len(text), text)


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


def test_a_stop_that_is_cancelled_at_once_listens_no_more() -> None:
    async def main() -> None:
        server = Stubborn(resists=0)
        await server.start(HOST, 0)
        assert server.server is not None
        [listening] = server.server.sockets
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait({stopping})
        assert stopping.cancelled()
        assert listening.fileno() == -1
        await server.stop()

    asyncio.run(main())


def test_a_handler_that_has_resisted_is_cancelled_by_the_next_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        server = Stubborn(resists=1)
        await server.start(HOST, 0)
        with RawPeer(port_of(server), b"") as peer:
            assert await peer.line() == b"begun"
            monkeypatch.setattr(listener, "STOP_TIMEOUT", 0.001)
            await server.stop()
            assert len(server._handlers) == server.cancelled == 1
            monkeypatch.setattr(listener, "STOP_TIMEOUT", DEADLINE)
            await server.stop()
        assert not server._handlers
        assert server.cancelled == 2

    asyncio.run(main())
    [message] = caplog.messages
    assert message.endswith("does not end; closing its connection")


# --- how long it waits -----------------------------------------------------------------------


class Jumping(asyncio.SelectorEventLoop):
    """A loop whose clock can stand still, but for jumps to what is next when nothing happens."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.standing: float | None = None

    def time(self) -> float:
        return time.monotonic() if self.standing is None else self.standing


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: Jumping) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or self.loop.standing is None:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.loop.standing += timeout
        return ready


class Target:
    """Has a generator that is stuck in a thread, and a long reply."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()
        self.ended = threading.Event()

    def stuck(self) -> Iterator[int]:
        try:
            self.entered.set()
            assert self.released.wait(DEADLINE)
            yield 0
        finally:
            self.ended.set()

    async def much(self) -> bytes:
        return bytes(50_000_000)


def test_a_step_in_a_thread_and_a_peer_that_does_not_read_are_waited_for_together(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        target = Target()
        server = Server({"target": target}, threaded=True, allow_parallel=True)
        await server.start(HOST, 0)
        with RawPeer(port_of(server), BANNER + frame(1, CALL % b"stuck")) as peer:
            for _ in range(3):  # the identification, the header of the methods, they and the next
                line = await peer.line()
            assert b"#1 " in line
            peer.socket.send(frame(1, b'{"action":"next","n":1}'))
            await comes_true(target.entered.is_set)
            peer.socket.send(frame(2, CALL % b"much"))
            [slot] = server._handlers.values()
            await comes_true(slot.transport.get_write_buffer_size)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, Jumping)
            begun = loop.standing = loop.time()
            await server.stop()
            waited, loop.standing = loop.standing - begun, None
            assert waited == pytest.approx(connection._CLOSE_TIMEOUT)
            assert not target.ended.is_set()
            target.released.set()
            await comes_true(target.ended.is_set)

    with asyncio.Runner(loop_factory=Jumping) as runner:
        runner.run(main())
    assert caplog.messages == []


def test_one_of_two_stops_tells_of_a_handler_that_resists(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        server = Stubborn(resists=9)
        await server.start(HOST, 0)
        with RawPeer(port_of(server), b"") as peer:
            assert await peer.line() == b"begun"
            loop = asyncio.get_running_loop()
            assert isinstance(loop, Jumping)
            loop.standing = loop.time()
            await asyncio.gather(server.stop(), server.stop())
            loop.standing = None
            assert server.cancelled == 1
            server.released.set()
            await server.stop()

    with asyncio.Runner(loop_factory=Jumping) as runner:
        runner.run(main())
    [message] = caplog.messages
    assert message.endswith("does not end; closing its connection")


# --- what it leaves behind -------------------------------------------------------------------


def test_a_connection_is_closed_if_its_handler_is_cancelled_while_a_method_cleans_up() -> None:
    class Slow:
        cleaning = False

        def __init__(self) -> None:
            self.released = asyncio.Event()

        async def wait(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.cleaning = True
                await self.released.wait()

    async def main() -> None:
        target = Slow()
        connection, transport = connection_in_memory(Server({"target": target}))
        connection.connection_made(transport)
        feed(connection, BANNER + frame(1, CALL % b"wait"))
        serving = asyncio.create_task(connection.serve())
        await asyncio.sleep(0)
        connection._sender.put([b"last words"])
        serving.cancel()
        await comes_true(lambda: target.cleaning)
        assert transport.line.sent.endswith(b"last words")  # there may be no time for them later
        assert not transport.is_closing()
        serving.cancel()
        await asyncio.wait({serving})
        assert serving.cancelled()
        assert transport.is_closing()
        target.released.set()
        await asyncio.sleep(0)

    asyncio.run(main())
