"""The asking half of "banner, name, lines for ever", under `sync_struct` and `broadcast`.

What the lines say is not known here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from typing import Any, ClassVar, Final, Self, TypeAlias

from sipyco_rpc.net.closing import close_writer
from sipyco_rpc.net.errors import reason_of
from sipyco_rpc.net.keepalive import async_open_connection
from sipyco_rpc.net.tls import SimpleSSLConfig, client_ssl_contexts
from sipyco_rpc.net.workarounds import abort
from sipyco_rpc.support.log_limiter import LogLimiter
from sipyco_rpc.support.memory import MIB
from sipyco_rpc.support.process_bound import after_fork_in_child, leave_descriptor, not_copyable
from sipyco_rpc.support.quoting import short_message
from sipyco_rpc.support.validation import checked_pause, format_address
from sipyco_rpc.wire.lines import LineReader, LineTooLong

Callback: TypeAlias = Callable[..., Awaitable[object] | object]

_READ_SIZE: Final = 256 * 1024  # what one read may bring; more gains nothing
_STREAM_LIMIT: Final = MIB  # bytes that arrive while callbacks run
_TURN: Final = 0.005  # seconds of lines that have arrived before others have their turn
_CLOSE_TIMEOUT: Final = 1.0  # seconds for a callback to end
_BACK_OFF: Final = 1.5  # the factor of each wait to the one before it
_LONGEST: Final = 12  # times the first wait: the server that comes back is found soon enough
_JITTER: Final = 0.2  # of a wait, so that a hundred dashboards do not come at once


class SubscriptionState(Enum):
    """What became of a subscription, for `state_cb`."""

    connected = "connected"
    disconnected = "disconnected"
    retrying = "retrying"
    closed = "closed"


class SubscriptionEnded(Exception):
    """The connection is of no more use; the text says why.

    Attributes:
        level: how serious it is, as levels of log records.
    """

    def __init__(self, reason: str, level: int = logging.ERROR) -> None:
        super().__init__(reason)
        self.level = level


async def call(callback: Callback, *arguments: Any) -> Any:
    """Call a callback; wait for it if it is a coroutine function."""
    result = callback(*arguments)
    return await result if inspect.isawaitable(result) else result


def _waits(first: float) -> Iterator[float]:
    """Give the seconds to wait before each attempt."""
    wait = first
    while True:
        yield wait * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  (no secret)
        wait = min(wait * _BACK_OFF, first * _LONGEST)


class FeedClient:
    """A connection that brings lines until it ends; see `Subscriber` for what it means.

    Attributes:
        notify_cbs: the callbacks; the list may be changed at any time.
        disconnect_cb: is called when the connection ends other than by `close`, or None.
        receive_task: the task that receives.
        reader: of the connection.
        writer: of the connection.
    """

    _banner: ClassVar[bytes]
    _logger: ClassVar[logging.Logger]
    _server_speaks_first: ClassVar[bool] = (
        True  # whether the other side has something to say at once
    )

    notify_cbs: list[Callback]
    disconnect_cb: Callback | None
    receive_task: asyncio.Task[None]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(
        self,
        name: str,
        notify_cb: Callback | list[Callback] | None,
        disconnect_cb: Callback | None,
        *,
        reconnect: float | None,
        state_cb: Callback | None,
        max_line: int,
    ) -> None:
        if "\n" in name:
            raise ValueError(f"a name has no line breaks, got {name!r}")
        if reconnect is not None:
            reconnect = checked_pause(reconnect, "reconnect")
        LineReader(max_line)  # refuses a limit that makes no sense now, not in mid-subscription
        if notify_cb is None:
            notify_cb = []
        self.notify_cbs = notify_cb if isinstance(notify_cb, list) else [notify_cb]
        self.disconnect_cb = disconnect_cb
        self.__name = name
        self.__reconnect = reconnect
        self.__state_cb = state_cb
        self.__max_line = max_line
        self.__connected = False
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
        before_receive_cb: Callback | None,
        ssl_config: SimpleSSLConfig | None,
        local_cert: str | None,
        local_key: str | None,
        peer_cert: str | None,
    ) -> None:
        if self.__connected:
            raise RuntimeError(f"`{self.__name}` is connected already")
        contexts = client_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)

        async def attempt() -> None:
            self.reader, self.writer = await async_open_connection(
                host, port, ssl=contexts(), limit=_STREAM_LIMIT
            )
            try:
                self.writer.write(self._banner + self.__name.encode() + b"\n")
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
                raise ConnectionAbortedError("closed while it was connecting")
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
            await asyncio.wait([task], timeout=_CLOSE_TIMEOUT)
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
            if self.__reconnect is None or not goes_on:
                self.__connected = False
            await self.__notify_state(SubscriptionState.disconnected)
            if self.disconnect_cb is not None:
                try:
                    await call(self.disconnect_cb)
                except Exception:
                    self._logger.exception("error in the callback of a lost connection")
            if self.__task is not asyncio.current_task() or not self.__connected:
                return  # it is not to come back, or the callback has connected or closed it
            if not await self.__come_back(attempt, where):
                return

    async def __receive(self, where: str) -> bool:
        """Receive until the connection ends; tell whether to connect again makes sense."""
        lines = LineReader(self.__max_line)
        self._begin()
        announced = not self._server_speaks_first
        if announced:
            await self.__notify_state(SubscriptionState.connected)
        try:
            while not self.__closing:
                try:
                    data = await self.reader.read(_READ_SIZE)
                except OSError as exc:
                    raise SubscriptionEnded(reason_of(exc), logging.WARNING) from exc
                if not data:
                    if announced:
                        # Programs with a callback know what to make of it.
                        level = logging.WARNING if self.disconnect_cb is None else logging.INFO
                        raise SubscriptionEnded("the other side closed the connection", level)
                    raise SubscriptionEnded(self._reason_of_early_end(), logging.WARNING)
                deadline = time.monotonic() + _TURN
                for line in lines.feed(data):
                    await self.__take(line)
                    if time.monotonic() > deadline:
                        # A read may bring a hundred thousand lines.
                        await asyncio.sleep(0)
                        deadline = time.monotonic() + _TURN
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

    async def __come_back(self, attempt: Callable[[], Awaitable[None]], where: str) -> bool:
        """Connect again, however long it takes."""
        assert self.__reconnect is not None
        waits = _waits(self.__reconnect)
        while True:
            await self.__notify_state(SubscriptionState.retrying)
            await asyncio.sleep(next(waits))
            try:
                await attempt()
            except (OSError, EOFError) as exc:
                self._logger.debug("cannot connect to %s: %s", where, exc)
            except Exception:
                self._logger.exception("cannot connect to %s", where)
                return False
            else:
                return True

    async def __notify_state(self, state: SubscriptionState) -> None:
        if self.__state_cb is None:
            return
        try:
            await call(self.__state_cb, state)
        except Exception:
            self._logger.exception("error in the callback of state changes")

    def _begin(self) -> None:
        """A connection has been made, and nothing received yet."""

    def _decode(self, line: bytes | bytearray) -> Any:
        """Make a value of a line."""
        raise NotImplementedError

    async def _apply(self, value: Any) -> None:
        """Take in a value, before the callbacks get it."""

    def _refused(self, reason: str) -> None:
        """Say that a line could not be used; raise `Ended` if what follows is of no use either."""
        raise SubscriptionEnded(reason)

    def _reason_of_early_end(self) -> str:
        """Say why a connection ended before anything was received."""
        raise NotImplementedError
