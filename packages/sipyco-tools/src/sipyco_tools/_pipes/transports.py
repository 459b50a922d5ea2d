"""Two pipes as streams of asyncio, on POSIX systems: one to read from, one to write to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from sipyco_rpc.support.process_bound import leave_descriptor
from sipyco_tools._limits import LAST_WORDS_TIMEOUT
from sipyco_tools._pipes.streams import new_reader


class _ReadProtocol(asyncio.StreamReaderProtocol):
    """Of a pipe that is read from."""

    received = 0  # bytes

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # it is of no more use: asyncio closes it in any case, uvloop only so


async def _attached(connect: Callable[..., Any], protocol: Any, fd: int, mode: str) -> Any:
    """Return the transport of a descriptor, which is closed if there can be none."""
    os.set_inheritable(fd, False)  # if a child had it as well, its end would not show
    pipe = os.fdopen(fd, mode, 0)
    try:
        transport, _ = await connect(lambda: protocol, pipe)
    except BaseException:
        pipe.close()
        raise
    return transport


class Pipes:
    """The pipes of an end that uses asyncio, as far as they have been opened."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._reading: asyncio.ReadTransport | None = None
        self._writing: asyncio.WriteTransport | None = None

    async def open_reader(self, fd: int) -> asyncio.StreamReader:
        loop = self.loop = asyncio.get_running_loop()
        reader = new_reader()
        protocol = self._protocol = _ReadProtocol(reader, loop=loop)
        self._reading = await _attached(loop.connect_read_pipe, protocol, fd, "rb")
        return reader

    async def open_writer(self, fd: int) -> asyncio.StreamWriter:
        loop = asyncio.get_running_loop()
        # Its own reader reads nothing: asyncio has no public class for writing alone.
        protocol = asyncio.StreamReaderProtocol(new_reader(), loop=loop)
        transport = self._writing = await _attached(loop.connect_write_pipe, protocol, fd, "wb")
        return asyncio.StreamWriter(transport, protocol, None, loop)

    def close(self) -> None:
        """Send what waits, and close them."""
        for transport in (self._reading, self._writing):
            if transport is not None:
                transport.close()

    def abort_writing(self) -> None:
        if self._writing is not None and not self._writing.is_closing():
            self._writing.abort()  # asyncio fails to abort a pipe that has broken

    async def read_rest(self) -> None:
        """Read on while something comes, and close.

        Processes that the child has started may have the pipe, too: their end is not waited for.
        """
        assert self._reading is not None
        received = -1
        while not self._reading.is_closing() and received != self._protocol.received:
            received = self._protocol.received
            await asyncio.sleep(LAST_WORDS_TIMEOUT)
        self._reading.close()

    def leave(self) -> None:
        """Leave them to the process that this one was forked from."""
        leave_descriptor(self._reading)
        leave_descriptor(self._writing)
        self._reading = self._writing = None
