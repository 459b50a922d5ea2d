"""How programs are ended by signals while something is under way, as whole processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc._server.stopping import ProgramSignals
from sipyco_rpc.pc_rpc import Client
from support.environment import as_installed, without_durations
from support.peers import DEADLINE, HOST, until
from support.programs import ended

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals can be sent there")

PROGRAM = """
import asyncio, ctypes, sys, threading, time
from sipyco_rpc._server import stopping
from sipyco_rpc.pc_rpc import simple_server_loop

options, loop_of, delay, port_file = eval(sys.argv[1]), *sys.argv[2:]
stopping.KILL_DELAY = float(delay)
libc = ctypes.CDLL(None)

def begun():
    print("begun", flush=True)

def say_when_waiting(mutex):
    thread = threading.main_thread().native_id
    while hex(ctypes.addressof(mutex)) not in open(f"/proc/self/task/{thread}/syscall").read():
        time.sleep(0.001)
    begun()

class Target:
    def sleep(self):
        try:
            begun()
            for _ in range(100_000):
                # Not at once: a signal just before it is dealt with after it, by all of Python.
                time.sleep(0.01)
        finally:
            print("cleaned up", flush=True)

    def wait_in_c(self):
        # It goes on after a signal, and Python does not get to know.
        mutex = (ctypes.c_char * 256)()
        libc.pthread_mutex_lock(mutex)
        threading.Thread(target=say_when_waiting, args=(mutex,), daemon=True).start()
        libc.pthread_mutex_lock(mutex)

    def resist(self):
        begun()
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                pass

    def keep_loop(self):
        asyncio.get_running_loop().call_soon(self.sleep)

    async def coroutine(self):
        asyncio.get_running_loop().call_soon(begun)
        await asyncio.sleep(1000)

    async def resist_in_loop(self):
        asyncio.get_running_loop().call_soon(begun)
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass

    async def executor(self):
        await asyncio.to_thread(self.sleep)

loop = None
if loop_of == "uvloop":
    import uvloop
    loop = uvloop.new_event_loop()
simple_server_loop({"t": Target()}, "127.0.0.1", 0, loop=loop, port_file=port_file, **options)
print("returned")
"""


class Program:
    """The program, in the midst of a method."""

    def __init__(
        self,
        folder: Path,
        method: str,
        loop_of: str = "asyncio",
        delay: float = 1000,
        **options: Any,
    ) -> None:
        if loop_of == "uvloop":
            pytest.importorskip("uvloop", reason="it is not installed")
        self.port_file = folder / "port"
        arguments = [repr(options), loop_of, str(delay), str(self.port_file)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=as_installed(measured=True),
        )
        until(lambda: self.port_file.exists() or self.process.poll() is not None)
        self.port = int(self.port_file.read_text())
        self._thread = threading.Thread(target=self._call, args=(method,), daemon=True)
        self._thread.start()
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"

    def _call(self, method: str) -> None:
        with Client(HOST, self.port) as client:
            try:
                getattr(client, method)()
            except (EOFError, OSError):
                pass  # as it must be

    def wait_for(self, pattern: str) -> None:
        """Wait for a line of stderr."""
        assert self.process.stderr is not None
        while not re.search(pattern, line := self.process.stderr.readline()):
            assert line, f"the end of stderr, before {pattern!r}"

    def end(self) -> tuple[int, str, str]:
        """Wait for the status, and what is left of both outputs; calls are put in short."""
        status, stdout, stderr = ended(self.process)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        assert not self.port_file.exists()
        call = rf"called by {HOST} port \d+, (\w+) for \d+\.\d s"
        return status, stdout, re.sub(call, r"\1", without_durations(stderr))


@contextmanager
def program(*args: Any, **options: Any) -> Iterator[Program]:
    running = Program(*args, **options)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="nothing tells what waits in C")
every_loop = pytest.mark.parametrize("loop_of", ["asyncio", "uvloop"])


@every_loop
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_method_that_blocks_is_ended_after_the_limit(
    tmp_path: Path, loop_of: str, number: signal.Signals
) -> None:
    with program(tmp_path, "sleep", loop_of, stop_timeout=0.05) as running:
        running.process.send_signal(number)
        status, stdout, stderr = running.end()
    assert status == 128 + number
    assert stdout == f"Caught {number.name}, terminating...\ncleaned up\n"
    lines = stderr.splitlines()
    assert (
        "waiting at most 0.05 s for `t.sleep` (running) to return; a second signal ends it now"
        in lines
    )
    assert f"0.05 s have passed since {number.name}: ending `t.sleep` (running)" in lines
    assert lines[-1] == f"stopping: {number.name}"


@every_loop
def test_a_callback_that_keeps_the_loop_is_ended_by_a_second_signal(
    tmp_path: Path, loop_of: str
) -> None:
    with program(tmp_path, "keep_loop", loop_of) as running:
        running.process.send_signal(signal.SIGINT)
        running.wait_for(
            r"^waiting for `Target.sleep` \(<string>, line \d+\) to return; "
            "a second signal ends it now\n$"
        )
        running.process.send_signal(signal.SIGINT)
        status, stdout, stderr = running.end()
    assert (status, stdout) == (-signal.SIGINT, "Caught Ctrl-C, terminating...\ncleaned up\n")
    assert re.search(r"`Target.sleep` \(.*\) was ended by a second signal\n", stderr)


@every_loop
def test_a_callback_that_keeps_the_loop_is_ended_after_the_limit(
    tmp_path: Path, loop_of: str
) -> None:
    with program(tmp_path, "keep_loop", loop_of, stop_timeout=0.05) as running:
        running.process.send_signal(signal.SIGTERM)
        status, stdout, stderr = running.end()
    assert status == 128 + signal.SIGTERM
    assert stdout == "Caught SIGTERM, terminating...\ncleaned up\n"
    assert re.search(r"0.05 s have passed since SIGTERM: ending `Target.sleep` \(.*\)\n", stderr)


@LINUX
@every_loop
def test_code_in_c_is_waited_for_no_longer_than_the_limit(tmp_path: Path, loop_of: str) -> None:
    with program(tmp_path, "wait_in_c", loop_of, 0.05, stop_timeout=0.05) as running:
        running.process.send_signal(signal.SIGTERM)
        status, stdout, stderr = running.end()
    assert (status, stdout) == (128 + signal.SIGTERM, "")
    assert stderr.splitlines()[-2:] == [
        "0.05 s have passed since SIGTERM: ending `t.wait_in_c` (running)",
        "ending the process, because of SIGTERM 0.1 s ago; under way: `t.wait_in_c` (running)",
    ]


@LINUX
@every_loop
def test_code_in_c_is_told_of_and_ended_by_a_second_signal(tmp_path: Path, loop_of: str) -> None:
    with program(tmp_path, "wait_in_c", loop_of) as running:
        running.process.send_signal(signal.SIGINT)
        running.wait_for(
            r"^waiting for `t.wait_in_c` \(.*\) to return from code that is not Python; "
            "a second signal ends the program at once\n$"
        )
        running.process.send_signal(signal.SIGINT)
        status, stdout, stderr = running.end()
    assert (status, stdout) == (128 + signal.SIGINT, "")
    assert stderr.splitlines() == [
        "ending the process, because of a second Ctrl-C; under way: `t.wait_in_c` (running)"
    ]


def test_what_resists_is_ended_with_the_process(tmp_path: Path) -> None:
    with program(tmp_path, "resist", delay=0.05, stop_timeout=0.05) as running:
        running.process.send_signal(signal.SIGTERM)
        status, _, stderr = running.end()
    assert status == 128 + signal.SIGTERM
    assert stderr.splitlines()[-1] == (
        "ending the process, because of SIGTERM 0.1 s ago; under way: `t.resist` (running)"
    )


@pytest.mark.parametrize(
    ("method", "under_way"),
    [
        ("resist_in_loop", r"`t.resist_in_loop` \(running\)"),
        ("executor", r"(.*, )?the thread `asyncio_0`(, .*)?"),
    ],
)
def test_what_keeps_the_loop_from_ending_is_ended_with_the_process(
    tmp_path: Path, method: str, under_way: str
) -> None:
    with program(tmp_path, method, delay=0.05, stop_timeout=0.05) as running:
        running.process.send_signal(signal.SIGTERM)
        status, stdout, stderr = running.end()
    assert (status, stdout) == (128 + signal.SIGTERM, "Caught SIGTERM, terminating...\n")
    lines = stderr.splitlines()
    assert f"calls that are not waited for: `t.{method}` (running)" in lines
    assert re.fullmatch(
        rf"ending the process, because of SIGTERM 0.1 s ago; under way: {under_way}", lines[-1]
    )


def test_a_signal_that_is_heard_of_when_the_server_has_ended_has_its_limit() -> None:
    signals = ProgramSignals(1000, lambda: "")

    async def main() -> None:
        signals.setup()
        signals._leaves = True  # as `teardown` has it, which waits for the thread that hears
        signals._heard(signal.SIGTERM)
        signals.teardown()

    asyncio.run(main())
    clock = signals._clock
    signals.close()
    assert clock is not None
    clock.join(DEADLINE)


@every_loop
@pytest.mark.parametrize(
    ("method", "threaded"),
    [("coroutine", False), ("sleep", True), ("resist", True)],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_coroutines_and_threads_are_not_waited_for(
    tmp_path: Path, method: str, threaded: bool, loop_of: str, number: signal.Signals
) -> None:
    name = {signal.SIGINT: "Ctrl-C"}.get(number, number.name)
    with program(tmp_path, method, loop_of, threaded=threaded) as running:
        running.process.send_signal(number)
        status, stdout, stderr = running.end()
        assert (status, stdout) == (0, f"Caught {name}, terminating...\nreturned\n")
        assert stderr == (
            f"serving t on {HOST} port {running.port} (this computer only, no TLS)\n"
            f"stopping: {name}\n"
            f"calls that are not waited for: `t.{method}` (running)\n"
        )


def test_without_a_limit_a_method_is_waited_for(tmp_path: Path) -> None:
    with program(tmp_path, "sleep", delay=0, stop_timeout=None) as running:
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("^waiting for `t.sleep`")
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        status, _, stderr = running.end()
    assert status == 128 + signal.SIGTERM
    assert stderr.splitlines()[-1] == "`t.sleep` (running) was ended by a second signal"


def test_a_limit_is_a_time() -> None:
    from sipyco_rpc.pc_rpc import simple_server_loop

    with pytest.raises(ValueError, match="stop_timeout is a positive number of seconds"):
        simple_server_loop({}, HOST, 0, stop_timeout=0)


TERMINAL = """
import os, sys, time
os.close(os.open(os.ttyname(0), os.O_RDWR))  # it becomes that of this session
from sipyco_rpc.pc_rpc import simple_server_loop

class Target:
    def sleep(self):
        print("begun", flush=True)
        for _ in range(100_000):
            time.sleep(0.01)

simple_server_loop({"t": Target()}, "127.0.0.1", 0, port_file=sys.argv[1])
"""


def test_ctrl_c_on_a_terminal(tmp_path: Path) -> None:
    import pty

    terminal, ours = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, str(tmp_path / "port")],
        stdin=ours,
        stdout=ours,
        stderr=ours,
        start_new_session=True,
        env=as_installed(),
    )
    os.close(ours)

    def call() -> None:
        with Client(HOST, port) as client, pytest.raises((EOFError, OSError)):
            client.sleep()

    with open(terminal, "r+b", buffering=0) as screen, open(terminal, closefd=False) as lines:
        try:
            serving = lines.readline()
            assert serving.startswith(f"serving t on {HOST} port ")
            until((tmp_path / "port").exists)
            port = int((tmp_path / "port").read_text())
            thread = threading.Thread(target=call)
            thread.start()
            assert lines.readline() == "begun\n"
            screen.write(b"\x03")
            assert lines.readline().endswith("Caught Ctrl-C, terminating...\n")
            assert re.fullmatch(
                r"waiting for `t.sleep` \(called by .*, running for \d+\.\d s\) to return; "
                "a second signal ends it now\n",
                lines.readline(),
            )
            screen.write(b"\x03")
            assert "stopping: Ctrl-C\n" in lines.readline()
            assert lines.readline().endswith("was ended by a second signal\n")
            thread.join(DEADLINE)
        finally:
            process.kill()
            process.wait()


FORKING = """
import os, sys
from sipyco_rpc.pc_rpc import simple_server_loop

class Target:
    def fork(self):
        child = os.fork()
        if child == 0:
            os._exit(0)
        return os.waitpid(child, 0)[1]

simple_server_loop({"t": Target()}, "127.0.0.1", 0, port_file=sys.argv[1])
"""


def test_a_program_without_threads_is_not_warned_of_forks_beside_threads(tmp_path: Path) -> None:
    path = tmp_path / "port"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FORKING, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=as_installed(measured=True),
    )
    try:
        until(lambda: path.exists() or process.poll() is not None)
        with Client(HOST, int(path.read_text())) as client:
            assert [client.fork() for _ in range(3)] == [0, 0, 0]
            process.send_signal(signal.SIGTERM)  # it is still heard of
        stdout, stderr = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, stdout) == (0, "Caught SIGTERM, terminating...\n")
    assert "Warning" not in stderr
