"""What goes on when its client has gone: it ends soon, and what it raises is in the log."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import struct
import threading
import weakref
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

from sipyco_rpc._server import generator
from sipyco_rpc._server.generator import ServedGenerator
from sipyco_rpc._server.target import Target
from sipyco_rpc._server.worker import Outcome, Worker
from sipyco_rpc.pc_rpc import Client, Server
from support.generators import Items, record_of_call
from support.peers import DEADLINE, HOST, Peer, connected, rpc_server, running_server, until

HELLO = b"ARTIQ pc_rpc\nt pyon_v2 frames\n"
CALL = b'{"action":"call","name":"%b","args":[],"kwargs":{}}'
NEXT = b'{"action":"next","n":1}'
ITEM = b'#1 23\n{"status":"item","ret":7}'


def frame(number: int, text: bytes) -> bytes:
    return b"#%d %d\n%b" % (number, len(text), text)


class Camera:
    """Gives an image when it is triggered, and fails when it is told to."""

    def __init__(self) -> None:
        self.triggered = threading.Event()
        self.entered = threading.Event()
        self.ended = threading.Event()

    async def images(self) -> AsyncIterator[int]:
        self.entered.set()
        try:
            while not self.triggered.is_set():
                await asyncio.sleep(0.002)
            yield 7
        finally:
            self.ended.set()

    async def focus(self) -> None:
        self.entered.set()
        while not self.triggered.is_set():
            await asyncio.sleep(0.002)
        raise OSError("the motor does not move")

    def expose(self) -> None:
        self.entered.set()
        assert self.triggered.wait(DEADLINE)
        raise OSError("the shutter did not close")

    def echo(self, value: Any) -> Any:
        return value


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give what the log has about failures, without the places in files."""
    return [re.sub(r" \(.*, line \d+, in (\w+)\)", r" in \1", text) for text in caplog.messages]


def begin(method: str, peer: Peer, server: Server, camera: Camera) -> Any:
    """Have the only client of a server call a method; give what the server does for it."""
    peer.send(HELLO + frame(1, CALL % method.encode()))
    assert camera.entered.wait(DEADLINE)
    [slot] = server._handlers.values()
    return slot.transport.get_protocol()._calls  # type: ignore[attr-defined]


# --- generators ------------------------------------------------------------------------------


def test_a_generator_that_waits_for_ever_holds_up_nobody_once_its_client_was_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generator, "UNCLAIMED_ITEM_TIMEOUT", 0.01)
    camera = Camera()
    with rpc_server({"t": camera}, frames=True) as port:
        with connected(port) as peer:
            peer.send(HELLO + frame(1, CALL % b"images"))
            said = b""
            while b'"stream"' not in said:  # or the rest of it would make a reset of the end
                said += peer.socket.recv(4096)
            peer.send(frame(1, NEXT))
            assert camera.entered.wait(DEADLINE)
        with Client(HOST, port, timeout=DEADLINE) as client:
            assert client.echo(5) == 5
        assert camera.ended.wait(DEADLINE)


def test_a_client_that_says_nothing_more_is_given_its_item_if_it_comes_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generator, "UNCLAIMED_ITEM_TIMEOUT", DEADLINE)
    camera = Camera()
    with rpc_server({"t": camera}, frames=True) as port, connected(port) as peer:
        peer.send(HELLO + frame(1, CALL % b"images") + frame(1, NEXT))
        assert camera.entered.wait(DEADLINE)
        peer.socket.shutdown(socket.SHUT_WR)
        camera.triggered.set()
        said = b""
        while line := peer.line():
            said += line
        assert b'{"status":"item","ret":7}' in said
        assert b"CancelledError" in said  # nobody can ask for more


def test_a_generator_waits_longer_for_a_client_that_reads_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generator, "UNCLAIMED_ITEM_TIMEOUT", 0.0)

    def numbers() -> Generator[int, None, None]:
        yield from range(2)

    async def main() -> None:
        table = Items(credit=2, writable=False)
        stream = ServedGenerator(1, numbers(), Target("t", None), table, record_of_call())
        stream.end_after_last()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert (table.given, table.ends) == ([], [])
        table.can_write = True
        stream.resume()
        async with asyncio.timeout(DEADLINE):
            while not table.finished:
                await asyncio.sleep(0)
        assert table.given == [0, 1]
        assert [type(exc) for exc in table.ends] == [asyncio.CancelledError]

    asyncio.run(main())


# --- calls -----------------------------------------------------------------------------------

LEFT = "a method of `t` that nobody may be waiting for raised OSError in "
FOCUS = LEFT + "focus: the motor does not move"
EXPOSE = LEFT + "expose: the shutter did not close"


@pytest.mark.parametrize("way", ["says nothing more", "is reset"])
@pytest.mark.parametrize("method", ["focus", "expose"])
def test_what_a_method_raises_after_its_client_has_gone_is_in_the_log(
    method: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    camera = Camera()
    server = Server({"t": camera}, threaded=True)
    with running_server(lambda: server) as port:
        with connected(port) as peer:
            calls = begin(method, peer, server, camera)
            if way == "says nothing more":  # nor has a client that was killed
                peer.socket.shutdown(socket.SHUT_WR)
            else:
                linger = struct.pack("ii", 1, 0)
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                peer.close()
            replies = calls.replies
            until(lambda: replies.client_left and replies.open == (way == "says nothing more"))
            camera.triggered.set()
            until(lambda: bool(failures(caplog)))
    assert failures(caplog) == [{"focus": FOCUS, "expose": EXPOSE}[method]]


def test_what_a_method_in_a_thread_raises_after_its_client_gave_up_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera = Camera()
    server = Server({"t": camera}, threaded=True)
    with running_server(lambda: server) as port, connected(port) as peer:
        calls = begin("expose", peer, server, camera)
        peer.send(frame(1, b'{"action":"cancel"}'))
        until(lambda: not calls.jobs)
        assert failures(caplog) == []
        camera.triggered.set()
        until(lambda: bool(failures(caplog)))
    assert failures(caplog) == [EXPOSE]


def test_what_a_thread_raises_after_its_loop_has_ended_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera = Camera()
    done: list[Outcome] = []

    async def main() -> None:
        worker = Worker("late")
        worker.submit(lambda: True, camera.expose, done.append)
        worker.stop()

    asyncio.run(main())
    camera.triggered.set()
    text = "'late' raised an exception after its event loop had been closed"
    until(lambda: caplog.messages == [text])
    [record] = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the shutter did not close"
    assert done == []


class Aborted(BaseException):
    """A program's own, of which Python's `except Exception` knows nothing."""


@pytest.mark.parametrize("kind", [Aborted, SystemExit, StopIteration, KeyError])
def test_what_a_thread_raises_is_in_the_log_whatever_it_is(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(Camera):
        def expose(self) -> None:
            self.entered.set()
            assert self.triggered.wait(DEADLINE)
            raise kind("no\n\x1b[2J" + "x" * 1000)

    camera = Fails()
    server = Server({"t": camera}, threaded=True)
    with running_server(lambda: server) as port, connected(port) as peer:
        calls = begin("expose", peer, server, camera)
        peer.send(frame(1, b'{"action":"cancel"}'))
        until(lambda: not calls.jobs)
        camera.triggered.set()
        until(lambda: bool(caplog.messages))
    [text] = caplog.messages
    assert f" raised {kind.__name__} (" in text
    assert text.isprintable()
    assert len(text) < 700


def test_requests_after_which_a_client_says_nothing_more_do_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = b'{"action":"call","name":"echo","args":[],"kwargs":{"\\u001b[2J%d":0}}\n'
    with rpc_server({"t": Camera()}) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n" + b"".join([call % n for n in range(3000)]))
        peer.socket.shutdown(socket.SHUT_WR)
        failed = 0
        while line := peer.line():
            failed += b'"failed"' in line
        assert failed == 3000
    assert 1 < len(caplog.messages) <= 21  # the first ones, and how many there were
    assert all(text.isprintable() for text in caplog.messages)


@pytest.mark.parametrize("hello", [HELLO, b"ARTIQ pc_rpc\nt pyon_v2\n", b"ARTIQ pc_rpc\nt\n"])
def test_the_memory_of_a_connection_does_not_wait_for_the_garbage_collector(hello: bytes) -> None:
    server = Server({"t": Camera()})
    call = CALL.replace(b"[]", b"[1]") % b"echo"
    with running_server(lambda: server) as port:
        with connected(port) as peer:
            peer.send(hello + (frame(1, call) if hello == HELLO else call + b"\n"))
            assert peer.line().startswith(b'{"targets"')
            assert peer.line()  # the methods
            if hello != HELLO:
                assert b'"ret"' in peer.line()
            [slot] = server._handlers.values()
            session = weakref.ref(slot.transport.get_protocol()._session)  # type: ignore[attr-defined]
            del slot
            gc.disable()
        try:
            until(lambda: session() is None)
        finally:
            gc.enable()
