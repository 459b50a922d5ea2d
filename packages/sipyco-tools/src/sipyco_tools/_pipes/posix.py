"""Pipes to child processes on POSIX systems: two anonymous ones, one for each direction."""

from __future__ import annotations

import asyncio
import io
import os
from typing import Any, BinaryIO, Final, cast

from sipyco_rpc.support.process_bound import after_fork_in_child, leave_descriptor, not_copyable
from sipyco_tools._pipes.streams import MAX_LINE, AsyncioComm, Inherited

# What a process that was forked is to do without the pipe of the one before it.
_PARENTS: Final = "have that process talk to its parent, or fork before it makes its end"

_LAST_WORDS: Final = 1.0  # seconds for what a process wrote before it ended to be read


class _WriteProtocol(asyncio.StreamReaderProtocol):
    """Of a pipe that is written to: asyncio has no public class for that."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(asyncio.StreamReader(loop=loop), loop=loop)


class _ReadProtocol(asyncio.StreamReaderProtocol):
    """Of a pipe that is read from.

    Attributes:
        received: how many bytes have come.
    """

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self.received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # it is of no more use: asyncio closes it in any case, uvloop only so


async def _open_reader(
    fd: int,
) -> tuple[asyncio.StreamReader, asyncio.ReadTransport, _ReadProtocol]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE, loop=loop)
    pipe = os.fdopen(fd, "rb", 0)
    try:
        transport, protocol = await loop.connect_read_pipe(
            lambda: _ReadProtocol(reader, loop), pipe
        )
    except BaseException:
        pipe.close()
        raise
    return reader, transport, protocol


async def _open_writer(fd: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(fd, "wb", 0)
    try:
        transport, protocol = await loop.connect_write_pipe(_WriteProtocol, pipe)
    except BaseException:
        pipe.close()
        raise
    return asyncio.StreamWriter(cast(Any, transport), protocol, None, loop)


def _leave(comm: AsyncioComm, reading: asyncio.ReadTransport | None, advice: str) -> None:
    """Leave the streams to the process that this one was forked from."""
    leave_descriptor(reading)
    writer = comm.__dict__.get("writer")
    if isinstance(writer, asyncio.StreamWriter):
        leave_descriptor(writer.transport)
    comm.reader = comm.writer = cast(Any, Inherited(advice))


class AsyncioParentComm(AsyncioComm):
    """The parent's end.

    Attributes:
        process: the child, after `create_subprocess`.
        reader: of what the child sends, after `create_subprocess`.
        writer: of what is sent to it, likewise.
    """

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process
        self.__fds: list[int] = []  # that nothing else closes
        self.__read_transport: asyncio.ReadTransport | None = None
        self.__watching: asyncio.Task[None] | None = None
        self.__loop: asyncio.AbstractEventLoop | None = None  # of the streams
        self.__starting = False
        after_fork_in_child(self.__after_fork)
        try:
            self.__fds += os.pipe()
            self.__fds += os.pipe()
        except BaseException:
            self.__close_fds()
            raise
        _, child_writes, child_reads, _ = self.__fds
        self.__address = f"{child_reads},{child_writes}"

    def __del__(self) -> None:
        self.__close_fds()

    def __after_fork(self) -> asyncio.AbstractEventLoop | None:
        if self.__starting:
            return None  # this may be the process to talk to, before it is what it is to be
        self.__close_fds()
        _leave(self, self.__read_transport, "start another process from this one")
        self.__read_transport = self.__watching = None
        return self.__loop

    def get_address(self) -> str:
        """Return what the child's end needs to know, for its command line."""
        return self.__address

    async def create_subprocess(self, *args: Any, **kwargs: Any) -> None:
        """Start the child.

        Args:
            *args: as for `asyncio.create_subprocess_exec`.
            **kwargs: likewise.

        Raises:
            OSError: it cannot be started.
            RuntimeError: one has been started already.
        """
        reader = self.__dict__.get("reader")
        if isinstance(reader, Inherited):
            raise reader.error
        if len(self.__fds) != 4:
            raise RuntimeError("a process has been started already")
        parent_reads, child_writes, child_reads, parent_writes = self.__fds
        kwargs["pass_fds"] = (*kwargs.get("pass_fds", ()), child_reads, child_writes)
        self.__loop = asyncio.get_running_loop()
        try:
            self.__fds.remove(parent_reads)
            self.reader, self.__read_transport, read = await _open_reader(parent_reads)
            self.__fds.remove(parent_writes)
            self.writer = await _open_writer(parent_writes)
            self.__starting = True
            self.process = await asyncio.create_subprocess_exec(*args, **kwargs)
        except BaseException:
            self.close()
            raise
        finally:
            self.__starting = False
        self.__close_fds()  # of the child: else its end would never show
        self.__watching = asyncio.create_task(self.__close_after_process(read))

    def close(self) -> None:
        """Close our ends; the child goes on, and sees the end. May be repeated.

        It happens by itself when the process has ended.
        """
        self.__close_fds()
        if self.__watching is not None:
            self.__watching.cancel()
        if self.__read_transport is not None:
            self.__read_transport.close()
        if isinstance(self.__dict__.get("writer"), asyncio.StreamWriter):
            _abort(self.writer)

    def __close_fds(self) -> None:
        while self.__fds:
            os.close(self.__fds.pop())

    async def __close_after_process(self, read: _ReadProtocol) -> None:
        await self.process.wait()
        _abort(self.writer)
        transport = self.__read_transport
        assert transport is not None
        # What the process wrote before it ended is still read. Processes that it has started may
        # have the pipe, too: their end is not waited for.
        received = -1
        while not transport.is_closing() and received != read.received:
            received = read.received
            await asyncio.sleep(_LAST_WORDS)
        transport.close()


def _abort(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():  # asyncio fails to abort a pipe that has broken
        writer.transport.abort()


def _parsed(address: str) -> tuple[int, int]:
    """Return the descriptors that an address tells."""
    try:
        reads, writes = map(int, address.split(","))
    except ValueError:
        raise ValueError(
            f"expected the address of a pipe (`read_fd,write_fd`), got {address!r}"
        ) from None
    return reads, writes


class AsyncioChildComm(AsyncioComm):
    """The child's end, for programs with asyncio.

    Args:
        address: what the parent's `get_address` returned.

    Raises:
        ValueError: it is no address.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.__fds = _parsed(address)
        self.__read_transport: asyncio.ReadTransport | None = None
        self.__loop: asyncio.AbstractEventLoop | None = None
        after_fork_in_child(self.__after_fork)

    def __after_fork(self) -> asyncio.AbstractEventLoop | None:
        _leave(self, self.__read_transport, _PARENTS)
        self.__read_transport = None
        return self.__loop

    async def connect(self) -> None:
        """Open the pipes.

        Raises:
            OSError: there are no such pipes.
        """
        reads, writes = self.__fds
        self.__loop = asyncio.get_running_loop()
        _keep_from_children(reads, writes)
        self.reader, self.__read_transport, _ = await _open_reader(reads)
        try:
            self.writer = await _open_writer(writes)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Send what waits, and close the pipes. May be repeated."""
        if self.__read_transport is not None:
            self.__read_transport.close()
        if isinstance(self.__dict__.get("writer"), asyncio.StreamWriter):
            self.writer.close()


class ChildComm:
    """The child's end, for programs without asyncio.

    Args:
        address: what the parent's `get_address` returned.

    Raises:
        ValueError: it is no address.
        OSError: there are no such pipes.
    """

    def __init__(self, address: str) -> None:
        reads, writes = _parsed(address)
        _keep_from_children(reads, writes)
        self.__reader: BinaryIO = os.fdopen(reads, "rb", io.DEFAULT_BUFFER_SIZE)
        self.__writer: BinaryIO = os.fdopen(writes, "wb", io.DEFAULT_BUFFER_SIZE)
        after_fork_in_child(self.__after_fork)

    __reduce__ = not_copyable("it is a pipe of this process; make one where it is needed")

    def __after_fork(self) -> None:
        for stream in (self.__reader, self.__writer):
            if isinstance(stream, (io.BufferedReader, io.BufferedWriter)):
                # Not the buffered one: it sends what it has, and waits for threads that use it.
                stream.raw.close()
        self.__reader = self.__writer = cast(Any, Inherited(_PARENTS))

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
        self.__writer.write(data)
        self.__writer.flush()

    def close(self) -> None:
        """Close the pipes. May be repeated."""
        if isinstance(self.__reader, Inherited):
            return
        self.__reader.close()
        try:
            self.__writer.close()
        except BrokenPipeError:
            pass  # the parent has gone, and with it whom the rest was for


def _keep_from_children(*fds: int) -> None:
    """Keep the pipes from the processes that the child starts: their end would not show."""
    for fd in fds:
        os.set_inheritable(fd, False)
