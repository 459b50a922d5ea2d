"""Both ends of an RPC conversation without a socket; bytes arrive as the test says.

`SessionPair` joins the sans-I/O core, `memory_client` an `AsyncioClient` and a `Server`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate, cycle
from types import SimpleNamespace
from typing import Any
from unittest import mock

from sipyco_rpc._client.aio import opening
from sipyco_rpc._server.connection import ServerConnection
from sipyco_rpc.pc_rpc import AsyncioClient, Server
from sipyco_rpc.wire.client_session import GENERATOR, ClientSession
from sipyco_rpc.wire.messages import MessageReader
from sipyco_rpc.wire.requests import CallRequest, CancelRequest, ListRequest, NextRequest
from sipyco_rpc.wire.server_handshake import BannerReceived, State
from sipyco_rpc.wire.server_session import ServerSession
from sipyco_rpc.wire.session import AutoTarget
from support.peers import DEADLINE

# The offsets in a stream at which its pieces end; after the last of them it comes whole.
Ends = Iterable[int]

_WINDOW = 64 * 1024  # bytes: what a connection takes before its sender has to wait


def pieces_of(sizes: Sequence[int]) -> Ends:
    """Cut a stream into pieces of these sizes, over and over; whole if there are none."""
    return accumulate(cycle(sizes))


class Line:
    """One direction: what was sent and has not arrived.

    Args:
        arrive: takes what arrives.
        ends: where it is cut.
        lost_after: so many bytes arrive, and nothing after them.

    Attributes:
        sent: all that was ever sent.
        arrived: how much of it has arrived.
    """

    def __init__(
        self, arrive: Callable[[bytes], object], ends: Ends = (), lost_after: int | None = None
    ) -> None:
        self.sent = bytearray()
        self.arrived = 0
        self._arrive = arrive
        self._ends = iter(ends)
        self._end: int | None = 0  # of the next piece
        self._lost_after = lost_after

    @property
    def pending(self) -> int:
        """How many bytes are on their way."""
        reach = len(self.sent) if self._lost_after is None else self._lost_after
        return min(len(self.sent), reach) - self.arrived

    @property
    def lost(self) -> bool:
        """Whether all has arrived that ever will."""
        return self._lost_after is not None and self.arrived >= self._lost_after

    def send(self, *pieces: bytes | memoryview) -> None:
        self.sent += b"".join(pieces)

    def deliver(self) -> bool:
        """Have the next piece arrive, as far as it was sent; tell whether there was any of it."""
        if not self.pending:
            return False
        while self._end is not None and self._end <= self.arrived:
            self._end = next(self._ends, None)
        size = self.pending if self._end is None else min(self.pending, self._end - self.arrived)
        piece = bytes(self.sent[self.arrived : self.arrived + size])
        self.arrived += size
        self._arrive(piece)
        return True


def _messages(incoming: MessageReader, data: bytes) -> Iterator[Any]:
    """Put bytes where they belong; give each message before the next one is looked at."""
    while data:
        memory = incoming.memory()
        size = min(len(memory), len(data))
        memory[:size] = data[:size]
        incoming.received(size)
        data = data[size:]
        while (message := incoming.next()) is not None:
            yield message


def served(
    session: ServerSession, data: bytes, names: Iterable[str], send: Callable[..., object]
) -> Iterator[Any]:
    """Put bytes where they belong, go through the handshake, and give each message after it.

    Args:
        session: what receives them.
        data: the bytes.
        names: the methods of the target, whichever is selected.
        send: is called with the pieces of what the handshake answers.
    """
    while data:
        memory = session.incoming.memory()
        size = min(len(memory), len(data))
        memory[:size] = data[:size]
        session.incoming.received(size)
        data = data[size:]
        while (event := session.next_event()) is not None:
            if isinstance(event, BannerReceived):
                send(event.reply)
            else:
                send(*session.accept(names))
        if session.handshake.state is State.REQUESTS:
            while (message := session.incoming.next()) is not None:
                yield message


CALL = b'{"action":"call","name":"f","args":[],"kwargs":{}}'


def selected_session(selection: bytes, *numbers: int, **options: Any) -> ServerSession:
    """Return a session whose client has selected a target, and made calls of these numbers.

    Args:
        selection: the line, without its newline; it begins with the name of the only target.
        numbers: of the calls.
        options: of the session.
    """
    session = ServerSession([selection.decode().split(" ")[0]], **options)
    said = b"ARTIQ pc_rpc\n" + selection + b"\n"
    assert list(served(session, said, {"f"}, lambda *pieces: None)) == []
    for number in numbers:
        session.receive_request((number, CALL, []))
    return session


class SessionPair:
    """A `ClientSession` that makes calls, and a `ServerSession` that has them answered.

    Args:
        answer: gives the result of a call, or raises; of the name and the arguments. An iterator
            is sent as a generator.
        features: what the server offers.
        up, down: where the bytes of each direction are cut.
        lost_up, lost_down: how many bytes of each arrive at most.

    Attributes:
        results: what came of each call, in the order of the calls: a pair ("returned", value),
            ("raised", exception), or ("gave", items) for a generator that has ended.
        executed: the calls that the server was asked for.
    """

    def __init__(
        self,
        answer: Callable[..., Any],
        features: Sequence[str] = ("pyon_v2", "frames"),
        *,
        up: Ends = (),
        down: Ends = (),
        lost_up: int | None = None,
        lost_down: int | None = None,
        max_message: int = 1 << 20,
    ) -> None:
        self.client = ClientSession(max_message)
        self.server = ServerSession(["lda"], max_message=max_message)
        self.server.handshake._features = list(features)
        self.executed: list[Any] = []
        self.up = Line(self._serve, up, lost_up)
        self.down = Line(self._receive, down, lost_down)
        self._answer = answer
        self._results: dict[int, tuple[str, Any]] = {}
        self._calls: list[int] = []
        self._awaited: set[int] = set()
        self._items: dict[int, list[Any]] = {}
        self._generators: dict[int, Iterator[Any]] = {}  # of the server
        self._waiting: deque[Callable[[], Any]] = deque()  # until the handshake is over
        self._client_step: Callable[[Any], None] = self._server_speaks_first
        self._request(self.client.hello())

    @property
    def results(self) -> list[tuple[str, Any]]:
        return [self._results[number] for number in self._calls if number in self._results]

    def call(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Have the client make a call, once it can."""
        self._waiting.append(lambda: self.client.request_call(name, args, kwargs))
        self._send_waiting()

    def list_methods(self) -> None:
        """Have the client ask for the signatures, once it can."""
        self._waiting.append(lambda: self.client.request(self.client.list_methods()))
        self._send_waiting()

    def cancel(self, index: int) -> None:
        """Have the client give a call up, or the generator that it has returned, if it has."""
        number = self._calls[index]
        if number in self._awaited:
            self._awaited.remove(number)
            self.client.cancel_call(number, reply_pending=True)
        else:
            self.client.cancel_stream(number)
        self._send_control_frames()

    def run(self) -> None:
        """Deliver what is on its way, until there is nothing."""
        while self.up.deliver() | self.down.deliver():
            pass

    def _request(self, request: tuple[int, list[Any]]) -> int:
        number, pieces = request
        self.client.requests_sent += 1
        self._awaited.add(number)
        self.up.send(*pieces)
        return number

    def _send_waiting(self) -> None:
        while self._waiting and self._client_step == self._replied:
            self._calls.append(self._request(self._waiting.popleft()()))

    # The client.

    def _receive(self, data: bytes) -> None:
        session = self.client
        while data:
            memory = session.incoming.memory()
            size = min(len(memory), len(data))
            memory[:size] = data[:size]
            data = data[size:]
            for number in session.receive(size):
                self._take_items(number)
            while session.has_reply(self._awaited):
                message = session.replies.popleft()
                self._awaited.remove(message[0])
                self._client_step(message)
                self._send_waiting()

    def _server_speaks_first(self, message: Any) -> None:
        self.client.receive_identification(message)
        self._client_step = self._told_methods
        self._request(self.client.select(AutoTarget))

    def _told_methods(self, message: Any) -> None:
        self.client.receive_methods(message)
        self._client_step = self._replied

    def _replied(self, message: Any) -> None:
        number = message[0]
        assert number in self._calls, "a reply to no call"
        assert number not in self._results, "a second reply"
        try:
            result = self.client.receive_reply(message)
        except Exception as exc:
            self._results[number] = "raised", exc
            return
        if result is GENERATOR:
            self._items[number] = []
            self.client.open_stream(number)
            self._allow_items(number)
        else:
            self._results[number] = "returned", result

    def _take_items(self, number: int) -> None:
        while queue := self.client.streams.get(number):
            goes_on, value = self.client.receive_item(queue.take())
            if goes_on:
                self._items[number].append(value)
                self._allow_items(number)
            elif value is None:
                self._results[number] = "gave", self._items[number]
            else:
                self._results[number] = "raised", value

    def _allow_items(self, number: int) -> None:
        if self.client.allow_items(number):
            self._send_control_frames()

    def _send_control_frames(self) -> None:
        self.client.collect_cancels()
        self.up.send(bytes(self.client.control_frames))
        self.client.control_frames.clear()

    # The server.

    def _serve(self, data: bytes) -> None:
        for message in served(self.server, data, {"f", "g"}, self.down.send):
            for pieces in self._replies(message):
                self.down.send(*pieces)

    def _replies(self, message: Any) -> Iterator[Any]:
        """Give the messages that answer one; none for a cancellation that comes too late."""
        number, server = message[0], self.server
        try:
            request = server.receive_request(message)
            if isinstance(request, NextRequest):
                yield from self._next_items(number)
            elif isinstance(request, CancelRequest):
                if self._generators.pop(number, None) is not None:
                    server.stream_closed()
                    yield server.fail(number, RuntimeError("it was cancelled"))
            elif isinstance(request, ListRequest):
                yield server.reply(number, {"docstring": None, "methods": {}})
            else:
                assert isinstance(request, CallRequest)
                self.executed.append((request.name, list(request.args), request.kwargs))
                result = self._answer(request.name, *request.args, **request.kwargs)
                if isinstance(result, Iterator):
                    yield server.stream(number)
                    self._generators[number] = result
                else:
                    yield server.reply(number, result)
        except Exception as exc:
            yield server.fail(number, exc.with_traceback(None))  # a shorter stream

    def _next_items(self, number: int) -> Iterator[Any]:
        while self.server.credit.get(number):
            try:
                value = next(self._generators[number])
            except StopIteration:
                del self._generators[number]
                self.server.stream_closed()
                yield self.server.end_stream(number)
            else:
                yield self.server.item(number, value)


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory.

    Args:
        changed: is set when there may be something to do for `step`.
        ends, lost_after: of the line to the other end.
    """

    other: MemoryTransport

    def __init__(self, changed: asyncio.Event, ends: Ends, lost_after: int | None) -> None:
        super().__init__()
        self.line = Line(self._arrive, ends, lost_after)  # to the other
        self.reading = True
        self.closed = False
        self._protocol: Any = None
        self._changed = changed
        self._closing = False
        self._paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known: dict[str, Any] = {
            "socket": SimpleNamespace(family=None),
            "peername": ("memory", 0),
            "sockname": ("memory", 0),
        }
        return known.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        if self._closing:
            return
        self.line.send(data)
        self._changed.set()
        if self.line.pending > _WINDOW and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self._changed.set()

    def close(self) -> None:
        self._closing = True
        self._changed.set()

    def abort(self) -> None:
        self._closing = True
        self._lose(None)
        self.other._lose(ConnectionResetError("aborted"))

    def step(self) -> bool:
        """Let something happen; tell whether there was anything to do."""
        if self.closed or (not self.other.reading and not self.other.closed):
            return False
        if self.line.deliver():
            if self._paused and not self.line.pending and not self.closed:
                self._paused = False
                self._protocol.resume_writing()
            return True
        if self.line.lost or self._closing:
            self._lose(None)
            if not self.other._closing and not self.other._protocol.eof_received():
                self.other.close()
            return True
        return False

    def _arrive(self, data: bytes) -> None:
        other = self.other
        while data and not other._closing:
            memory = memoryview(other._protocol.get_buffer(len(data)))
            size = min(len(memory), len(data))
            memory[:size] = data[:size]
            other._protocol.buffer_updated(size)
            data = data[size:]

    def _lose(self, exc: Exception | None) -> None:
        if not self.closed:
            self.closed = self._closing = True
            self._changed.set()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, exc)


async def _deliver(one: MemoryTransport, other: MemoryTransport, changed: asyncio.Event) -> None:
    """Deliver what is on its way, a piece of each direction in each pass of the loop."""
    while not (one.closed and other.closed):
        changed.clear()
        if one.step() | other.step():
            await asyncio.sleep(0)
        else:
            await changed.wait()


@asynccontextmanager
async def memory_client(
    server: Server,
    *,
    up: Ends = (),
    down: Ends = (),
    lost_up: int | None = None,
    lost_down: int | None = None,
) -> AsyncIterator[tuple[AsyncioClient, MemoryTransport, MemoryTransport]]:
    """Join an asyncio client to a server that does not listen; give it, and both transports.

    The client's handshake is still to be done, by `connect_rpc` with any address.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    ours = MemoryTransport(changed, up, lost_up)
    theirs = MemoryTransport(changed, down, lost_down)
    ours.other, theirs.other = theirs, ours
    tasks: list[asyncio.Task[None]] = []

    async def connect(make: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        slot = server._admission.admit(theirs, "memory")
        assert slot is not None
        protocol, serving = make(), server._new_handler(slot)
        ours.set_protocol(protocol)
        theirs.set_protocol(serving)
        serving.connection_made(theirs)
        protocol.connection_made(ours)
        tasks.append(asyncio.create_task(serving.serve()))
        tasks.append(asyncio.create_task(_deliver(ours, theirs, changed)))
        return ours, protocol

    async def open_socket(*_: object) -> None:
        """There is none."""

    client = AsyncioClient()
    try:
        with (
            mock.patch.object(opening, "async_socket", open_socket),
            mock.patch.object(loop, "create_connection", connect),
        ):
            yield client, ours, theirs
    finally:
        await client.close_rpc()
        for task in tasks[:1]:
            task.cancel()  # as `stop` does: what has begun would go on
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*tasks, return_exceptions=True)


def connection_in_memory(server: Server) -> tuple[ServerConnection, MemoryTransport]:
    """Make a server's end of a connection, with which nothing has happened yet."""
    transport = MemoryTransport(asyncio.Event(), (), None)
    slot = server._admission.admit(transport, "memory")
    assert slot is not None
    connection = server._new_handler(slot)
    transport.set_protocol(connection)
    return connection, transport
