"""Signals, `sys.exit` and other ends of a program that serves, as whole processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sipyco_rpc.net import signals
from sipyco_rpc.net.signals import SignalHandler
from sipyco_rpc.pc_rpc import AsyncioClient, Client, Server, simple_server_loop
from support.environment import without_durations
from support.feeds import port_of
from support.peers import DEADLINE, HOST, until
from support.programs import ended, free_port

PROGRAM = """
import sys, time
from sipyco_rpc.pc_rpc import simple_server_loop

def block():
    try:
        print("begun", flush=True)
        for _ in range(60_000):
            # Not at once: a signal just before it is dealt with after it, by all of Python.
            time.sleep(0.01)
    finally:
        print("cleaned up", flush=True)

class Target:
    def plain(self):
        block()

    def deaf(self):
        while True:
            try:
                block()
            except BaseException:
                pass

    async def coroutine(self):
        block()

    def generator(self):
        block()
        yield 1

    async def async_generator(self):
        block()
        yield 1

    def leave(self, code=None):
        sys.exit(code)

    async def leave_async(self, code=None):
        sys.exit(code)

    def leave_generator(self, code=None):
        yield 1
        sys.exit(code)

    async def leave_async_generator(self, code=None):
        yield 1
        sys.exit(code)

class Made:
    def __init__(self):
        block()

class Leaving:
    def __init__(self):
        sys.exit(3)

port, loop_of, threaded = sys.argv[1:]
loop = None
if loop_of == "uvloop":
    import uvloop
    loop = uvloop.new_event_loop()
print("ready", flush=True)
targets = {"t": Target(), "made": Made, "leaving": Leaving}
simple_server_loop(targets, "127.0.0.1", int(port), loop=loop, threaded=threaded == "threaded")
print("returned")
"""

every_loop = pytest.mark.parametrize("loop_of", ["asyncio", "uvloop"])
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")


class Program:
    """The program, and a client that calls one of its methods."""

    def __init__(self, loop_of: str, threaded: str, method: str, *args: Any) -> None:
        if loop_of == "uvloop":
            pytest.importorskip("uvloop", reason="it is not installed")
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.port), loop_of, threaded],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._use, args=(method, args), daemon=True)
        self._thread.start()

    def _use(self, method: str, args: tuple[Any, ...]) -> None:
        clients: list[Client] = []

        def connected() -> bool:
            try:
                clients.append(Client(HOST, self.port, None, timeout=DEADLINE))
            except ConnectionRefusedError:
                return False
            return True

        until(connected)
        with clients[0] as client:
            try:
                if method in ("made", "leaving"):
                    client.select_rpc_target(method)
                    return
                client.select_rpc_target("t")
                result = getattr(client, method)(*args)
                if hasattr(result, "__next__"):
                    list(result)
            except (EOFError, OSError):
                pass  # as it must be

    def wait_for(self, line: str) -> None:
        assert self.process.stdout is not None
        while (got := self.process.stdout.readline()) != f"{line}\n":
            assert got, f"the end of the output, before {line!r}"

    def error_line(self) -> str:
        assert self.process.stderr is not None
        while (line := self.process.stderr.readline()) and not without_durations(line):
            pass
        return line

    def wait_until_ready(self) -> None:
        assert self.error_line() == (
            f"serving t, made, leaving on {HOST} port {self.port} (this computer only, no TLS)\n"
        )

    def end(self) -> tuple[int, str, str]:
        """Wait for the status, and what is left of both outputs."""
        status, stdout, stderr = ended(self.process)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        return status, stdout, without_durations(stderr)


@contextmanager
def program(*arguments: Any) -> Iterator[Program]:
    running = Program(*arguments)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


BLOCKING = {
    "plain": "`t.plain` (called by",
    "coroutine": "`t.coroutine` (called by",
    "generator": "`t.generator` (called by",
    "async_generator": "`t.async_generator` (called by",
    "made": "the constructor of the target `made` (for",
}


@POSIX
@pytest.mark.parametrize(
    ("method", "loop_of"),
    [*((method, "asyncio") for method in BLOCKING), ("plain", "uvloop"), ("coroutine", "uvloop")],
)
def test_the_first_signal_says_what_it_waits_for_and_the_second_ends_it(
    method: str, loop_of: str
) -> None:
    with program(loop_of, "plain", method) as running:
        running.wait_for("begun")
        running.process.send_signal(signal.SIGINT)
        running.wait_for("Caught Ctrl-C, terminating...")
        since = "" if method == "made" else r", running for \d+\.\d s"
        assert re.fullmatch(
            rf"waiting for {re.escape(BLOCKING[method])} {HOST} port \d+{since}\) to return; "
            "a second signal ends it now\n",
            running.error_line(),
        )
        running.process.send_signal(signal.SIGINT)
        status, stdout, stderr = running.end()
        assert (status, stdout) == (-signal.SIGINT, "cleaned up\n")
        assert "KeyboardInterrupt" in stderr
        assert "stopping: Ctrl-C\n" in stderr
        assert re.search(
            rf"{re.escape(BLOCKING[method])} .*\) was ended by a second signal", stderr
        )
        assert "does not end" not in stderr  # what the server says of a connection that resists


@POSIX
@every_loop
def test_a_second_sigterm_gives_its_own_status(loop_of: str) -> None:
    with program(loop_of, "plain", "plain") as running:
        running.wait_for("begun")
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("Caught SIGTERM, terminating...")
        running.error_line()
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[:2] == (128 + signal.SIGTERM, "cleaned up\n")


@POSIX
def test_a_third_signal_kills_what_does_not_let_itself_be_ended() -> None:
    with program("asyncio", "plain", "deaf") as running:
        running.wait_for("begun")
        running.process.send_signal(signal.SIGINT)
        running.error_line()
        running.process.send_signal(signal.SIGINT)
        running.wait_for("begun")
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == -signal.SIGTERM


@POSIX
@every_loop
def test_a_method_in_a_thread_holds_nothing_up(loop_of: str) -> None:
    with program(loop_of, "threaded", "plain") as running:
        running.wait_for("begun")
        running.process.send_signal(signal.SIGTERM)
        status, stdout, stderr = running.end()
        assert (status, stdout) == (0, "Caught SIGTERM, terminating...\nreturned\n")
        assert stderr.startswith("stopping: SIGTERM\n")


LEAVING = ["leave", "leave_async", "leave_generator", "leave_async_generator"]


@pytest.mark.parametrize(
    ("method", "threaded", "loop_of"),
    [
        *((method, "plain", "asyncio") for method in LEAVING),
        ("leave", "threaded", "asyncio"),
        ("leave_generator", "threaded", "asyncio"),
        ("leave", "plain", "uvloop"),
        ("leave_async", "plain", "uvloop"),
    ],
)
def test_sys_exit_in_a_method_gives_the_status(method: str, threaded: str, loop_of: str) -> None:
    with program(loop_of, threaded, method, 3) as running:
        left = "stopping: a method of `t` raised SystemExit\n"
        assert running.end() == (3, "ready\n", left)


@pytest.mark.parametrize(
    ("args", "end"),
    [
        ((), (0, "ready\nreturned\n", "")),
        ((0,), (0, "ready\nreturned\n", "")),
        (("no laser",), (1, "ready\n", "no laser\n")),
    ],
    ids=["nothing", "zero", "text"],
)
def test_sys_exit_is_that_of_python(args: tuple[Any, ...], end: tuple[int, str, str]) -> None:
    with program("asyncio", "plain", "leave", *args) as running:
        status, stdout, stderr = running.end()
        first, rest = stderr.split("\n", 1)
        assert first == "stopping: a method of `t` raised SystemExit"
        assert (status, stdout, rest) == end


def test_sys_exit_in_a_constructor() -> None:
    with program("asyncio", "plain", "leaving") as running:
        left = "stopping: making the target `leaving` raised SystemExit\n"
        assert running.end() == (3, "ready\n", left)


def test_a_server_tells_the_code_of_sys_exit() -> None:
    class Target:
        async def leave(self) -> None:
            sys.exit(7)

    async def main() -> Any:
        async with Server({"t": Target()}, builtin_terminate=True) as server:
            assert server.exit_code is None
            await server.start(HOST, 0)
            assert server.server is not None
            port = server.server.sockets[0].getsockname()[1]

            def call() -> None:
                with Client(HOST, port, timeout=DEADLINE) as client, pytest.raises(EOFError):
                    client.leave()

            thread = asyncio.create_task(asyncio.to_thread(call))
            await server.wait_terminate()
            await thread
            return server.exit_code

    assert asyncio.run(main()) == 7


def test_a_server_loop_in_a_thread_serves_without_signals() -> None:
    class Target:
        def ping(self) -> str:
            return "pong"

    port, before = free_port(), signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=simple_server_loop, args=({"t": Target()}, HOST, port))
    thread.start()
    clients: list[Client] = []

    def connected() -> bool:
        try:
            clients.append(Client(HOST, port, timeout=DEADLINE))
        except ConnectionRefusedError:
            return not thread.is_alive()
        return True

    until(connected)
    with clients[0] as client:
        assert client.ping() == "pong"
        assert signal.getsignal(signal.SIGINT) is before
        client.terminate()
    thread.join(DEADLINE)
    assert not thread.is_alive()


NAMES = [
    (signal.SIGINT, "Caught Ctrl-C, terminating...\n"),
    (signal.SIGTERM, "Caught SIGTERM, terminating...\n"),
]
if sys.platform != "win32":
    NAMES.append((signal.SIGHUP, "Caught SIGHUP, terminating...\n"))


@pytest.mark.parametrize(("number", "line"), NAMES)
def test_what_is_caught_is_printed(
    number: signal.Signals, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        handler = SignalHandler()
        handler.setup()
        try:
            signal.raise_signal(number)
            async with asyncio.timeout(DEADLINE):
                await handler.wait_terminate()
        finally:
            handler.teardown()

    asyncio.run(main())
    assert capsys.readouterr() == (line, "")


@POSIX
def test_sigbreak_is_listened_to_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = signal.SIGUSR1  # in its place
    monkeypatch.setattr(signal, "SIGBREAK", number, raising=False)
    monkeypatch.setitem(signals._SHOWN, "SIGUSR1", "Ctrl-Break")
    handler = SignalHandler()
    handler.setup()
    try:
        signal.raise_signal(number)
        asyncio.run(handler.wait_terminate())
    finally:
        handler.teardown()
    assert capsys.readouterr().out == "Caught Ctrl-Break, terminating...\n"
    assert signal.getsignal(number) is signal.SIG_DFL


class Broken:
    """An output in the state of what a signal has interrupted, or that is closed."""

    def __init__(self, error: Exception, descriptor: int) -> None:
        self.error = error
        self.descriptor = descriptor

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return self.descriptor


def test_a_signal_in_the_midst_of_a_print_is_printed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    for error in (RuntimeError("reentrant call"), ValueError("closed"), BrokenPipeError()):
        monkeypatch.setattr(sys, "stdout", Broken(error, writing))
        handler = SignalHandler()
        handler.setup()
        try:
            signal.raise_signal(signal.SIGTERM)
            asyncio.run(handler.wait_terminate())
        finally:
            handler.teardown()
    monkeypatch.undo()
    os.close(writing)
    with os.fdopen(reading) as output:
        assert output.read() == "Caught SIGTERM, terminating...\n"


@POSIX
def test_a_signal_wakes_a_loop_that_waits_already() -> None:
    """Also one whose handler could not run before: then nothing but a descriptor tells."""

    async def main() -> None:
        handler = SignalHandler()
        handler.setup()
        try:
            waiting = asyncio.ensure_future(handler.wait_terminate())
            await asyncio.sleep(0)
            descriptor = signal.set_wakeup_fd(-1)
            assert descriptor != -1
            signal.set_wakeup_fd(descriptor)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(waiting, DEADLINE)
            assert signal.set_wakeup_fd(-1) == -1
        finally:
            handler.teardown()

    asyncio.run(main())


class Leaving:
    """Leaves when nobody waits for it any more."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def leave_late(self) -> None:
        self.entered.set()
        self.go_on.wait(DEADLINE)
        sys.exit(7)

    def leave_in_the_end(self) -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            sys.exit(7)


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_a_generator_may_leave_as_it_is_ended(threaded: bool) -> None:
    async def main() -> Any:
        server = Server({"t": Leaving()}, builtin_terminate=True, threaded=threaded)
        async with server, AsyncioClient(DEADLINE) as client:
            await server.start(HOST, 0)
            await client.connect_rpc(HOST, port_of(server))
            items = await client.leave_in_the_end()
            assert await anext(items) == 1
            await items.aclose()
            await asyncio.wait_for(server.wait_terminate(), DEADLINE)
            return server.exit_code

    assert asyncio.run(main()) == 7


@pytest.mark.parametrize("leaves", ["cancels", "disconnects"])
def test_a_method_leaves_though_its_client_has_given_up(leaves: str) -> None:
    async def main() -> Any:
        target = Leaving()
        server = Server({"t": target}, builtin_terminate=True, threaded=True)
        async with server, AsyncioClient(DEADLINE) as client:
            await server.start(HOST, 0)
            await client.connect_rpc(HOST, port_of(server))
            call = asyncio.ensure_future(client.leave_late())
            assert await asyncio.to_thread(target.entered.wait, DEADLINE)
            if leaves == "cancels":
                call.cancel()
            else:
                await client.close_rpc()
            await asyncio.wait({call})
            assert call.cancelled() or call.exception() is not None
            target.go_on.set()
            await asyncio.wait_for(server.wait_terminate(), DEADLINE)
            return server.exit_code

    assert asyncio.run(main()) == 7


def test_signals_without_a_descriptor_that_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pair() -> Any:
        raise OSError(24, "Too many open files")

    async def main() -> None:
        monkeypatch.setattr(socket, "socketpair", no_pair)  # that of the loop is there already
        handler = SignalHandler()
        handler.setup()
        try:
            signal.raise_signal(signal.SIGTERM)
            await handler.wait_terminate()
        finally:
            handler.teardown()

    asyncio.run(main())


def test_another_thread_may_wait_for_the_signals_of_this_one() -> None:
    handler = SignalHandler()
    handler.setup()
    try:
        thread = threading.Thread(target=lambda: asyncio.run(handler.wait_terminate()))
        thread.start()
        until(lambda: handler._loop is not None)
        signal.raise_signal(signal.SIGTERM)
        thread.join(DEADLINE)
        assert not thread.is_alive()
    finally:
        handler.teardown()


@POSIX
def test_what_others_have_set_meanwhile_stays() -> None:
    reading, writing = socket.socketpair()

    async def main() -> None:
        handler = SignalHandler()
        handler.setup()
        try:
            waiting = asyncio.ensure_future(handler.wait_terminate())
            await asyncio.sleep(0)
            writing.setblocking(False)
            signal.set_wakeup_fd(writing.fileno())
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(waiting, DEADLINE)
        finally:
            handler.teardown()

    with reading, writing:
        asyncio.run(main())
        assert signal.set_wakeup_fd(-1) == writing.fileno()


def test_a_hangup_that_is_ignored_stays_so() -> None:
    async def main() -> None:
        handler = SignalHandler()
        handler.setup()
        try:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as `nohup` has it
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(handler.wait_terminate(), DEADLINE)
        finally:
            handler.teardown()
        assert handler.caught == "SIGTERM"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGHUP, before)
