"""The server's end of one connection: lines in, bytes out, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from sipyco_rpc.framing import MIB, LineReader, LineTooLong
from sipyco_rpc.protocol import BANNER, ProtocolError, ServerSession

_READ_SIZE: Final = 256 * 1024  # what one read may bring; more gains nothing
_MAX_QUEUED: Final = MIB  # bytes of further requests to take from a client that waits its turn
_MAX_SELECTION: Final = 64 * 1024  # bytes of the line that selects a target


class Gone(Exception):
    """The client closed the connection."""


class ClientStream:
    """The stream of one client: lines in, bytes out, and whether it is still there."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_line: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._lines = LineReader(max_line)
        self._ready: deque[bytes | LineTooLong] = deque()
        self._queued = 0
        address = writer.get_extra_info("peername")
        self.peer = f"{address[0]} port {address[1]}" if address else "a client"

    async def banner(self, session: ServerSession) -> None:
        """Take the client's banner.

        Raises:
            ProtocolError: it is another one.
            Gone: the client closed the connection.
        """
        received = b""
        while not session.check_banner(received):
            received += await self._read()
        self._feed(received[len(BANNER) :])

    async def line(self) -> bytes | LineTooLong:
        """Wait for the next line; `Gone` at the end of the stream."""
        while not self._ready:
            self._feed(await self._read())
        line = self._ready.popleft()
        self._queued -= 0 if isinstance(line, LineTooLong) else len(line)
        return line

    async def selection(self) -> bytes:
        """Wait for the line that selects a target."""
        while not self._ready:
            self._feed(await self._read())
            if self._lines.pending_size > _MAX_SELECTION:
                raise ProtocolError(f"the target name has more than {_MAX_SELECTION} bytes")
        line = self._ready.popleft()
        if isinstance(line, LineTooLong):
            raise ProtocolError(str(line))
        self._queued -= len(line)
        return line

    async def send(self, data: bytes) -> None:
        """Send, and wait while the client reads too slowly."""
        self._writer.write(data)
        await self._writer.drain()

    async def until_gone(self) -> None:
        """Return when the client has closed the connection; queue what it sends until then."""
        try:
            while self._queued + self._lines.pending_size <= _MAX_QUEUED:
                self._feed(await self._read())
        except Gone:
            return
        # It sends faster than it is served, so it is there.
        await asyncio.get_running_loop().create_future()

    async def _read(self) -> bytes:
        data = await self._reader.read(_READ_SIZE)
        if not data:
            raise Gone
        return data

    def _feed(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._ready.append(line)
            self._queued += 0 if isinstance(line, LineTooLong) else len(line)


async def take_turn(lock: asyncio.Lock, connection: ClientStream) -> None:
    """Acquire a lock, or raise `Gone` if the client goes away while it waits."""
    if not lock.locked():
        await lock.acquire()
        return
    acquiring = asyncio.ensure_future(lock.acquire())
    watching = asyncio.ensure_future(connection.until_gone())
    acquired = False
    try:
        await asyncio.wait({acquiring, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not acquiring.done():
            raise Gone
        acquired = True
    finally:
        watching.cancel()
        if not acquired and not acquiring.cancel() and acquiring.exception() is None:
            lock.release()  # its turn came in the very moment that it gave up
        # Only one may read from the stream at a time, so the watcher must have ended.
        await asyncio.wait({acquiring, watching})
