"""A connection to a log server, which knows what may have been lost. No log records here."""

from __future__ import annotations

import asyncio
import time
from socket import SO_ERROR, SOL_SOCKET
from typing import Final

from sipyco_rpc.net.workarounds import abort_tls, close_writer
from sipyco_tools._limits import ANSWER_TIMEOUT, MAX_ANSWER
from sipyco_tools._logging.queue import QueuedEntry
from sipyco_tools._logging.session import BANNER
from sipyco_tools._logging.times import ANSWER

_RESET_TIMEOUT: Final = 0.1  # seconds for the answer to what came after the server had closed
_IN_FLIGHT: Final = 0.1  # seconds that a message may take to be read at the other end
_READ_SIZE: Final = 4096  # a log server says one line, or nothing


class LogConnection:
    """A connection to the log server, which notices its end, and the answer of the server.

    Attributes:
        times: whether the server takes the times of records.
        ended: whether the connection has ended.
        error: what it was ended by, if not in an orderly way.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wake: asyncio.Event
    ) -> None:
        self.times = False
        self.ended = False
        self.error: OSError | None = None
        self._heard = asyncio.Event()  # the answer, or the end
        self._begun = False  # and lasted
        self._unanswered = False  # the server may still answer
        self._last: QueuedEntry | None = None  # that was sent
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
            await self._listen()
        except OSError as exc:
            self.error = exc
        abort_tls(self._writer.transport)
        self.ended = True
        self._heard.set()
        self._wake.set()

    async def _listen(self) -> None:
        """Read until the end; the first line may be the answer."""
        line, size = b"", 0
        while data := await self._reader.read(_READ_SIZE):
            size += len(data)
            if size > MAX_ANSWER:
                raise ConnectionAbortedError(
                    f"it sent more than the {MAX_ANSWER} bytes of an answer"
                )
            line += data
            if self._unanswered and line.startswith(ANSWER):
                self.times, self._unanswered = True, False
                self._heard.set()

    @property
    def reason(self) -> BaseException:
        """Why it has ended."""
        hint = (
            "" if self._begun else " (does it use TLS, or refuse this program? its log says why)"
        )
        return self.error or EOFError(f"it closed the connection{hint}")

    async def begin(self, offer: bytes) -> None:
        """Send the banner and the offer of times; wait a moment for the answer, or the end.

        Servers from before times do not answer. The other reason is a tunnel, or a proxy, which
        accepts before it knows whether the server is there: all entries that wait would be sent,
        and lost, before the connection ends.
        """
        if await self._is_lost():
            return
        self._unanswered = bool(offer)
        await self._write(BANNER + offer)
        await self._wait_for(self._heard)
        self._begun = not self.ended

    async def _wait_for(self, event: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await event.wait()
        except TimeoutError:
            pass

    async def send(self, entry: QueuedEntry) -> bool:
        """Send an entry. An error ends the connection; it is not raised.

        Returns:
            Whether it was begun to be sent: not where the connection had ended before.
        """
        if await self._is_lost():
            return False
        self._last, self._sent = entry, time.monotonic()
        await self._write(entry.data(self.times))
        return True

    async def _is_lost(self) -> bool:
        """Tell whether the connection has ended.

        uvloop would raise a `RuntimeError`; asyncio with TLS would drop what is written, one entry
        after another, until it has told TLS.
        """
        if not self._writer.is_closing() and self._is_connected():
            return False
        await asyncio.wait([self._watching], timeout=_RESET_TIMEOUT)  # the reason is about to come
        self.ended = True
        return True

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError as exc:
            self.ended, self.error = True, exc

    def _is_connected(self) -> bool:
        """Tell whether the system still has the connection: it knows a reset before the loop."""
        try:
            self._socket.getpeername()
        except (OSError, ValueError):  # the second of uvloop
            return False
        return True

    async def in_doubt(self) -> QueuedEntry | None:
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
        if self._unanswered and not self.ended and not self._writer.is_closing():
            await self._hear_out()
        self._watching.cancel()
        await close_writer(self._writer)

    async def _hear_out(self) -> None:
        """Let a server that is slow answer, and read what was sent before.

        An answer to a connection that is closed would have the system drop what is under way.
        """
        try:
            if self._writer.can_write_eof():
                self._writer.write_eof()
                await asyncio.wait([self._watching], timeout=ANSWER_TIMEOUT)
            else:  # TLS
                await self._wait_for(self._heard)
        except OSError:
            pass  # it has ended
