"""The camera's server reduces its images by itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from sipyco.pc_rpc import Client
from support.environment import without_durations
from support.peers import DEADLINE, HOST, until
from support.programs import EXAMPLES, free_port

pytestmark = pytest.mark.one_python

pytest.importorskip("numpy")

EXAMPLE = str(EXAMPLES / "remote_reduction.py")


def measure(port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLE, "measure", HOST, str(port), "--count", "5"]
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE)


def test_only_the_result_travels() -> None:
    port = free_port()
    refused = measure(port)
    assert refused.returncode == 1
    assert without_durations(refused.stderr).startswith(f"cannot use port {port}: ")
    own = ["--no-localhost-bind", "--bind", HOST, "--port", str(port)]
    server = subprocess.Popen([sys.executable, EXAMPLE, "serve", *own])
    try:

        def answers() -> bool:
            assert server.poll() is None
            try:
                Client(HOST, port, "camera", DEADLINE).close_rpc()
            except ConnectionRefusedError:
                return False
            return True

        until(answers)
        done = measure(port)
        assert done.returncode == 0, done.stderr
        found = re.fullmatch(
            r"the spot is at row (.*), column (.*)\nimages of 12 MB stayed where they were\n",
            done.stdout,
        )
        assert found is not None
        assert float(found[1]) == pytest.approx(200, abs=1)
        assert float(found[2]) == pytest.approx(330, abs=1)
        with Client(HOST, port, "camera", DEADLINE) as camera:
            assert camera.take_image().shape == (480, 640)
            camera.terminate()
        assert server.wait(DEADLINE) == 0
    finally:
        server.kill()
        server.wait()
