"""A connection of the asyncio client: a transport and a `ClientSession`. No proxies here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, TypeVar

from sipyco_rpc.framing import LineReader, LineTooLong
from sipyco_rpc.keepalive import set_keepalive
from sipyco_rpc.protocol import ClientSession

T = TypeVar("T")

_CLOSE_PATIENCE: Final = 1.0  # seconds for a peer to take part in closing


class AsyncioConnection(asyncio.Protocol):
    """A transport and a `ClientSession`. Replies go to the requests in the order they were sent.

    A request whose caller has given up keeps its place in the queue, so that its late reply is
    dropped. The transport sends what it was given whole or not at all, so a cancelled call never
    leaves half a request behind.
    """

    def __init__(self, where: str, max_line: int) -> None:
        self.session = ClientSession()
        self.where = where
        self.loop = asyncio.get_running_loop()
        self.lost = self.loop.create_future()
        self.transport: asyncio.Transport | None = None
        self._lines = LineReader(max_line)
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        # Why there is no connection any more, as the error of calls from now on.
        self._closed: Callable[[], Exception] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        set_keepalive(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if not self._waiting:
                self._give_up(f"{self.where} sent a line that nobody had asked for")
                return
            reply = self._waiting.popleft()
            if reply.done():
                continue  # its caller has given up
            if isinstance(line, LineTooLong):
                reply.set_exception(line)
            else:
                reply.set_result(line)

    def _give_up(self, reason: str) -> None:
        self._end(lambda: ConnectionAbortedError(reason))
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        hint = " (it seems to expect TLS)" if self._lines.pending[:1] == b"\x15" else ""
        if exc is not None and type(exc).__module__ == "ssl":
            text = f"the other side ended the TLS connection to {self.where}: {exc}"
            self._end(lambda: ConnectionResetError(text))
        else:
            text = f"the other side closed the connection to {self.where} before a full line{hint}"
            self._end(lambda: EOFError(text))
            self._closed = lambda: ConnectionResetError(
                f"the connection to {self.where} was closed by the other side earlier"
            )
        self._writable.set()
        if not self.lost.done():
            self.lost.set_result(None)

    def _end(self, error: Callable[[], Exception]) -> None:
        if self._closed is None:
            self._closed = error
        while self._waiting:
            reply = self._waiting.popleft()
            if not reply.done():
                reply.set_exception(error())

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def exchange(
        self, outgoing: Callable[[ClientSession], bytes], receive: Callable[[bytes], T]
    ) -> T:
        """Send a request and wait for its reply.

        Raises:
            EOFError: the other side closed the connection.
            ConnectionError: the connection is no more, and why.
            LineTooLong: the reply was; it was dropped, and the connection goes on.
        """
        if self._closed is None and not self._writable.is_set():
            await self._writable.wait()
        if self._closed is not None:
            raise self._closed()
        assert self.transport is not None
        request = outgoing(self.session)
        reply: asyncio.Future[bytes] = self.loop.create_future()
        self._waiting.append(reply)
        self.transport.write(request)
        return receive(await reply)

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection, whatever the state of its loop.

        Args:
            at_once: leave out the farewells of TLS.
        """
        self._end(
            lambda: ConnectionAbortedError(
                f"the connection to {self.where} was closed by this program"
            )
        )
        self._writable.set()
        if self.transport is None or self.lost.done():
            return
        if self.loop.is_closed():
            _release(self.transport)
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
            self.loop.run_until_complete(asyncio.wait([self.lost], timeout=_CLOSE_PATIENCE))
        # Where another loop runs in this thread this one cannot, until that has ended.

    async def wait_closed(self) -> None:
        """Wait until the connection is closed; what does not close in time is aborted."""
        if self.loop is not asyncio.get_running_loop() or self.transport is None:
            return
        await asyncio.wait([self.lost], timeout=_CLOSE_PATIENCE)
        if not self.lost.done():
            self.transport.abort()
            await self.lost


def _release(transport: Any) -> None:
    """Close the descriptor of a transport whose loop is closed: no callback will ever run.

    What asyncio keeps of it is marked as closed, or it would warn when it is collected.
    """
    protocol = getattr(transport, "_ssl_protocol", None)
    if protocol is not None:
        transport._closed = True
        transport = protocol._transport
    sock = transport.get_extra_info("socket")
    sock = getattr(sock, "_sock", sock)
    if sock is not None:
        sock.close()
    transport._sock = None


class Closing(Coroutine[Any, Any, None]):
    """What `close_rpc` returns: a coroutine that may be dropped without a warning."""

    def __init__(self, connection: AsyncioConnection | None) -> None:
        self._connection = connection
        self._waiting: Coroutine[Any, Any, None] | None = None

    async def _wait(self) -> None:
        if self._connection is not None:
            await self._connection.wait_closed()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    def send(self, value: Any) -> Any:
        if self._waiting is None:
            self._waiting = self._wait()
        return self._waiting.send(value)

    def throw(self, *exc_info: Any) -> Any:
        if self._waiting is None:
            self._waiting = self._wait()
        return self._waiting.throw(*exc_info)

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.close()
