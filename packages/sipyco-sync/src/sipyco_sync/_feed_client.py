"""A client that sends a banner and a name, and gets values in lines until the connection ends.

`Subscriber` and `Receiver` are such clients. What the values mean is not known here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeAlias

from sipyco_rpc.net.errors import reason_of
from sipyco_rpc.net.keepalive import async_open_connection
from sipyco_rpc.net.workarounds import abort, close_writer
from sipyco_rpc.support.backoff import backoff
from sipyco_rpc.support.log_limiter import LogLimiter
from sipyco_rpc.support.lost import ConnectionLost
from sipyco_rpc.support.process_bound import after_fork_in_child, leave_descriptor, not_copyable
from sipyco_rpc.support.quoting import short_message
from sipyco_rpc.support.validation import checked_pause, format_address
from sipyco_rpc.wire.lines import LineReader, LineTooLong
from sipyco_sync._dialects import decode_line
from sipyco_sync._limits import CALLBACK_TIMEOUT, STREAM_LIMIT, TIME_SLICE

if TYPE_CHECKING:
    from ssl import SSLContext

Callback: TypeAlias = Callable[..., Awaitable[object] | object]

READ_SIZE: Final = 256 * 1024  # what one read may bring; more gains nothing


class SubscriptionState(Enum):
    """What became of a subscription, for `state_cb`."""

    connected = "connected"
    disconnected = "disconnected"
    retrying = "retrying"
    closed = "closed"


SubscriptionState.__module__ = "sipyco_sync.sync_struct"  # and `broadcast` has it as well


class SubscriptionEnded(Exception):
    """The connection is of no more use: the text says why, `level` how the log has it."""

    def __init__(self, reason: str, level: int = logging.ERROR) -> None:
        super().__init__(reason)
        self.level = level


async def call(callback: Callback, *arguments: Any) -> Any:
    """Call a callback; wait for it if it is a coroutine function."""
    result = callback(*arguments)
    return await result if inspect.isawaitable(result) else result


def hello(banner: bytes, name: str) -> bytes:
    """Return what a client begins with."""
    if "\n" in name:
        raise ValueError(f"a name has no line breaks, got {name!r}")
    return banner + name.encode() + b"\n"


class FeedClient:
    """A connection that brings lines until it ends; see `Subscriber` for its parameters."""

    _banner: ClassVar[bytes]
    _logger: ClassVar[logging.Logger]
    _decode = staticmethod(decode_line)
    # Why the server ends a connection before it has sent anything; None if that means nothing.
    _early_end: str | None = None

    receive_task: asyncio.Task[None]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(
        self,
        name: str,
        notify_cb: Callback | list[Callback] | None,
        disconnect_cb: Callback | None,
        reconnect: float | None,
        state_cb: Callback | None,
        max_line: int,
    ) -> None:
        self.__hello = hello(self._banner, name)
        self.__pause = None if reconnect is None else checked_pause(reconnect, "reconnect")
        LineReader(max_line)  # refuses a limit that makes no sense now, not in mid-subscription
        if not isinstance(notify_cb, list):
            notify_cb = [] if notify_cb is None else [notify_cb]
        self.notify_cbs = notify_cb
        self.disconnect_cb = disconnect_cb
        self.__name = name
        self.__state_cb = state_cb
        self.__max_line = max_line
        self.__connected = False  # from `connect` until it ends for good
        self.__closing = False
        self.__task: asyncio.Task[None] | None = None
        self._log_limiter = LogLimiter()  # about what the other side sends
        after_fork_in_child(self.__after_fork)

    __reduce__ = not_copyable("it is a connection of this process; make one where it is needed")

    def __after_fork(self) -> asyncio.AbstractEventLoop | None:
        """Begin anew: it may be connected again, in a loop of this process."""
        task, self.__task = self.__task, None
        self.__connected, self.__closing = False, True
        self._log_limiter = LogLimiter()
        if task is None:
            return None
        leave_descriptor(self.writer.transport)
        return task.get_loop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _connect(
        self,
        host: str,
        port: int,
        contexts: Callable[[], SSLContext | None],
        before_receive_cb: Callback | None = None,
    ) -> None:
        if self.__connected:
            raise RuntimeError(f"`{self.__name}` is connected already")

        async def attempt() -> None:
            self.reader, self.writer = await async_open_connection(
                host, port, ssl=contexts(), limit=STREAM_LIMIT
            )
            try:
                self.writer.write(self.__hello)
                if before_receive_cb is not None:
                    await call(before_receive_cb)
            except BaseException:
                self.writer.transport.abort()
                raise

        self.__connected, self.__closing = True, False
        try:
            await attempt()
            if self.__closing:
                self.writer.transport.abort()
                raise ConnectionLost("closed while it was connecting")
        except BaseException:
            self.__connected = False
            raise
        where = format_address(host, port)
        task = asyncio.create_task(self.__run(attempt, where), name=f"`{self.__name}` of {where}")
        self.__task = self.receive_task = task

    async def close(self) -> None:
        """End the subscription, in bounded time. May be repeated, and called by a callback."""
        task, self.__closing = self.__task, True
        if not self.__connected:
            return
        self.__connected = False
        if task is asyncio.current_task():
            abort(self.writer.transport)
        elif task is not None:
            task.cancel()
            # A callback may resist; it is not waited for longer than the other side is.
            await asyncio.wait([task], timeout=CALLBACK_TIMEOUT)
            await close_writer(self.writer)
        self._log_limiter.flush()
        await self.__notify_state(SubscriptionState.closed)

    async def __run(self, attempt: Callable[[], Awaitable[None]], where: str) -> None:
        try:
            await self.__receive_and_reconnect(attempt, where)
        finally:
            self._log_limiter.flush()
            if asyncio.current_task() is self.__task:
                abort(self.writer.transport)
                self.__connected = False

    async def __receive_and_reconnect(
        self, attempt: Callable[[], Awaitable[None]], where: str
    ) -> None:
        while True:
            goes_on = await self.__receive(where)
            if self.__closing:
                return
            await close_writer(self.writer)
            if self.__pause is None or not goes_on:
                self.__connected = False
            await self.__notify_state(SubscriptionState.disconnected)
            await self.__notify("a lost connection", self.disconnect_cb)
            if self.__task is not asyncio.current_task() or not self.__connected:
                return  # it is not to come back, or the callback has connected or closed it
            if not await self.__reconnect(attempt, where):
                return

    async def __receive(self, where: str) -> bool:
        """Receive until the connection ends; tell whether to connect again makes sense."""
        lines = LineReader(self.__max_line)
        self._begin()
        announced = self._early_end is None
        if announced:
            await self.__notify_state(SubscriptionState.connected)
        try:
            while not self.__closing:
                data = await self.__read(announced)
                deadline = time.monotonic() + TIME_SLICE
                for line in lines.feed(data):
                    await self.__take(line)
                    if time.monotonic() > deadline:
                        # A read may bring a hundred thousand lines.
                        await asyncio.sleep(0)
                        deadline = time.monotonic() + TIME_SLICE
                    if self.__closing:
                        return False
                    if not announced:
                        announced = True
                        await self.__notify_state(SubscriptionState.connected)
        except SubscriptionEnded as exc:
            self._logger.log(exc.level, "lost `%s` of %s: %s", self.__name, where, exc)
        except Exception:
            self._logger.exception(
                "error in a callback: the subscription to `%s` of %s ends", self.__name, where
            )
            return False
        return True

    async def __read(self, announced: bool) -> bytes:
        try:
            data = await self.reader.read(READ_SIZE)
        except OSError as exc:
            raise SubscriptionEnded(reason_of(exc), logging.WARNING) from exc
        if data:
            return data
        if not announced:
            raise SubscriptionEnded(str(self._early_end), logging.WARNING)
        # Programs with a callback know what to make of it.
        level = logging.WARNING if self.disconnect_cb is None else logging.INFO
        raise SubscriptionEnded("the other side closed the connection", level)

    async def __take(self, line: bytes | bytearray | LineTooLong) -> None:
        try:
            if isinstance(line, LineTooLong):
                raise line
            value = self._decode(line)
        except Exception as exc:  # noqa: BLE001  (decoders of registered types may raise anything)
            self._refused(f"`{self.__name}` received what it cannot use: {short_message(exc)}")
            return
        await self._apply(value)
        for callback in list(self.notify_cbs):
            await call(callback, value)

    async def __reconnect(self, attempt: Callable[[], Awaitable[None]], where: str) -> bool:
        """Connect again, however long it takes; tell whether it is connected."""
        assert self.__pause is not None
        for pause in backoff(self.__pause):
            await self.__notify_state(SubscriptionState.retrying)
            await asyncio.sleep(pause)
            try:
                await attempt()
                return True
            except (OSError, EOFError) as exc:
                self._logger.debug("cannot connect to %s: %s", where, exc)
            except Exception:
                self._logger.exception("cannot connect to %s", where)
                break
        return False

    async def __notify_state(self, state: SubscriptionState) -> None:
        await self.__notify("state changes", self.__state_cb, state)

    async def __notify(self, what: str, callback: Callback | None, *arguments: Any) -> None:
        if callback is None:
            return
        try:
            await call(callback, *arguments)
        except Exception:
            self._logger.exception("error in the callback of %s", what)

    def _begin(self) -> None:
        """A connection has been made, and nothing received yet."""

    async def _apply(self, value: Any) -> None:
        """Take in a value, before the callbacks get it."""

    def _refused(self, reason: str) -> None:
        """Say that a line is of no use; raise `SubscriptionEnded` if what follows it is not."""
        raise SubscriptionEnded(reason)
