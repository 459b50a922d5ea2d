"""Connections that end at moments that are rare: nothing goes wrong.

With something still to be sent asyncio's transports close by themselves, and fail to be aborted
after that. With TLS a protocol may be told of the end before it is told of the beginning.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_rpc._client.aio.connection import AsyncioConnection
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.net.workarounds import close, close_writer, feed
from sipyco_rpc.pc_rpc import Server, SimpleSSLConfig
from support.certificates import identity, paths_of
from support.feeds import RawPeer, comes_true, port_of
from support.pairs import MemoryTransport, connection_in_memory
from support.peers import DEADLINE

SIZE = 1 << 20  # bytes; more than the system takes at once


class Talker(AsyncioServer):
    """Says much, and is done with it."""

    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(bytes(SIZE))


class TwiceClosing(AsyncioServer):
    """Closes a connection once more, as the end of the peer may have it do."""

    secured = False

    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for _ in range(2):
            close(writer.transport)
        self.secured = writer.transport.get_extra_info("sslcontext") is not None


class Target:
    noted = False

    def much(self) -> bytes:
        return bytes(SIZE)

    def very_much(self) -> bytes:
        return bytes(8 * SIZE)

    def note(self) -> None:
        self.noted = True


def closing(server: AsyncioServer) -> bool:
    return any(slot.transport.is_closing() for slot in server._handlers.values())


async def told(
    server: AsyncioServer, greeting: bytes, lines: int = 0, last_words: bytes = b""
) -> bytes:
    """Return what a peer gets that reads only when the server is closing the connection.

    Args:
        server: to talk to.
        greeting: what the peer says at first.
        lines: how many lines it reads before its last words.
        last_words: what it says then.
    """
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with server:
        await server.start("127.0.0.1", 0)
        assert server.server is not None
        for listening in server.server.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with RawPeer(port_of(server), greeting, receive_buffer=2048) as peer:
            for _ in range(lines):
                await peer.line()
            peer.socket.send(last_words)
            await comes_true(lambda: closing(server))
            received = await peer.ends()
            await comes_true(lambda: not server._handlers)
    assert errors == []
    return received


def test_of_two_that_close_a_connection_only_the_cancelled_one_is_cancelled() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            _, writer = await asyncio.open_connection(sock=ours)
            writer.write(bytes(8 * SIZE))  # it cannot be closed in the first pass
            first, second = (asyncio.ensure_future(close_writer(writer)) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait({first, second}, timeout=DEADLINE)
            assert first.cancelled()
            assert second.result() is None
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_tls_connection_that_is_closed_twice_knows_itself() -> None:
    async def main() -> None:
        async with TwiceClosing() as server:
            await server.start("127.0.0.1", 0, **paths_of("server", "client"))
            ours = paths_of("client", "server")
            client = SimpleSSLConfig(**ours).create_client_context()
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port_of(server), ssl=client
            )
            assert await reader.read() == b""
            await close_writer(writer)
            await comes_true(lambda: not server._handlers)
            assert server.secured

    asyncio.run(main())


def test_who_is_cancelled_just_before_closing_a_connection_is_cancelled() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            _, writer = await asyncio.open_connection(sock=ours)
            me = asyncio.current_task()
            assert me is not None
            me.cancel()
            with pytest.raises(asyncio.CancelledError):
                await close_writer(writer)
            me.uncancel()
            await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("selected", [True, False])
def test_a_server_that_stops_sends_what_was_said_and_listens_to_nothing(selected: bool) -> None:
    request = b'{"action":"call","name":"note","args":[],"kwargs":{}}\n'
    selection = b"target pyon_v2\n"

    async def main() -> None:
        target = Target()
        connection, transport = connection_in_memory(Server({"target": target}))
        connection.connection_made(transport)
        feed(connection, b"ARTIQ pc_rpc\n" + selection * selected)
        serving = asyncio.ensure_future(connection.serve())
        await asyncio.sleep(0)
        connection.pause_writing()
        connection._sender.put([b"last words"])
        serving.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not transport.is_closing()
        feed(connection, selection * (not selected) + request)
        connection.resume_writing()
        assert transport.line.sent.endswith(b"last words")
        feed(connection, selection * (not selected) + request)
        for _ in range(3):
            await asyncio.sleep(0)
        assert transport.is_closing()
        connection.connection_lost(None)
        await asyncio.wait({serving})
        assert not target.noted

    asyncio.run(main())


@pytest.mark.usefixtures("patient")
def test_a_server_that_stops_sends_what_was_put_in_the_same_pass() -> None:
    async def main() -> None:
        connection, transport = connection_in_memory(Server({"target": Target()}))
        connection.connection_made(transport)
        serving = asyncio.ensure_future(connection.serve())
        await asyncio.sleep(0)
        connection._sender.put([b"last words"])
        serving.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert transport.is_closing()
        assert transport.line.sent.endswith(b"last words")
        connection.connection_lost(None)
        await asyncio.wait({serving})

    asyncio.run(main())


@pytest.mark.usefixtures("patient")
def test_what_a_handler_has_said_last_arrives(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(told(Talker(), b"")) == bytes(SIZE)
    assert caplog.messages == []


@pytest.mark.usefixtures("patient")
def test_a_peer_that_has_to_go_gets_what_was_on_its_way(caplog: pytest.LogCaptureFixture) -> None:
    request = b'{"action":"call","name":"much","args":[],"kwargs":{}}'
    greeting = b"ARTIQ pc_rpc\ntarget pyon_v2 frames\n#3 %d\n%b" % (len(request), request)
    server = Server({"target": Target()})
    # The identification, the header of the methods, and theirs with that of the reply.
    received = asyncio.run(told(server, greeting, 3, b"nonsense"))
    assert received.rstrip(b"\0").endswith(b'["bytes",[{"__jsonclass__":["buffer",[0]]}]]}}')
    assert received.count(0) > 10_000
    [message] = caplog.messages
    assert message.endswith("expected a frame, got 'nonsense'")


@pytest.mark.parametrize("lost", [False, True])
def test_a_client_may_be_gone_before_its_connection_is_made(lost: bool) -> None:
    async def main() -> None:
        connection, transport = connection_in_memory(Server({"target": Target()}))
        assert not connection.eof_received()
        if lost:
            connection.connection_lost(None)
        connection.connection_made(transport)
        assert transport.is_closing()
        assert transport.line.sent == b""
        connection._slot.established()

    asyncio.run(main())


def test_a_client_may_be_gone_right_after_its_tls_handshake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        errors: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))

        async def start_tls(*args: Any, **kwargs: Any) -> None:
            """Do what asyncio does then: there is no transport any more."""

        loop.start_tls = start_tls  # type: ignore[method-assign, assignment]
        async with Server({"target": Target()}) as server:
            await server.start("127.0.0.1", 0, **paths_of("server", "client"))
            with RawPeer(port_of(server), b"") as peer:
                await peer.ends()
            await comes_true(lambda: not server._handlers)
        assert errors == []

    asyncio.run(main())
    [message] = caplog.messages
    assert message.endswith(" failed: the connection was lost right after it")


class TLSTransport(MemoryTransport):
    """One that says that it has TLS, and notes that it is aborted."""

    aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "sslcontext" else super().get_extra_info(name, default)

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize("kind", [MemoryTransport, TLSTransport])
def test_a_client_with_tls_sends_nothing_after_the_end(kind: type[MemoryTransport]) -> None:
    async def main() -> None:
        transport = kind(asyncio.Event(), (), None)
        connection = AsyncioConnection("here", 1000, None, None)
        connection.connection_made(transport)
        assert not connection.eof_received()
        assert getattr(transport, "aborted", False) == (kind is TLSTransport)

    asyncio.run(main())


def stalls_and_says_goodbye(port: int) -> int:
    """Ask for much over TLS, say that it is enough, and only then read; tell how much came."""
    ours, theirs = identity("client"), identity("server")
    config = SimpleSSLConfig(ours.cert, ours.key, theirs.cert)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = config.create_client_context().wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:

        def until_done(step: Callable[[], object]) -> None:
            while True:
                try:
                    step()
                    return
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))

        until_done(tls.do_handshake)
        tls.write(b"ARTIQ pc_rpc\ntarget pyon_v2\n")
        tls.write(b'{"action":"call","name":"very_much","args":[],"kwargs":{}}\n')
        until_done(lambda: tls.read(1))  # then the reply is on its way, as far as there is room
        with pytest.raises(ssl.SSLError):
            tls.unwrap()  # the other side has not said goodbye
        sock.sendall(outgoing.read())
        count = 0
        try:
            while data := sock.recv(65536):
                count += len(data)
        except ConnectionError:
            pass  # it may end so as well
        return count


@pytest.mark.parametrize("room", [100_000, 150_000, 200_000])
def test_a_client_that_ends_tls_with_much_under_way_does_not_make_the_loop_spin(
    room: int,
) -> None:
    async def main() -> None:
        errors: set[str] = set()  # a loop that spins would fill a list
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: errors.add(context["message"])
        )
        async with Server({"target": Target()}) as server:
            await server.start("127.0.0.1", 0, **paths_of("server", "client"))
            assert server.server is not None
            for listening in server.server.sockets:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
            await asyncio.to_thread(stalls_and_says_goodbye, port_of(server))
            await comes_true(lambda: not server._handlers)
        assert errors == set()

    asyncio.run(main())
