"""The connection of the blocking clients: cancellations, and what a server must not send."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sipyco_rpc._client.blocking import channel, iterator
from sipyco_rpc._client.blocking.transport import SocketTransport
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server
from sipyco_rpc.wire.client_session import ClientSession
from support.certificates import paths_of
from support.gates import GatedTarget
from support.peers import (
    DEADLINE,
    HOST,
    Peer,
    connection_of,
    running_server,
    scripted_server,
    until,
)
from support.transports import secured

ITEM = b'{"status":"item","ret":0}'
OK = b'{"status":"ok","ret":null}'
STREAM = b'{"status":"stream"}'


class Target(GatedTarget):
    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []

    async def one_item(self) -> AsyncIterator[int]:
        """Give one item, and the next never."""
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            self.ended.append("one_item")


@contextlib.contextmanager
def served(target: Target, tls: bool = False) -> Iterator[Client]:
    """Run a server; give a client of it."""
    own = paths_of("server", "client") if tls else {}
    options = paths_of("client", "server") if tls else {}
    with running_server(lambda: Server({"t": target}, allow_parallel=True), **own) as port:
        with Client(HOST, port, **options) as client:
            yield client


def frame(peer: Peer) -> tuple[int, bytes]:
    """Wait for a frame without buffers; number 0 at the end of the stream."""
    header = peer.line()
    if not header:
        return 0, b""
    number, length = map(int, header[1:].split())
    return number, peer._file.read(length)


def send(peer: Peer, *messages: tuple[int, bytes]) -> None:
    peer.send(b"".join(b"#%d %d\n%b" % (number, len(text), text) for number, text in messages))


def handshake(peer: Peer) -> None:
    """Play the server's side up to the first call, with frames."""
    peer.line()
    peer.send(b'{"targets":["test"],"description":null,"features":["pyon_v2","frames"]}\n')
    assert peer.line() == b"test pyon_v2 frames\n"
    send(peer, (0, b'{"__jsonclass__":["set",[["f","g"]]]}'))


def waits_for_the_socket(thread: threading.Thread) -> bool:
    found = sys._current_frames().get(thread.ident or 0)
    while found is not None and found.f_code.co_name != "receive_some":
        found = found.f_back  # with TLS there are some in between
    return found is not None


# --- another thread --------------------------------------------------------------------------


def test_closing_never_leaves_a_socket_that_would_send_without_tls() -> None:
    with served(Target(), tls=True) as client:
        assert client.echo(1) == 1
        transport = connection_of(client).transport
        transport.wake()  # what `close_rpc` does while another thread may be in `send`
        assert transport._socket.version() is not None


@secured
def test_another_thread_may_close_a_generator_that_is_waited_for(tls: bool) -> None:
    target = Target()
    with served(target, tls) as client:
        items = client.one_item()
        others = client.one_item()
        assert next(others) == 0
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.append(list(items)), daemon=True)
        thread.start()
        until(lambda: waits_for_the_socket(thread))
        others.close()  # the server is told of this one as well
        until(lambda: target.ended == ["one_item"])
        assert thread.is_alive()
        items.close()
        thread.join(DEADLINE)
        assert got == [[0]]
        until(lambda: target.ended == ["one_item", "one_item"])
        assert client.echo(1) == 1
        assert list(items) == []


def test_a_generator_that_is_closed_just_before_it_is_waited_for_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served(Target()) as client:
        items = client.one_item()

        def limit_of(key: object) -> tuple[bool, None]:
            items.close()
            return False, None

        monkeypatch.setattr(iterator, "limit_of", limit_of)
        assert list(items) == []
        assert client.echo(1) == 1


def test_what_is_closed_during_a_call_is_told_of_when_the_call_ends() -> None:
    target = Target()
    with served(target) as client:
        items = client.one_item()
        assert next(items) == 0
        thread = threading.Thread(target=client.wait)
        thread.start()
        assert target.entered.wait(DEADLINE)
        items.close()
        target.released.set()
        thread.join(DEADLINE)
        until(lambda: target.ended == ["one_item"])  # without another request


# --- what a server sends ---------------------------------------------------------------------


def test_more_items_than_were_allowed_end_the_connection() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        number, _ = frame(peer)
        send(peer, (number, STREAM))
        number, text = frame(peer)
        assert (number, text) == (number, b'{"action":"next","n":2}')
        send(peer, (number, ITEM))
        frame(peer)
        with contextlib.suppress(OSError):  # the client leaves at the third
            send(peer, *[(number, ITEM)] * 200_000)
            assert frame(peer) == (0, b"")

    with scripted_server(play) as port, Client(HOST, port, "test") as client:
        items = client.f()
        assert next(items) == 0
        with pytest.raises(ConnectionError, match="more items of call 3 than it was asked for"):
            client.g()
        with pytest.raises(ConnectionError, match="more items"):
            client.g()


def test_a_number_that_was_never_asked_for_ends_the_connection() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        number, _ = frame(peer)
        send(peer, (number + 1, OK))
        assert frame(peer) == (0, b"")

    with scripted_server(play) as port, Client(HOST, port, "test") as client:
        with pytest.raises(ConnectionError, match="nobody had asked for"):
            client.g()
        with pytest.raises(ConnectionError, match="nobody had asked for"):
            client.g()


def with_an_item_that_cannot_be_read(peer: Peer) -> None:
    handshake(peer)
    number, _ = frame(peer)
    send(peer, (number, STREAM))
    assert frame(peer) == (number, b'{"action":"next","n":2}')
    send(peer, (number, b'{"status":"item","ret":{"__jsonclass__":["nosuch",[]]}}'))
    assert frame(peer) == (number, b'{"action":"cancel"}')
    number, _ = frame(peer)
    send(peer, (number, OK))
    assert frame(peer) == (0, b"")


def test_an_item_that_cannot_be_read_ends_the_generator() -> None:
    with scripted_server(with_an_item_that_cannot_be_read) as port:
        with Client(HOST, port, "test") as client:
            items = client.f()
            assert repr(items) == "<items of the call of `test.f`>"
            with pytest.raises(TypeError, match="`nosuch`"):
                next(items)
            assert client.g() is None
            assert list(items) == []


def test_an_item_that_cannot_be_read_ends_an_asynchronous_generator() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, "test")
            items = await client.f()
            assert repr(items) == "<items of the call of `test.f`>"
            with pytest.raises(TypeError, match="`nosuch`"):
                await anext(items)
            assert await client.g() is None
            assert [item async for item in items] == []

    with scripted_server(with_an_item_that_cannot_be_read) as port:
        asyncio.run(main(port))


# --- giving up -------------------------------------------------------------------------------


def test_a_generator_whose_end_has_come_is_not_cancelled() -> None:
    seen: list[tuple[int, bytes]] = []

    def play(peer: Peer) -> None:
        handshake(peer)
        number, _ = frame(peer)
        send(peer, (number, STREAM))
        frame(peer)
        send(peer, (number, ITEM), (number, OK))
        number, text = frame(peer)
        seen.append((number, text))
        send(peer, (number, OK))
        assert frame(peer) == (0, b"")

    with scripted_server(play) as port, Client(HOST, port, "test") as client:
        items = client.f()
        assert next(items) == 0
        session = connection_of(client).session
        until(lambda: bool(session.streams[3]))
        items.close()
        assert client.g() is None
        assert not session.ignored_ids
        assert not session.pending_cancels
    assert b'"name":"g"' in seen[0][1]


class Interrupting(deque[Any]):
    def popleft(self) -> Any:
        super().popleft()
        raise KeyboardInterrupt


def test_ctrl_c_with_the_reply_at_hand_leaves_nothing_owed() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        number, _ = frame(peer)
        send(peer, (number, STREAM))
        assert frame(peer) == (number, b'{"action":"cancel"}')  # it may be a generator, and is
        send(peer, (number, b'{"status":"failed","exception":{"class":"X","message":""}}'))
        number, _ = frame(peer)
        send(peer, (number, OK))
        assert frame(peer) == (0, b"")

    with scripted_server(play) as port, Client(HOST, port, "test") as client:
        session = connection_of(client).session
        session.replies = Interrupting()
        with pytest.raises(KeyboardInterrupt):
            client.f()
        session.replies = deque()
        assert not session.ignored_ids
        assert client.g() is None


def in_the_reply(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def receive_reply(message: Any) -> Any:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(connection_of(client).session, "receive_reply", receive_reply)


def before_the_iterator(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(self: Any, *args: Any) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(iterator.RemoteIterator, "__init__", begin)


def while_waking_others(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = connection_of(client).lock

    def wake() -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(lock, "waiting", [threading.Lock()])  # it does not take its turn
    monkeypatch.setattr(lock, "wake", wake)


@pytest.mark.parametrize("kind", [Client, BestEffortClient])
@pytest.mark.parametrize("where", [in_the_reply, before_the_iterator, while_waking_others])
def test_ctrl_c_before_there_is_an_iterator_ends_the_generator(
    where: Callable[[Any, pytest.MonkeyPatch], None],
    kind: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        number, _ = frame(peer)
        send(peer, (number, STREAM))
        assert frame(peer) == (number, b'{"action":"cancel"}')
        number, _ = frame(peer)
        send(peer, (number, OK))
        assert frame(peer) == (0, b"")

    with scripted_server(play) as port, kind(HOST, port, "test") as client:
        where(client, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            client.f()
        assert client.g() is None
        assert not connection_of(client).session.streams


@pytest.mark.parametrize("listening", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_a_timeout_before_anything_was_sent_keeps_the_connection(
    count: int, listening: bool
) -> None:
    one, two = socket.socketpair()
    with one, two:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                one.send(b"x" * 65536)
        with contextlib.suppress(BlockingIOError):
            while True:
                one.send(b"x")
        transport = SocketTransport(one, "there", ClientSession())
        pieces: list[Any] = [b"piece"] * count
        with pytest.raises(TimeoutError):
            transport.send(pieces, 0.02, None, listening)
        assert transport.closed is None
        assert pieces == [b"piece"] * count
        two.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while two.recv(65536):
                pass
        transport.send(pieces, DEADLINE, None, listening)
        assert two.recv(100) == b"piece" * count


class Failing:
    """A socket whose next operation fails, after it took what is to be taken."""

    def __init__(self, sock: socket.socket, failure: BaseException) -> None:
        self._socket = sock
        self._failure: BaseException | None = failure

    def _fail(self, *arguments: Any) -> Any:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def send(self, data: Any) -> int:
        self._fail()
        return self._socket.send(data)

    def recv_into(self, memory: Any) -> int:
        self._fail()
        return self._socket.recv_into(memory)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


@contextlib.contextmanager
def failing(failure: BaseException) -> Iterator[tuple[SocketTransport, socket.socket]]:
    """Give a transport whose socket fails, and the other end of it."""
    one, two = socket.socketpair()
    with one, two:
        broken: Any = Failing(one, failure)
        yield SocketTransport(broken, "there", ClientSession()), two


def test_what_is_sent_in_passing_waits_for_nothing() -> None:
    with failing(BlockingIOError()) as (transport, other):
        data = bytearray(b"notice")
        transport.try_to_send(data)
        assert (transport.closed, data) == (None, b"notice")
        transport.try_to_send(data)
        assert (transport.closed, data) == (None, b"")
        assert other.recv(100) == b"notice"
    with failing(ConnectionResetError("reset by peer")) as (transport, _):
        transport.try_to_send(bytearray(b"notice"))
        assert transport.closed == "the connection to there was lost earlier: reset by peer"
    with failing(KeyboardInterrupt()) as (transport, _):
        with pytest.raises(KeyboardInterrupt):
            transport.try_to_send(bytearray(b"notice"))
        assert transport.closed == "the connection to there was closed: a request was sent in part"


def test_a_failure_while_receiving_leaves_what_can_be_kept() -> None:
    with failing(BlockingIOError()) as (transport, _):
        transport.receive_some(0, None)
        assert transport.closed is None
    with failing(KeyboardInterrupt()) as (transport, _):
        with pytest.raises(KeyboardInterrupt):
            transport.receive_some(DEADLINE, None)
        assert transport.closed is None  # nothing had come
    with failing(OSError(113, "No route to host")) as (transport, _):
        with pytest.raises(OSError, match="No route to host"):
            transport.receive_some(DEADLINE, None)
        assert transport.closed == (
            "the connection to there was lost earlier: [Errno 113] No route to host"
        )


@pytest.mark.parametrize("kind", [Client, BestEffortClient])
def test_ctrl_c_with_an_item_at_hand_ends_the_generator(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(lambda: Server({"test": Target()}, allow_parallel=True)) as port:
        with kind(HOST, port, "test") as client:
            items = client.one_item()
            assert next(items) == 0

            def interrupt(self: Any) -> Any:
                raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(iterator.RemoteIterator, "next_message", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    next(items)
            assert list(items) == []
            assert client.echo(1) == 1


def test_the_timeout_of_a_client_holds_for_each_item() -> None:
    with served(Target()) as client:
        items = client.one_item()
        assert next(items) == 0
        connection_of(client).timeout = 0.05  # connecting may take longer
        with pytest.raises(TimeoutError, match=r"`t\.one_item` on .* timed out after"):
            next(items)
        connection_of(client).timeout = None
        assert client.echo(1) == 1
        items.close()


def test_an_item_may_take_longer_than_the_timeout_if_its_parts_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(channel, "time", SimpleNamespace(monotonic=lambda: now))
    wanted = threading.Semaphore(0)  # parts of the item

    def play(peer: Peer) -> None:
        handshake(peer)
        number, _ = frame(peer)
        send(peer, (number, STREAM))
        assert frame(peer)[0] == number
        for byte in b"#%d %d\n%b" % (number, len(ITEM), ITEM):
            assert wanted.acquire(timeout=DEADLINE)
            peer.send(bytes([byte]))

    with scripted_server(play) as port, Client(HOST, port, timeout=DEADLINE) as client:
        items = client.f()
        receive_some = SocketTransport.receive_some

        def receive_late(self: SocketTransport, limit: float, deadline: None) -> None:
            nonlocal now
            wanted.release()
            receive_some(self, None, None)
            now += DEADLINE / 2

        monkeypatch.setattr(SocketTransport, "receive_some", receive_late)
        assert next(items) == 0
