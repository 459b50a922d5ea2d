"""A connection of the asyncio client: a transport and a `ClientSession`. No proxies here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from sipyco_rpc._client.aio.item_queue import Inbox
from sipyco_rpc._client.aio.iterator import RemoteAsyncIterator
from sipyco_rpc._client.timeouts import limit_of, limits
from sipyco_rpc._compat import release
from sipyco_rpc.net.errors import (
    closed_by_us,
    lost_earlier,
    lost_error,
    protocol_violation,
    timeout_error,
)
from sipyco_rpc.net.sender import Sender
from sipyco_rpc.net.workarounds import abort_tls
from sipyco_rpc.support.process_bound import (
    after_fork_in_child,
    belongs_to_parent,
    leave_descriptor,
)
from sipyco_rpc.wire.client_session import ClientSession, Stream
from sipyco_rpc.wire.frames import FrameError

if TYPE_CHECKING:
    import socket

    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import OutgoingMessage

T = TypeVar("T")

_CLOSE_TIMEOUT: Final = 1.0  # seconds for a peer to take part in closing


class AsyncioConnection(asyncio.BufferedProtocol):
    """A transport and a `ClientSession`. A reply goes to the request of its number.

    The late reply to a request whose caller has given up is dropped. Requests are sent whole or
    not at all, so a cancelled call never leaves half a request behind.

    Args:
        where: the other end, for error messages.
        max_line: longest reply to accept, in bytes.
        timeout: for each call, in seconds; None for none.
        key: stands for the client in `call_timeout`.

    Attributes:
        sock: the socket, or None for what has none; it is the transport's.
        lost: done when the connection has ended.
        listing: what the server said of its methods, or None before that.
    """

    def __init__(self, where: str, max_line: int, timeout: float | None, key: object) -> None:
        self.session = ClientSession(max_line)
        self.where = where
        self._socket_name: Any = None
        self.sock: socket.socket | None = None
        self.listing: dict[str, Any] | None = None
        self._timeout = timeout
        self._key = key
        self.loop = asyncio.get_running_loop()
        self.lost = self.loop.create_future()
        self.transport: asyncio.Transport | None = None
        self._sender: Sender
        self._incoming = self.session.incoming
        # Who waits for the message of a number, and what has come of generators.
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._inboxes: dict[int, Inbox] = {}
        self._writable = asyncio.Event()
        self._writable.set()
        # Why there is no connection any more, as the error of calls from now on.
        self._closed: Callable[[], Exception] | None = None
        after_fork_in_child(self._after_fork)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        self._sender = Sender(self.transport)
        self._sender.on_drained = self._writable.set
        self._sender.broken = self._give_up
        self._sender.begin()
        # TLS does not know it any more when it is closed.
        self._socket_name = transport.get_extra_info("sockname")
        # One call less for each read.
        self.get_buffer = self._incoming.memory  # type: ignore[method-assign]

    @property
    def local_host(self) -> str:
        """The address of this end of the connection, also when that is closed."""
        address: str = self._socket_name[0]
        return address

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._incoming.memory()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for message in self._incoming.take(nbytes):
                self._route(message)
        except FrameError as exc:
            self._give_up(protocol_violation(self.where, exc))
        except MemoryError:
            self._give_up(f"there was not enough memory to receive from {self.where}")

    def _route(self, message: Message) -> None:
        number = message[0]
        reply = self._waiting.pop(number, None)
        if reply is not None:
            if not reply.done():
                reply.set_result(message)
            return
        inbox = self._inboxes.get(number)
        if inbox is not None:
            inbox.put(message)
        elif number > self.session.asked:
            raise FrameError("a message that nobody had asked for")
        # Otherwise its caller has given up.

    def _give_up(self, reason: str) -> None:
        self._end(lambda: ConnectionAbortedError(reason))
        if self.transport is not None:
            self.transport.abort()

    def eof_received(self) -> None:
        assert self.transport is not None
        abort_tls(self.transport)  # what is still to be sent is of no use

    def connection_lost(self, exc: Exception | None) -> None:
        known, unread, later = self._closed, self._incoming.pending, lost_earlier(self.where, exc)
        self._end(lambda: lost_error(self.where, exc, unread))
        self._closed = known or (lambda: ConnectionResetError(later))
        self._writable.set()
        self._sender.drop()
        if not self.lost.done():
            self.lost.set_result(None)

    def _end(self, error: Callable[[], Exception]) -> None:
        if self._closed is None:
            self._closed = error
        waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            if not reply.done():
                reply.set_exception(error())
        for inbox in self._inboxes.values():
            inbox.fail(error())
        self._inboxes.clear()

    def _after_fork(self) -> asyncio.AbstractEventLoop:
        reason = belongs_to_parent(
            f"the connection to {self.where}", "make another client in this process"
        )
        if self._closed is None:
            self._closed = lambda: ConnectionAbortedError(reason)
        for inbox in self._inboxes.values():
            inbox.abandon(self._closed())
        # Nothing is to be done in the loop any more, nor waited for.
        self.lost = self.loop.create_future()
        self.lost.set_result(None)
        leave_descriptor(self.transport)
        return self.loop

    def check_loop(self) -> None:
        """Refuse to be used in another event loop than the one that has connected.

        Raises:
            RuntimeError: this is another one. Nothing has been sent.
        """
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(
                f"the client of {self.where} was connected in another event loop: "
                "use it there, or make another client in this one"
            )

    def pause_writing(self) -> None:
        self._sender.pause()

    def resume_writing(self) -> None:
        self._sender.resume()

    async def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; errors are those of `exchange`, and what the method raised."""
        session = self.session
        exchange = self.exchange(session.request_call, name, args, kwargs)
        if self._timeout is None and not limits.get():
            message = await exchange
        else:
            message = await self.limited(self._what(name), exchange)
        value = session.receive_reply(message)
        if value is not Stream:
            return value
        return RemoteAsyncIterator(self, message[0], self._what(name))

    def _what(self, name: str) -> str:
        return f"call of `{self.session.selected_target}.{name}`"

    async def list_methods(self) -> dict[str, Any]:
        """Ask for signatures and docstrings; errors are those of `exchange`."""
        session = self.session
        exchange = self.exchange(session.request, session.list_methods())
        message = await self.limited("listing the methods", exchange)
        self.listing = session.receive_listing(message)
        return self.listing

    async def limited(self, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the time that a call may take.

        Raises:
            TimeoutError: it took longer; the text says what.
        """
        has_limit, seconds = limit_of(self._key)
        if not has_limit:
            seconds = self._timeout
        if seconds is None:
            return await work
        started = time.monotonic()
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as exc:
            if not limit.expired():
                raise  # of something else
            raise timeout_error(what, self.where, started) from exc

    async def exchange(self, make: Callable[..., OutgoingMessage], *arguments: Any) -> Message:
        """Send a request and wait for its reply.

        Args:
            make: gives the request when it can be sent; see `kept` of the session.
            *arguments: what it is called with.

        Raises:
            EOFError: the other side closed the connection.
            ConnectionError: the connection is no more, and why.
            RuntimeError: this is not the event loop that has connected.
        """
        if asyncio.get_running_loop() is not self.loop and self._closed is None:
            self.check_loop()
        sender = self._sender
        if sender.backpressured and self._closed is None:
            # It has to wait, and the caller goes on: what it has given now is what is sent.
            make, arguments = self.session.kept(make, arguments)
        while self._closed is None and sender.backpressured:
            self._writable.clear()
            await self._writable.wait()
        if self._closed is not None:
            raise self._closed()
        number, pieces = make(*arguments)
        sender.put(pieces, shared=True)  # all or nothing
        if self._closed is not None:
            raise self._closed()  # it could not go on after a part
        self.session.asked += 1
        reply: asyncio.Future[Message] = self.loop.create_future()
        alone = not self._waiting
        self._waiting[number] = reply
        if alone:
            sender.flush()
        else:
            sender.flush_soon()
        try:
            return await reply
        except asyncio.CancelledError:
            self._waiting.pop(number, None)
            if self.session.framed:
                # Also where the reply is there: it may have been the beginning of a generator.
                self.tell(self.session.cancel(number))
            raise

    def tell(self, notice: bytes) -> None:
        """Send what is not answered by itself."""
        if self._closed is None:
            self._sender.put([notice])
            self._sender.flush_soon()

    def open_inbox(self, number: int) -> Inbox:
        """Begin to collect what the generator gives that the call of this number returned."""
        inbox = self._inboxes[number] = Inbox()
        if self._closed is not None:
            inbox.fail(self._closed())
        return inbox

    def forget(self, number: int, *, ended: bool) -> None:
        """Drop what a generator gives from now on; have the server end it, if it has not ended."""
        inbox = self._inboxes.pop(number, None)
        if inbox is not None:
            inbox.close()
            if not ended:
                self.tell(self.session.cancel(number))

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection, whatever the state of its loop.

        Args:
            at_once: leave out the farewells of TLS.
        """
        self._end(lambda: ConnectionAbortedError(closed_by_us(self.where)))
        self._writable.set()
        if self.transport is None or self.lost.done():
            return
        if self.loop.is_closed():
            release(self.transport, self.sock)
        elif at_once or self.transport.get_extra_info("sslcontext") is not None:
            # TLS would wait for the farewell of the other side, perhaps for longer than the loop.
            self.transport.abort()
        else:
            self.transport.close()
        if not self.loop.is_running() and not self.loop.is_closed():
            self._close_in_stopped_loop()

    def _close_in_stopped_loop(self) -> None:
        """Let the loop close the socket now: it may never run again."""
        assert self.transport is not None
        self.transport.abort()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.loop.run_until_complete(asyncio.wait([self.lost], timeout=_CLOSE_TIMEOUT))
        # Where another loop runs in this thread this one cannot, until that has ended.

    async def wait_closed(self) -> None:
        """Wait until the connection is closed; what does not close in time is aborted."""
        if self.loop is not asyncio.get_running_loop() or self.transport is None:
            return
        await asyncio.wait([self.lost], timeout=_CLOSE_TIMEOUT)
        if not self.lost.done():
            self.transport.abort()
            await asyncio.wait([self.lost])
