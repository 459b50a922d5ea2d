"""The streams of `pipe_ipc`, as both ends have them on all systems. No pipes here."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from sipyco_rpc.support.process_bound import belongs_to_parent, not_copyable
from sipyco_tools._limits import MAX_PIPE_LINE


def new_reader() -> asyncio.StreamReader:
    """Make a reader of lines as long as they may be, for the running loop."""
    return asyncio.StreamReader(limit=MAX_PIPE_LINE, loop=asyncio.get_running_loop())


class Inherited:
    """Stands for the streams of a pipe in a process that was forked, and says what to do."""

    def __init__(self, advice: str) -> None:
        self.error = ConnectionAbortedError(belongs_to_parent("the pipe", advice))

    def __getattr__(self, name: str) -> NoReturn:
        raise self.error


class AsyncioComm:
    """One end, for programs with asyncio.

    Attributes:
        reader: of what the other end sends, once there is a connection.
        writer: of what is sent to it, likewise.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    __reduce__ = not_copyable("it is a pipe of this process; give a child its address")

    def write(self, data: bytes) -> None:
        """Send bytes; `drain` waits until the other end takes them.

        Raises:
            ConnectionError: the other end is known to have gone, or this one has been closed.
        """
        if self.writer.is_closing():
            # asyncio would drop it in silence, and uvloop raise a `RuntimeError`.
            raise ConnectionResetError(
                "the pipe is closed: the other process has closed its end or has ended, "
                "or `close` was called here"
            )
        # The transport may keep what it is given, and the caller may change it.
        self.writer.write(data if type(data) is bytes else bytes(memoryview(data)))

    async def drain(self) -> None:
        """Wait until there is room to write more.

        Raises:
            ConnectionError: the other end has gone.
        """
        await self.writer.drain()

    async def readline(self) -> bytes:
        """Read a line with its newline; empty, or without a newline, if the other end has gone.

        Raises:
            ValueError: it is longer than 100 MiB.
        """
        try:
            return await self.reader.readline()
        except ValueError as exc:
            raise ValueError(
                f"received a line of more than {MAX_PIPE_LINE} bytes, the limit"
            ) from exc

    async def read(self, n: int = -1) -> bytes:
        """Read at most n bytes, as soon as there are some; by default all until the end."""
        return await self.reader.read(n)
