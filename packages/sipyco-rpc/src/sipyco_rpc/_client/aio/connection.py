"""The asyncio shell around a `ClientSession`: a transport, tasks that wait, and iterators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sipyco_rpc._client.aio.limit import limited
from sipyco_rpc._client.aio.protocol import ConnectionProtocol
from sipyco_rpc._client.progress import told_by_loop
from sipyco_rpc._client.timeouts import limits
from sipyco_rpc.net.errors import protocol_violation
from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteItems
from sipyco_rpc.wire.client_session import GENERATOR, ClientSession
from sipyco_rpc.wire.frames import FrameError

if TYPE_CHECKING:
    from sipyco_rpc.support.lost import ConnectionLost
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import AutoTarget, OutgoingMessage

T = TypeVar("T")


class AsyncioConnection(ConnectionProtocol):
    """A transport and a `ClientSession`. A reply goes to the request of its number.

    The late reply to a request whose caller has given up is dropped. Requests are sent whole or
    not at all, so a cancelled call never leaves half a request behind.

    Args:
        where: the other end, for error messages.
        max_line: longest reply to accept, in bytes.
        timeout: for each call, in seconds; None for none.
        key: stands for the client in `call_timeout`.

    Attributes:
        listing: what the server said of its methods, or None before that.
    """

    def __init__(self, where: str, max_line: int, timeout: float | None, key: object) -> None:
        self.session = ClientSession(max_line)
        super().__init__(where, self.session.incoming)
        self.listing: dict[str, Any] | None = None
        self._timeout = timeout
        self._key = key
        # Who waits for the reply of a number, and what is set as a generator gives something.
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._arrived: dict[int, asyncio.Event] = {}

    def buffer_updated(self, nbytes: int) -> None:
        session, waiting = self.session, self._waiting
        try:
            for number in session.receive(nbytes):
                self._arrived[number].set()
            while session.replies:
                message = session.replies.popleft()
                reply = waiting.pop(message[0], None)
                if reply is None:
                    session.check_late(message)
                elif not reply.done():
                    reply.set_result(message)
        except FrameError as exc:
            self._abort(protocol_violation(self.where, exc))
        except MemoryError:
            self._abort(f"there was not enough memory to receive from {self.where}")

    def _fail_waiting(self, error: Callable[[], ConnectionLost]) -> None:
        waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            if not reply.done():
                reply.set_exception(error())
        for arrived in self._arrived.values():
            arrived.set()

    def _after_fork(self) -> asyncio.AbstractEventLoop:
        for queue in self.session.streams.values():
            queue.clear()
        return super()._after_fork()

    async def select(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target and learn its methods; errors are those of `exchange`."""
        session = self.session
        session.receive_methods(await self.exchange(session.select, target_name))

    async def ask(
        self,
        what: str,
        question: Callable[[AsyncioConnection], Awaitable[Any]],
        ready: bool = False,
    ) -> Any:
        """Ask the server something, as a connection does that is made again when it breaks."""
        return await question(self)

    async def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; errors are those of `exchange`, and what the method raised."""
        session = self.session
        if self._timeout is None and not limits.get():
            message = await self.exchange(session.request_call, name, args, kwargs)
        else:
            with told_by_loop(self._key, session, self._sender, self._waiting) as make:
                exchange = self.exchange(make, name, args, kwargs)
                message = await self.limited(self._what(name), exchange)
        value = session.receive_reply(message)
        if value is not GENERATOR:
            return value
        session.open_stream(message[0])
        self._arrived[message[0]] = asyncio.Event()
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
        """Do something in the time that a call may take; errors are those of `limited`."""
        return await limited(what, self.where, self._timeout, self._key, work)

    async def exchange(self, make: Callable[..., OutgoingMessage], *arguments: Any) -> Message:
        """Send a request and wait for its reply.

        Args:
            make: gives the request when it can be sent; see `kept` of the session.
            *arguments: what it is called with.

        Raises:
            ConnectionLost: the connection is no more, and why.
            RuntimeError: this is not the event loop that has connected.
        """
        if asyncio.get_running_loop() is not self.loop and self._closed is None:
            self.check_loop()
        sender = self._sender
        if sender.backpressured and self._closed is None:
            # It has to wait, and the caller goes on: what it has given now is what is sent.
            make, arguments = self.session.kept(make, arguments)
            while sender.backpressured and self._closed is None:
                self._writable.clear()
                await self._writable.wait()
        if self._closed is not None:
            error = self._closed()
            error.sent = False
            raise error
        number, pieces = make(*arguments)
        sender.put(pieces, shared=True)  # all or nothing
        if self._closed is not None:
            raise self._closed()  # it could not go on after a part
        self.session.requests_sent += 1
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
            # Also where the reply is there: it may have been the beginning of a generator.
            pending = self._waiting.pop(number, None) is not None
            self.session.cancel_call(number, reply_pending=pending)
            self._send_control_frames()
            raise

    def _send_control_frames(self) -> None:
        """Send what is not answered by itself."""
        self.session.collect_cancels()
        frames = self.session.control_frames
        if frames and self._closed is None:
            self._sender.put([bytes(frames)])
            self._sender.flush_soon()
        frames.clear()

    async def next_item(self, number: int, what: str) -> Message | None:
        """Wait for what a generator gives next; errors are those of `limited` and `exchange`.

        Args:
            number: of the call that returned the generator.
            what: the call, for error messages.

        Returns:
            The message; None if the generator was closed meanwhile.
        """
        if self._closed is None:
            self.check_loop()
            if self.session.allow_items(number):
                self._send_control_frames()
        queue = self.session.streams.get(number)
        if queue:
            return queue.take()
        return await self.limited(what, self._receive_item(number))

    async def _receive_item(self, number: int) -> Message | None:
        while (queue := self.session.streams.get(number)) is not None:
            if queue:
                return queue.take()
            if self._ended is not None:
                raise self._ended()
            arrived = self._arrived[number]
            arrived.clear()
            await arrived.wait()
        return None

    def cancel_stream(self, number: int) -> None:
        """Drop what a generator gives from now on, and have the server end it, unless it has."""
        if asyncio.get_running_loop() is not self.loop:
            self.cancel_stream_soon(number)
            return
        self.session.cancel_stream(number)
        self._send_control_frames()
        arrived = self._arrived.pop(number, None)
        if arrived is not None:
            arrived.set()

    def cancel_stream_soon(self, number: int) -> None:
        """Have the loop do so: any thread may call this, and the garbage collector."""
        if self.lost.done():
            return
        try:
            self.loop.call_soon_threadsafe(self.cancel_stream, number)
        except RuntimeError:
            pass  # the loop has been closed, and the connection with it


class RemoteAsyncIterator(RemoteItems, AsyncIterator[Any]):
    """The items of a generator that a remote method returned.

        async for image in await camera.acquire(100):
            ...

    The generator runs as items are asked for, a few ahead. Other calls of the client may be made
    meanwhile. What the generator raises is raised here.

    Leaving an `async with` block, `aclose`, or dropping the iterator ends the generator on the
    server. Waiting for an item may be cancelled, and begun again.
    """

    def __init__(self, connection: AsyncioConnection, number: int, what: str) -> None:
        self._ended = False
        self._connection = connection
        self._number = number
        self._what = what

    __reduce__ = not_copyable("its items come over a connection of this process")

    async def __anext__(self) -> Any:
        """Wait for the next item.

        Raises:
            StopAsyncIteration: there are no more.
            Exception: what the generator raised.
            TimeoutError: it took too long; one may go on to wait.
            ConnectionLost: the connection is no more.
        """
        if self._ended:
            raise StopAsyncIteration
        message = await self._connection.next_item(self._number, self._what)
        if message is None:
            raise StopAsyncIteration  # it was closed meanwhile
        try:
            goes_on, value = self._connection.session.receive_item(message)
        except BaseException:
            self._close()
            raise
        if goes_on:
            return value
        self._close()
        raise StopAsyncIteration if value is None else value

    async def aclose(self) -> None:
        """End the generator. May be repeated."""
        self._close()

    def _close(self) -> None:
        if not self._ended:
            self._ended = True
            self._connection.cancel_stream(self._number)

    def __del__(self) -> None:
        if not self._ended:
            self._connection.cancel_stream_soon(self._number)

    def __repr__(self) -> str:
        return f"<items of the {self._what}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
