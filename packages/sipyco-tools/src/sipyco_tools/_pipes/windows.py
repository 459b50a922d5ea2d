"""Pipes to child processes on Windows: one named pipe, in both directions.

It needs the Proactor loop, which is the default there. No test of this project runs on Windows:
this module has been checked by reading and by the type checker only.
"""

from __future__ import annotations

import asyncio
import io
import os
import secrets
import sys
from typing import Any, cast

from sipyco_tools._pipes.streams import AsyncioComm, new_reader

assert sys.platform == "win32"  # for type checkers, too


def _proactor_loop() -> asyncio.ProactorEventLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.ProactorEventLoop):
        raise RuntimeError("pipes to child processes need the Proactor loop on Windows")
    return loop


def _writer_of(
    reader: asyncio.StreamReader, protocol: asyncio.StreamReaderProtocol, transport: Any
) -> asyncio.StreamWriter:
    return asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


class _OnePeer(asyncio.StreamReaderProtocol):
    """Of the parent's end, which is for one child."""

    def __init__(self, connected: asyncio.Future[asyncio.StreamWriter]) -> None:
        self.reader = new_reader()
        self.connected = connected
        super().__init__(self.reader, loop=asyncio.get_running_loop())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.connected.done():
            cast(asyncio.Transport, transport).abort()
        else:
            self.connected.set_result(_writer_of(self.reader, self, transport))


class AsyncioParentComm(AsyncioComm):
    """The parent's end.

    Attributes:
        process: the child, after `create_subprocess`.
    """

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process
        # Nobody can guess it, so that nobody else connects.
        self.__address = rf"\\.\pipe\sipyco-{os.getpid()}-{secrets.token_hex(16)}"
        self.__watching: asyncio.Task[None] | None = None

    def get_address(self) -> str:
        """Return what the child's end needs to know, for its command line."""
        return self.__address

    async def create_subprocess(self, *args: Any, **kwargs: Any) -> None:
        """Start the child, and wait until it has connected.

        The arguments are those of `asyncio.create_subprocess_exec`.

        Raises:
            OSError: it cannot be started.
            EOFError: it ended without connecting.
            RuntimeError: one has been started already, or the loop is not a Proactor loop.
        """
        if self.__watching is not None:
            raise RuntimeError("a process has been started already")
        loop = _proactor_loop()
        connected: asyncio.Future[asyncio.StreamWriter] = loop.create_future()
        [server] = await loop.start_serving_pipe(lambda: _OnePeer(connected), self.__address)
        try:
            self.process = await asyncio.create_subprocess_exec(*args, **kwargs)
            ended = asyncio.create_task(self.process.wait())
            either: list[asyncio.Future[Any]] = [connected, ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not connected.done():
                raise EOFError("the process ended without connecting to its pipe")
        finally:
            server.close()
        self.writer = connected.result()
        self.reader = cast(_OnePeer, self.writer.transport.get_protocol()).reader
        self.__watching = asyncio.create_task(self.__close_after_process())

    def close(self) -> None:
        """Close our end; the child goes on, and sees the end. May be repeated.

        It happens by itself when the process has ended.
        """
        if self.__watching is not None:
            self.__watching.cancel()
            self.writer.close()

    async def __close_after_process(self) -> None:
        await self.process.wait()
        # The end of what the process wrote comes by itself: nobody else has the other end.
        self.writer.close()


class AsyncioChildComm(AsyncioComm):
    """The child's end, for programs with asyncio.

    Args:
        address: what the parent's `get_address` returned.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    async def connect(self) -> None:
        """Connect to the parent.

        Raises:
            OSError: there is no such pipe.
            RuntimeError: the loop is not a Proactor loop.
        """
        loop = _proactor_loop()
        reader = new_reader()
        transport, protocol = await loop.create_pipe_connection(
            lambda: asyncio.StreamReaderProtocol(reader, loop=loop), self.address
        )
        self.reader = reader
        self.writer = _writer_of(reader, protocol, transport)

    def close(self) -> None:
        """Send what waits, and close the pipe. May be repeated."""
        if "writer" in self.__dict__:
            self.writer.close()


class ChildComm:
    """The child's end, for programs without asyncio.

    Args:
        address: what the parent's `get_address` returned.

    Raises:
        OSError: there is no such pipe.
    """

    def __init__(self, address: str) -> None:
        self.__pipe = open(address, "r+b", buffering=0)  # noqa: SIM115  (`close` closes it)
        self.__reader = io.BufferedReader(self.__pipe)

    def read(self, n: int = -1) -> bytes:
        """Read n bytes, fewer if the end comes before; by default all until the end."""
        return self.__reader.read(n)

    def readline(self) -> bytes:
        """Read a line with its newline; empty if the parent has gone."""
        return self.__reader.readline()

    def write(self, data: bytes) -> None:
        """Send bytes, and return when the pipe has them.

        Raises:
            BrokenPipeError: the parent has gone.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self.__pipe.write(rest) :]

    def close(self) -> None:
        """Close the pipe. May be repeated."""
        self.__reader.close()
