"""The server's whole input: banner, selection and requests of one client, in either dialect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from dev.fuzz.memory import MemoryTransport, deliver, loop, reads, recorded, run, settle
from sipyco_pyon import pyon, pyon_v1
from sipyco_rpc._server.connection import ServerConnection
from sipyco_rpc._server.dispatcher import CallDispatcher
from sipyco_rpc.pc_rpc import Server
from sipyco_rpc.wire import exceptions  # noqa: F401  (it is loaded later otherwise)
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.messages import MessageReader
from sipyco_rpc.wire.server_session import ServerSession

__all__ = ["one_input"]

_LIMITS: Final = (2**27, 200)  # bytes of a request
_BANNER: Final = b"ARTIQ pc_rpc\n"
_METHODS: Final = frozenset({"echo", "fail", "wait", "items", "more_items", "coroutine", "block"})
_PROPERTIES: Final = frozenset({"voltage", "temperature"})


class _Target:
    """Has a method of each kind, and notes what is called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.released = asyncio.Event()

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        """Give the arguments back."""
        self.called.append("echo")
        return [*args, kwargs] if kwargs or len(args) != 1 else args[0]

    def fail(self, kind: Any = None, text: Any = "") -> None:
        """Raise."""
        self.called.append("fail")
        raise {1: KeyError, 2: OSError, 3: StopIteration}.get(kind, ValueError)(text)

    async def wait(self) -> str:
        """Wait until everything is over."""
        self.called.append("wait")
        await self.released.wait()
        return "waited"

    async def coroutine(self, value: Any = None) -> Any:
        """Give a value in the next pass of the loop."""
        self.called.append("coroutine")
        await asyncio.sleep(0)
        return value

    def items(self, count: Any = 3) -> Iterator[Any]:
        """Give some items."""
        self.called.append("items")
        yield from range(min(int(count), 40))

    async def more_items(self, value: Any = None) -> AsyncIterator[Any]:
        """Give some items, asynchronously."""
        self.called.append("more_items")
        for _ in range(3):
            await asyncio.sleep(0)
            yield value

    def block(self) -> bytes:
        """Give what travels beside the text."""
        self.called.append("block")
        return bytes(70_000)

    def _private(self) -> None:
        self.called.append("_private")

    @property
    def computed(self) -> Any:
        """Never to be evaluated."""
        self.called.append("computed")
        return lambda: None

    attribute = 3
    _volts: Any = 1

    @property
    def voltage(self) -> Any:
        """In volts."""
        self.called.append("voltage")
        return self._volts

    @voltage.setter
    def voltage(self, volts: Any) -> None:
        self.called.append("voltage")
        if isinstance(volts, str):
            raise ValueError(volts)
        self._volts = volts

    @property
    async def temperature(self) -> Any:
        """Given in the next pass of the loop."""
        self.called.append("temperature")
        await asyncio.sleep(0)
        return 21.5


def one_input(data: bytes) -> None:
    """Have a conversation. The first byte has the options of the server and of the client."""
    if data:
        run(_conversation(data[0], reads(data[1:])))


async def _conversation(options: int, said: list[bytes]) -> None:
    target = _Target()
    server = Server(
        {"thing": target, "other": object()},
        description="a fuzzed one",
        builtin_terminate=bool(options & 1),
        allow_parallel=bool(options & 2),
        frames=not options & 4,
        properties={"thing": _PROPERTIES},
        max_line=_LIMITS[options >> 3 & 1],
    )
    slow = bool(options & 16)
    with recorded("sipyco.pc_rpc") as log:
        transport = MemoryTransport(slow=slow)
        slot = server._admission.admit(transport, "memory")
        assert slot is not None
        connection = server._new_handler(slot)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        serving = asyncio.ensure_future(connection.serve())
        heard = 0
        for part in said:
            if transport.closed or not transport.reading:
                break  # it has told the client to wait
            deliver(transport, part)
            heard += len(part)
            if not options & 32:
                await asyncio.sleep(0)
        if options & 64 and not transport.closed and not connection.eof_received():
            transport.close()
        transport.drain()
        target.released.set()
        await settle(lambda: _at_rest(connection))
        ended = transport.closed
        calls = connection._calls  # it lets go of them in the end
        transport.close()
        await serving
        slot.release()
        session = connection._session
        _check(options, b"".join(said)[:heard], transport, target, session, calls, log, ended)
        terminated = server._terminated.is_set()
        if ended and not options & 64 and not terminated:
            assert any(record.levelno >= logging.WARNING for record in log), "no reason"
        assert terminated <= bool(options & 1)


def _at_rest(connection: ServerConnection) -> bool:
    calls, queue = connection._calls, connection._queue
    return connection._transport.is_closing() or (
        not connection._sender.backpressured
        and (queue is None or not queue.waiting)
        and (calls is None or not calls.jobs)
        # What the loop has yet to do is private to it; without that, it has all passes to do it.
        and not getattr(loop(), "_ready", True)
    )


def _check(
    options: int,
    said: bytes,
    transport: MemoryTransport,
    target: _Target,
    session: ServerSession,
    calls: CallDispatcher | None,
    log: list[logging.LogRecord],
    ended: bool,
) -> None:
    may_run = _METHODS | _PROPERTIES if session.has_properties else _METHODS
    assert set(target.called) <= may_run, target.called
    texts = [record.getMessage() for record in log]
    assert not [text for text in texts if text.startswith("error while serving")], texts
    if calls is not None:
        assert calls.idle, "something is under way after the end"
    to_the_end = not ended and not options & 64
    if calls is None:
        assert transport.written.count(b"\n") <= 1, "an answer to one who has selected nothing"
        return
    _check_answers(said, bytes(transport.written), session, to_the_end)


def _check_answers(said: bytes, answers: bytes, session: ServerSession, to_the_end: bool) -> None:
    """Check that everything that was said to the client is what the protocol has.

    Args:
        said: what the client has said.
        answers: what it has got.
        session: of the server, with a client that has selected a target.
        to_the_end: nothing has kept the server from answering every request.
    """
    if not answers:
        return
    assert said.startswith(_BANNER), "an answer to one who has not said what it is"
    greeting, _, rest = answers.partition(b"\n")
    assert pyon.decode(greeting)["targets"] == ["other", "thing"]
    reader = MessageReader()
    if session.framed:
        reader.expect_frames()
    messages = reader.feed(rest)
    assert reader.pending_size == 0, "half a message"
    decoder = pyon_v1 if session._dialect == "PYON v1" else pyon
    names, *replies = [_value(message, decoder) for message in messages]
    assert names[0] == (0 if session.framed else 1)
    if session.has_properties:
        methods, properties = names[1]["methods"], names[1]["properties"]
        assert isinstance(methods, set)
        assert properties in (set(), _PROPERTIES)
    else:
        assert isinstance(names[1], set) or names[1] == {}
    for _, reply in replies:
        status = reply["status"]
        if status == "failed":
            packed = reply["exception"]
            assert {"class", "message", "traceback"} <= packed.keys() <= {*packed, "args"}
        elif status in ("ok", "item"):
            assert reply.keys() == {"status", "ret"}
        else:
            assert status == "stream"
            assert session.framed
    if not session.framed:
        # Each request is answered once, if the connection has not ended before.
        requests = said.count(b"\n") - 2
        assert len(replies) <= requests, (len(replies), requests)
        assert len(replies) == requests or not to_the_end, (len(replies), requests)
    else:
        ends = [number for number, reply in replies if reply["status"] in ("ok", "failed")]
        assert len(ends) <= said.count(b"#"), "more replies than requests"


def _value(message: Any, decoder: Any) -> tuple[int, Any]:
    number, text, buffers = message
    assert not isinstance(text, LineTooLong)
    if decoder is pyon_v1:
        return number, pyon_v1.decode(text.decode())
    return number, pyon.decode(text, buffers=buffers)
