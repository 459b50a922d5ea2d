"""Two programs forward their logs to one server, before, during and after its absence."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from support.environment import without_durations
from support.peers import DEADLINE, HOST
from support.programs import end, example, free_port

pytestmark = [
    pytest.mark.one_python,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows ends programs without a signal"),
]


def sees(server: subprocess.Popen[str], *wanted: str) -> None:
    """Wait until the server has printed lines with all of these."""
    assert server.stderr is not None
    missing = set(wanted)
    while missing:
        line = server.stderr.readline()
        assert line, f"the server has ended; missing: {missing}"
        missing -= {text for text in missing if text in line}


def test_two_programs_and_a_server_that_comes_and_goes() -> None:
    port = free_port()
    serve = ["log_server.py", "--no-localhost-bind", "--bind", HOST, "--port", port, "-v"]
    forward = [HOST, port, "--period", "0.01", "--reconnect", "0.01", "-qq"]
    with (
        example("log_program.py", "red", *forward) as red,
        example("log_program.py", "blue", *forward) as blue,
    ):
        with example(*serve) as server:
            # What was logged before there was a server has waited for it.
            sees(server, "red INFO:laser.lock:cycle 1:", "blue INFO:laser.lock:cycle 1:")
            assert end(server, signal.SIGINT) == 0
        with example(*serve) as server:
            sees(server, " red INFO:laser.lock:cycle", " blue INFO:laser.lock:cycle")
            assert end(red, signal.SIGTERM) == 0
            assert end(blue, signal.SIGINT) == 0
            sees(server, "red INFO:laser.lock:leaving", "blue INFO:laser.lock:leaving")
            assert end(server, signal.SIGTERM) == 0


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server((HOST, 0)) as sock:
        port = str(sock.getsockname()[1])
        command = ["log_server.py", "--no-localhost-bind", "--bind", HOST, "--port", port]
        with example(*command) as server:
            _, errors = server.communicate(timeout=DEADLINE)
    assert server.returncode == 1
    assert without_durations(errors).startswith(f"cannot listen on port {port}: ")
