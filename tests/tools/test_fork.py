"""Log forwarders, log servers, pipes and tasks in a process that was forked."""

from __future__ import annotations

import asyncio
import copy
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from typing import Any

import pytest

from sipyco_tools.asyncio_tools import TaskObject
from sipyco_tools.logging_tools import LogForwarder, Server
from sipyco_tools.pipe_ipc import AsyncioChildComm, AsyncioParentComm, ChildComm
from support.environment import as_installed
from support.event_loops import every_loop, loop_factory
from support.feeds import comes_true, serving
from support.forks import in_child, outcome
from support.peers import DEADLINE, HOST, running_server, until
from support.records import recorded
from support.transports import TRANSPORTS, every_transport

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


@every_transport
@every_loop
def test_a_forwarder_in_a_child_says_that_it_must_be_started_there(
    loop: str, transport: str, logger: logging.Logger
) -> None:
    listening, connecting = TRANSPORTS[transport]()

    async def anew(forwarder: LogForwarder) -> None:
        forwarder.start()
        logger.info("child, started")
        await forwarder.stop()

    def use(forwarder: LogForwarder) -> str:
        with recorded("sipyco.logs") as records:
            logger.info("child, kept")
            logger.info("child, kept too")
            said = [message for _, _, message, _ in records]
        asyncio.run(anew(forwarder))
        return "\n".join(said)

    async def main() -> None:
        with recorded("fwd") as fwd:
            async with serving(Server(), **listening) as port:
                forwarder = LogForwarder(HOST, port, 0.01, **connecting)
                logger.addHandler(forwarder)
                forwarder.start()
                logger.info("parent, before")
                await comes_true(lambda: len(fwd) == 1)
                logger.info("parent, waiting")  # is sent by the parent alone
                said = await asyncio.to_thread(in_child, lambda: use(forwarder))
                assert said == (
                    f"log messages are not sent: the forwarder to {HOST} port {port} belongs to "
                    f"process {os.getpid()}, from which this one was forked: `start` it in this "
                    "process"
                )
                logger.info("parent, after")
                await comes_true(lambda: len(fwd) == 6)
                assert sorted(message for _, _, message, _ in fwd) == [
                    "child, kept",
                    "child, kept too",
                    "child, started",
                    "parent, after",
                    "parent, before",
                    "parent, waiting",
                ]
                await forwarder.stop()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


@every_transport
def test_a_forwarder_that_has_a_thread_works_on_both_sides_of_a_fork(
    transport: str, logger: logging.Logger
) -> None:
    asyncio.set_event_loop(None)
    listening, connecting = TRANSPORTS[transport]()
    with recorded("fwd") as fwd, running_server(Server, **listening) as port:
        forwarder = LogForwarder(HOST, port, 0.01, **connecting)
        logger.addHandler(forwarder)
        forwarder.start()
        logger.info("parent, before")
        until(lambda: len(fwd) == 1)

        thread = forwarder._own_ident

        def start_first() -> str:
            loop = asyncio.new_event_loop()
            with recorded("sipyco.logs") as records:
                forwarder.start(loop=loop)
                logger.info("child")
                loop.run_until_complete(forwarder.stop())
            loop.close()
            return "\n".join(message for _, _, message, _ in records)

        def log_first() -> str:
            with recorded("sipyco.logs") as records:
                record = logger.makeRecord("t", logging.INFO, "", 0, "kept", (), None)
                record.thread = thread  # of one that was given the identity of the parent's
                logger.handle(record)
                forwarder.start()
                logger.info("child")
                forwarder.close()
            return "\n".join(message for _, _, message, _ in records)

        assert in_child(start_first) == ""
        assert in_child(log_first).startswith("log messages are not sent: the forwarder")
        logger.info("parent, after")
        until(lambda: len(fwd) == 5)
        forwarder.close()
    assert sorted(message for _, _, message, _ in fwd) == [
        "child",
        "child",
        "kept",
        "parent, after",
        "parent, before",
    ]


def test_what_a_worker_of_multiprocessing_logs_last_is_sent(logger: logging.Logger) -> None:
    asyncio.set_event_loop(None)

    def work() -> None:
        forwarder = LogForwarder(HOST, port)
        logger.addHandler(forwarder)
        forwarder.start()
        logger.info("last words")

    with recorded("fwd") as fwd, running_server(Server) as port:
        worker = multiprocessing.get_context("fork").Process(target=work)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads
            worker.start()
        worker.join(DEADLINE)
        assert worker.exitcode == 0
        worker.close()
        until(lambda: [message for _, _, message, _ in fwd] == ["last words"])


def test_a_fork_while_another_thread_logs_leaves_no_lock_held(logger: logging.Logger) -> None:
    forwarder = LogForwarder(HOST, 1)
    logger.addHandler(forwarder)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with forwarder._mutex:
            held.set()
            assert release.wait(DEADLINE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(DEADLINE)
    try:
        assert in_child(lambda: logger.info("from a child")) == "None"
    finally:
        release.set()
        thread.join(DEADLINE)
    with pytest.raises(TypeError, match="`LogForwarder` cannot be copied or pickled"):
        copy.copy(forwarder)


ECHO = """
import sys
from sipyco_tools.pipe_ipc import ChildComm

comm = ChildComm(sys.argv[1])
while line := comm.readline():
    comm.write(b"echo " + line)
"""


@every_loop
@pytest.mark.parametrize("preexec", [False, True])
def test_a_parent_of_a_pipe_refuses_in_a_child(loop: str, preexec: bool) -> None:
    options: dict[str, Any] = {"preexec_fn": os.getpid} if preexec else {}

    async def use(comm: AsyncioParentComm) -> str:
        texts = []
        for work in (lambda: comm.readline(), lambda: comm.drain(), lambda: comm.read(1)):
            try:
                texts.append(await work())
            except ConnectionAbortedError as exc:
                texts.append(str(exc))
        texts.append(outcome(lambda: comm.write(b"child\n")))
        comm.close()
        texts.append(outcome(lambda: copy.copy(comm)))
        return "\n".join(map(str, texts))

    async def main() -> None:
        comm = AsyncioParentComm()
        await comm.create_subprocess(
            sys.executable, "-c", ECHO, comm.get_address(), env=as_installed(), **options
        )
        async with asyncio.timeout(DEADLINE):
            comm.write(b"one\n")
            assert await comm.readline() == b"echo one\n"
            said = await asyncio.to_thread(in_child, lambda: asyncio.run(use(comm)))
            text = (
                f"the pipe belongs to process {os.getpid()}, from which this one was forked: "
                "start another process from this one"
            )
            assert said.split("\n")[:4] == [*[text] * 3, f"ConnectionAbortedError: {text}"]
            assert said.split("\n")[4].startswith(
                "TypeError: `AsyncioParentComm` cannot be copied"
            )
            comm.write(b"two\n")
            assert await comm.readline() == b"echo two\n"
            comm.close()
            await comm.process.wait()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def pipes() -> tuple[str, int, int]:
    """Make the pipes of a child; give their address, and the parent's ends."""
    parent_reads, child_writes = os.pipe()
    child_reads, parent_writes = os.pipe()
    return f"{child_reads},{child_writes}", parent_reads, parent_writes


def test_the_child_of_a_pipe_refuses_in_its_own_child_even_while_a_thread_reads() -> None:
    address, reads, writes = pipes()
    comm = ChildComm(address)
    lines: list[bytes] = []
    thread = threading.Thread(target=lambda: lines.append(comm.readline()))
    thread.start()

    def use() -> str:
        texts = [outcome(comm.readline), outcome(lambda: comm.write(b"child\n"))]
        comm.close()
        return "\n".join(texts)

    text = (
        f"ConnectionAbortedError: the pipe belongs to process {os.getpid()}, from which this one "
        "was forked: have that process talk to its parent, or fork before it makes its end"
    )
    assert in_child(use).split("\n") == [text, text]
    os.write(writes, b"line\n")
    thread.join(DEADLINE)
    assert lines == [b"line\n"]
    comm.write(b"parent\n")
    assert os.read(reads, 100) == b"parent\n"
    comm.close()
    os.close(reads)
    os.close(writes)


@every_loop
def test_the_child_of_a_pipe_with_asyncio_refuses_in_its_own_child(loop: str) -> None:
    address, reads, writes = pipes()
    comm = AsyncioChildComm(address)

    async def use() -> str:
        try:
            return str(await comm.readline())
        except ConnectionAbortedError as exc:
            return str(exc)
        finally:
            comm.close()

    async def main() -> None:
        await comm.connect()
        said = await asyncio.to_thread(in_child, lambda: asyncio.run(use()))
        assert said.startswith(f"the pipe belongs to process {os.getpid()}, from which this one")
        os.write(writes, b"line\n")
        assert await comm.readline() == b"line\n"
        comm.close()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())
    os.close(reads)
    os.close(writes)


def test_a_task_of_the_parent_is_not_waited_for_in_a_child() -> None:
    class Waiting(TaskObject):
        async def _do(self) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        waiting = Waiting()
        waiting.start()
        assert in_child(lambda: asyncio.run(waiting.stop())) == "None"
        await asyncio.to_thread(lambda: asyncio.run(waiting.stop()))  # in another loop
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([waiting.task])
        assert waiting.task.cancelled()

    asyncio.run(main())


AT_EXIT = """
import asyncio, os, sys
from sipyco_tools.asyncio_tools import atexit_register_coroutine
from sipyco_rpc.pc_rpc import Server

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
server = Server({"t": object()})
loop.run_until_complete(server.start("127.0.0.1", 0))

async def stop():
    await server.stop()
    print("stopped", flush=True)

atexit_register_coroutine(stop)
if os.fork() == 0:
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_coroutines_at_exit_run_in_a_loop_of_the_child() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT],
        env=as_installed(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n5\nstopped\n", "")
