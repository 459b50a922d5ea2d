"""A connection to a log server, which knows what may have been lost. No log records here."""

from __future__ import annotations

import asyncio
import time
from socket import SO_ERROR, SOL_SOCKET
from typing import Final

from sipyco_rpc.net.workarounds import abort_tls, close_writer
from sipyco_tools._logging.session import BANNER

_RESET_TIMEOUT: Final = 0.1  # seconds for the answer to what came after the server had closed
_IN_FLIGHT: Final = 0.1  # seconds that a message may take to be read at the other end
_READ_SIZE: Final = 4096  # a log server says nothing


class LogConnection:
    """A connection to the log server, which notices its end."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wake: asyncio.Event
    ) -> None:
        self.ended = False
        self.error: OSError | None = None  # what ended it, if not in an orderly way
        self._last: bytes | None = None  # entry that was sent
        self._sent = 0.0  # when, as the monotonic clock tells
        self._reader = reader
        self._writer = writer
        self._wake = wake
        self._socket = writer.get_extra_info("socket")  # TLS forgets it when it is over
        # When `drain` returns, the system has it all, or TLS. A limit of 0 would be reached by
        # nothing at all with TLS, which then pauses for ever.
        writer.transport.set_write_buffer_limits(high=1, low=0)
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            while await self._reader.read(_READ_SIZE):
                pass  # a log server has nothing to say
        except OSError as exc:
            self.error = exc
        abort_tls(self._writer.transport)
        self.ended = True
        self._wake.set()

    async def begin(self, probation: float) -> None:
        """Send the banner, and see whether the connection lasts.

        A tunnel, or a proxy, accepts before it knows whether the server is there. All entries that
        wait would be sent, and lost, before the connection ends.
        """
        await self.send(BANNER)
        await asyncio.wait([self._watching], timeout=probation)

    async def send(self, data: bytes) -> bool:
        """Send an entry, or the banner. An error ends the connection; it is not raised.

        Returns:
            Whether it was begun to be sent: not where the connection had ended before.
        """
        if self._writer.is_closing() or not self._is_connected():
            # uvloop would raise a `RuntimeError`; asyncio with TLS would drop what is written, one
            # entry after another, until it has told TLS. The reason is about to come.
            await asyncio.wait([self._watching], timeout=_RESET_TIMEOUT)
            self.ended = True
            return False
        if data is not BANNER:
            self._last, self._sent = data, time.monotonic()
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError as exc:
            self.ended, self.error = True, exc
        return True

    def _is_connected(self) -> bool:
        """Tell whether the system still has the connection: it knows a reset before the loop."""
        try:
            self._socket.getpeername()
        except (OSError, ValueError):  # the second of uvloop
            return False
        return True

    async def in_doubt(self) -> bytes | None:
        """Return the last entry, if the server may not have read it.

        One that is sent twice does less harm than one that is lost.
        """
        if self._last is None:
            return None
        if self.error is not None or time.monotonic() - self._sent < _IN_FLIGHT:
            return self._last
        if self._writer.is_closing():
            return None  # TLS closes at once, after the server has said that it is over
        # A server that closes with something unread, or is sent something after that, answers
        # with a reset, which takes a moment.
        await asyncio.sleep(_RESET_TIMEOUT)
        try:
            reset = self._socket.getsockopt(SOL_SOCKET, SO_ERROR)
        except (OSError, ValueError):  # the second of uvloop
            return None  # TLS closes at once, after the server has said that it is over
        return self._last if reset else None

    async def close(self) -> None:
        """Close it, in bounded time."""
        self._watching.cancel()
        await close_writer(self._writer)
