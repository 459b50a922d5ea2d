"""Pipes to child processes on POSIX systems: two anonymous ones, one for each direction.

Not a socket: its address would be of another form than that which children and parents of older
versions read, and could not end in one direction alone.
"""

from __future__ import annotations

import asyncio
import io
import os
from typing import Any, BinaryIO, Final, cast

from sipyco_rpc.support.process_bound import after_fork_in_child, not_copyable
from sipyco_tools._pipes.streams import AsyncioComm, Inherited
from sipyco_tools._pipes.transports import Pipes

# What a process that was forked is to do without the pipe of the one before it.
_PARENTS: Final = "have that process talk to its parent, or fork before it makes its end"


class AsyncioParentComm(AsyncioComm):
    """The parent's end.

    Attributes:
        process: the child, after `create_subprocess`.
    """

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process
        self.__fds: list[int] = []  # that nothing else closes
        self.__pipes = Pipes()
        self.__watching: asyncio.Task[None] | None = None
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
        self.__pipes.leave()
        self.__watching = None
        self.reader = self.writer = cast(Any, Inherited("start another process from this one"))
        return self.__pipes.loop

    def get_address(self) -> str:
        """Return what the child's end needs to know, for its command line."""
        return self.__address

    async def create_subprocess(self, *args: Any, **kwargs: Any) -> None:
        """Start the child; the arguments are those of `asyncio.create_subprocess_exec`.

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
        try:
            self.__fds.remove(parent_reads)
            self.reader = await self.__pipes.open_reader(parent_reads)
            self.__fds.remove(parent_writes)
            self.writer = await self.__pipes.open_writer(parent_writes)
            self.__starting = True
            self.process = await asyncio.create_subprocess_exec(*args, **kwargs)
        except BaseException:
            self.close()
            raise
        finally:
            self.__starting = False
        self.__close_fds()  # of the child: else its end would never show
        self.__watching = asyncio.create_task(self.__close_after_process())

    def close(self) -> None:
        """Close our ends; the child goes on, and sees the end. May be repeated.

        It happens by itself when the process has ended.
        """
        self.__close_fds()
        if self.__watching is not None:
            self.__watching.cancel()
        self.__pipes.abort_writing()
        self.__pipes.close()

    def __close_fds(self) -> None:
        while self.__fds:
            os.close(self.__fds.pop())

    async def __close_after_process(self) -> None:
        await self.process.wait()
        self.__pipes.abort_writing()
        await self.__pipes.read_rest()  # what it wrote before it ended


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
        self.__pipes = Pipes()
        after_fork_in_child(self.__after_fork)

    def __after_fork(self) -> asyncio.AbstractEventLoop | None:
        self.__pipes.leave()
        self.reader = self.writer = cast(Any, Inherited(_PARENTS))
        return self.__pipes.loop

    async def connect(self) -> None:
        """Open the pipes.

        Raises:
            OSError: there are no such pipes.
        """
        reads, writes = self.__fds
        self.reader = await self.__pipes.open_reader(reads)
        try:
            self.writer = await self.__pipes.open_writer(writes)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Send what waits, and close the pipes. May be repeated."""
        self.__pipes.close()


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
        for fd in (reads, writes):
            os.set_inheritable(fd, False)  # if a child had it as well, its end would not show
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
