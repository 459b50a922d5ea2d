"""Two programs forward their logs to one server, before, during and after its absence."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.peers import DEADLINE, HOST

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows ends programs without a signal"
)


@contextmanager
def program(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0


def sees(server: subprocess.Popen[str], *wanted: str) -> None:
    """Wait until the server has printed lines with all of these."""
    assert server.stderr is not None
    missing = set(wanted)
    while missing:
        line = server.stderr.readline()
        assert line, f"the server has ended; missing: {missing}"
        missing -= {text for text in missing if text in line}


def test_two_programs_and_a_server_that_comes_and_goes() -> None:
    with socket.create_server((HOST, 0)) as sock:
        port = str(sock.getsockname()[1])
    serve = ["log_server.py", "--no-localhost-bind", "--bind", HOST, "--port", port, "-v"]
    forward = [HOST, port, "--period", "0.01", "--reconnect", "0.01", "-qq"]
    with (
        program("log_program.py", "red", *forward) as red,
        program("log_program.py", "blue", *forward) as blue,
    ):
        with program(*serve) as server:
            # What was logged before there was a server has waited for it.
            sees(server, "red INFO:laser.lock:cycle 1:", "blue INFO:laser.lock:cycle 1:")
            end(server, signal.SIGINT)
        with program(*serve) as server:
            sees(server, " red INFO:laser.lock:cycle", " blue INFO:laser.lock:cycle")
            end(red, signal.SIGTERM)
            end(blue, signal.SIGINT)
            sees(server, "red INFO:laser.lock:leaving", "blue INFO:laser.lock:leaving")
            end(server, signal.SIGTERM)


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server((HOST, 0)) as sock:
        port = str(sock.getsockname()[1])
        command = ["log_server.py", "--no-localhost-bind", "--bind", HOST, "--port", port]
        with program(*command) as server:
            _, errors = server.communicate(timeout=DEADLINE)
    assert server.returncode == 1
    assert errors.startswith(f"cannot listen on port {port}: ")
