"""Lines between a process and its child, over pipes of their own."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sipyco_tools._pipes import streams
from sipyco_tools.pipe_ipc import AsyncioChildComm, AsyncioParentComm, ChildComm
from support.event_loops import every_loop, loop_factory
from support.peers import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="of POSIX pipes")

BLOCKING = """
import sys
from sipyco_tools.pipe_ipc import ChildComm

comm = ChildComm(sys.argv[1])
while line := comm.readline():
    if line == b"leave\\n":
        comm.write(b"last words")
        break
    comm.write(b"echo " + line)
comm.close()
comm.close()
"""

WITH_ASYNCIO = """
import asyncio, sys
from sipyco_tools.pipe_ipc import AsyncioChildComm

async def main():
    comm = AsyncioChildComm(sys.argv[1])
    await comm.connect()
    while line := await comm.readline():
        if line == b"leave\\n":
            comm.write(b"last words")
            await comm.drain()
            break
        comm.write(b"echo " + line)
        await comm.drain()
    comm.close()
    comm.close()

asyncio.run(main())
"""


def run(test: Callable[[], Coroutine[Any, Any, None]], loop: str = "asyncio") -> None:
    """Run a test; it leaves no descriptor open."""
    factory = loop_factory(loop)
    with asyncio.Runner(loop_factory=factory) as first:
        first.run(asyncio.sleep(0))  # uvloop keeps some descriptors from the first time on
    gc.collect()
    before = descriptors()

    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            await test()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    gc.collect()
    assert descriptors() == before


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def started(comm: AsyncioParentComm, program: str, **options: Any) -> None:
    await comm.create_subprocess(sys.executable, "-c", program, comm.get_address(), **options)


async def write_for_ever(comm: AsyncioParentComm | AsyncioChildComm) -> None:
    while True:
        comm.write(b"x" * 10_000)
        await comm.drain()


@every_loop
@pytest.mark.parametrize("program", [BLOCKING, WITH_ASYNCIO], ids=["blocking", "asyncio"])
def test_lines_both_ways_then_the_end(program: str, loop: str) -> None:
    async def test() -> None:
        comm = AsyncioParentComm()
        await started(comm, program)
        comm.write(b"one\ntwo\n")
        await comm.drain()
        assert await comm.readline() == b"echo one\n"
        assert await comm.readline() == b"echo two\n"
        comm.write(b"leave\n")
        # What it wrote before it ended is read, even if that is much later.
        assert await comm.process.wait() == 0
        assert await comm.read() == b"last words"
        assert await comm.readline() == b""
        with pytest.raises(ConnectionError):
            await write_for_ever(comm)

    run(test, loop)


@every_loop
@pytest.mark.parametrize("program", [BLOCKING, WITH_ASYNCIO], ids=["blocking", "asyncio"])
def test_a_child_sees_that_its_parent_closes(program: str, loop: str) -> None:
    async def test() -> None:
        comm = AsyncioParentComm()
        await started(comm, program)
        comm.close()
        comm.close()
        assert await comm.process.wait() == 0

    run(test, loop)


@every_loop
@pytest.mark.parametrize("program", [BLOCKING, WITH_ASYNCIO], ids=["blocking", "asyncio"])
def test_long_lines_and_much_of_both_at_once(program: str, loop: str) -> None:
    async def test() -> None:
        comm = AsyncioParentComm()
        await started(comm, program)
        long = b"x" * 20_000_000 + b"\n"
        lines = [long, *(b"%d\n" % i for i in range(1000))]

        async def send() -> None:
            for line in lines:
                comm.write(line)
                await comm.drain()

        sending = asyncio.create_task(send())
        for line in lines:
            received = await comm.readline()
            assert len(received) == len(line) + 5
            assert received == b"echo " + line
        await sending
        comm.write(b"leave\n")
        await comm.process.wait()

    run(test, loop)


@every_loop
def test_a_child_that_is_killed_is_the_end(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        stuck = AsyncioParentComm()
        await started(stuck, "import time; time.sleep(1000)")
        stuck.write(b"x" * 1_000_000)  # more than the pipe holds
        stuck.process.kill()
        await stuck.process.wait()
        with pytest.raises(ConnectionError):
            await stuck.drain()
        assert await stuck.readline() == b""
        stuck.close()
        comm = AsyncioParentComm()
        await started(comm, BLOCKING)
        comm.write(b"one\n")
        assert await comm.readline() == b"echo one\n"
        comm.process.kill()
        assert await comm.readline() == b""
        assert await comm.process.wait() == -signal.SIGKILL

    run(test, loop)
    assert caplog.messages == []


CLOSES = """
import sys
from sipyco_tools.pipe_ipc import ChildComm
comm = ChildComm(sys.argv[1])
comm.write(b"closing\\n")
comm.close()
sys.stdin.read()
"""


@every_loop
@pytest.mark.parametrize("end", ["killed", "closed"])
def test_writing_to_a_child_that_has_gone_says_so(
    end: str, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        comm = AsyncioParentComm()
        await started(comm, CLOSES, stdin=asyncio.subprocess.PIPE)
        assert await comm.readline() == b"closing\n"
        assert await comm.readline() == b""
        if end == "killed":
            comm.process.kill()
            await comm.process.wait()
        with pytest.raises(ConnectionError):
            await write_for_ever(comm)
        for _ in range(10):
            with pytest.raises(ConnectionError, match="the other process has closed its end"):
                comm.write(b"for nobody\n")
        with pytest.raises(ConnectionError):
            await comm.drain()
        assert comm.process.stdin is not None
        comm.process.stdin.close()
        await comm.process.wait()
        comm.close()
        with pytest.raises(ConnectionError, match="`close` was called here"):
            comm.write(b"for nobody\n")

    run(test, loop)
    assert caplog.messages == []


@every_loop
def test_a_child_that_writes_to_a_parent_that_has_gone(loop: str) -> None:
    async def test() -> None:
        (reads, other), (parent, writes) = os.pipe(), os.pipe()
        child = AsyncioChildComm(f"{reads},{writes}")
        await child.connect()
        os.close(parent)
        os.close(other)
        assert await child.readline() == b""
        with pytest.raises(ConnectionError):
            await write_for_ever(child)
        child.close()
        with pytest.raises(ConnectionError, match="the pipe is closed"):
            child.write(b"for nobody\n")
        await asyncio.sleep(0)  # transports close in the next pass of the loop

    run(test, loop)


def test_processes_of_the_child_do_not_keep_the_pipe_open() -> None:
    leaves_another = """
import subprocess, sys
from sipyco_tools.pipe_ipc import ChildComm
comm = ChildComm(sys.argv[1])
reads, writes = map(int, sys.argv[1].split(","))
options = {"close_fds": False} if sys.argv[2] == "ours" else {"pass_fds": (reads, writes)}
other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=0, **options)
comm.write(b"%d\\n" % other.pid)
"""

    async def test(kind: str) -> None:
        comm = AsyncioParentComm()
        reading, writing = os.pipe()
        try:
            await comm.create_subprocess(
                sys.executable, "-c", leaves_another, comm.get_address(), kind, stdin=reading
            )
            assert int(await comm.readline()) > 0
            assert await comm.process.wait() == 0
            assert await comm.readline() == b""
        finally:
            os.close(reading)
            os.close(writing)  # ends the other one

    run(lambda: test("ours"))
    run(lambda: test("passed on by hand"))


def test_a_program_that_cannot_be_started_leaves_nothing_open() -> None:
    async def test() -> None:
        comm = AsyncioParentComm()
        with pytest.raises(FileNotFoundError):
            await comm.create_subprocess("/nosuch/program", comm.get_address())
        with pytest.raises(RuntimeError, match="started already"):
            await comm.create_subprocess(sys.executable)
        AsyncioParentComm()  # and one that is never used

    run(test)


def test_options_of_the_subprocess_are_kept() -> None:
    async def test() -> None:
        reading, writing = os.pipe()
        try:
            comm = AsyncioParentComm()
            code = (
                "import os, sys; from sipyco_tools.pipe_ipc import ChildComm;"
                "comm = ChildComm(sys.argv[1]); os.write(int(sys.argv[2]), b'passed');"
                "print('output'); comm.write(b'x\\n')"
            )
            await comm.create_subprocess(
                sys.executable,
                "-c",
                code,
                comm.get_address(),
                str(writing),
                pass_fds=(writing,),
                stdout=asyncio.subprocess.PIPE,
            )
            assert await comm.readline() == b"x\n"
            assert comm.process.stdout is not None
            assert await comm.process.stdout.read() == b"output\n"
            assert os.read(reading, 100) == b"passed"
            await comm.process.wait()
        finally:
            os.close(reading)
            os.close(writing)

    run(test)


def test_the_address_is_a_pair_of_descriptors() -> None:
    comm = AsyncioParentComm()
    address = comm.get_address()
    reads, writes = map(int, address.split(","))
    assert os.get_inheritable(reads) is os.get_inheritable(writes) is False
    comm.close()
    assert comm.get_address() == address
    for kind in (ChildComm, AsyncioChildComm):
        for bad in ("", "1", "a,b", "1,2,3"):
            with pytest.raises(ValueError, match=r"expected the address of a pipe .* got"):
                kind(bad)
    with pytest.raises(OSError, match="descriptor"):
        ChildComm("998,999")

    async def connect() -> None:
        child = AsyncioChildComm("998,999")
        with pytest.raises(OSError, match="descriptor"):
            await child.connect()
        child.close()

    asyncio.run(connect())


def test_what_is_no_pipe_is_refused_and_closed(tmp_path: Path) -> None:
    async def test() -> None:
        reads, other = os.pipe()
        fds = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in "abc"]
        for address in (f"{fds[0]},{fds[1]}", f"{reads},{fds[2]}"):
            child = AsyncioChildComm(address)
            with pytest.raises(ValueError, match="Pipe transport is"):
                await child.connect()
        os.close(fds[1])  # it was not come to
        os.close(other)
        await asyncio.sleep(0)  # transports close in the next pass of the loop

    run(test)


def test_a_process_without_descriptors_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    real, pipes = os.pipe, []

    def pipe() -> tuple[int, int]:
        if pipes:
            raise OSError(errno.EMFILE, "Too many open files")
        pipes.append(real())
        return pipes[0]

    before = descriptors()
    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(OSError, match="Too many open files"):
        AsyncioParentComm()
    assert len(pipes) == 1
    assert descriptors() == before


def test_the_blocking_end_closes_what_the_parent_has_left() -> None:
    before = descriptors()
    (reads, other), (parent, writes) = os.pipe(), os.pipe()
    child = ChildComm(f"{reads},{writes}")
    os.close(parent)
    with pytest.raises(BrokenPipeError):
        child.write(b"for nobody\n")
    child.close()
    child.close()
    os.close(other)
    assert descriptors() == before


def test_a_line_that_is_too_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_PIPE_LINE", 100)

    async def test() -> None:
        (reads, parent_writes), (parent_reads, writes) = os.pipe(), os.pipe()
        child = AsyncioChildComm(f"{reads},{writes}")
        await child.connect()
        os.write(parent_writes, b"x" * 100 + b"\n" + b"y" * 101 + b"\nnext\n")
        assert await child.readline() == b"x" * 100 + b"\n"
        with pytest.raises(ValueError, match="received a line of more than 100 bytes"):
            await child.readline()
        assert await child.readline() == b"next\n"
        child.close()
        os.close(parent_reads)
        os.close(parent_writes)
        await asyncio.sleep(0)  # transports close in the next pass of the loop

    run(test)


def test_the_blocking_end_reads_as_files_do() -> None:
    async def test() -> None:
        comm = AsyncioParentComm()
        code = (
            "import sys; from sipyco_tools.pipe_ipc import ChildComm;"
            "comm = ChildComm(sys.argv[1]); comm.write(comm.read(5) + b'|' + comm.read() + b'\\n')"
        )
        await started(comm, code)
        comm.write(b"123")
        comm.write(b"456\n789")
        comm.writer.close()
        assert await comm.readline() == b"12345|6\n"
        assert await comm.readline() == b"789\n"
        await comm.process.wait()

    run(test)


def test_subclasses_may_add_to_it() -> None:
    class Counting(AsyncioParentComm):
        def __init__(self) -> None:
            super().__init__()
            self.written = 0

        def write(self, data: bytes) -> None:
            self.written += len(data)
            super().write(data)

    async def test() -> None:
        comm = Counting()
        await started(comm, BLOCKING)
        comm.write(b"one\n")
        assert await comm.readline() == b"echo one\n"
        assert comm.written == 4
        comm.write(b"leave\n")
        await comm.process.wait()

    run(test)


def test_what_is_written_is_what_was_given() -> None:
    """A transport may keep the very object, and send it later."""
    given: list[bytes] = []

    class Writer:
        def is_closing(self) -> bool:
            return False

        def write(self, data: bytes) -> None:
            given.append(data)

    comm = AsyncioParentComm()
    comm.writer = Writer()  # type: ignore[assignment]
    memory = bytearray(b"one\n")
    comm.write(memory)
    comm.write(memoryview(memory))
    memory[:] = b"two\n"
    assert given == [b"one\n", b"one\n"]
