"""The fixture `start_driver`, in a run of pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """\
import os, sys

import pytest

DRIVER = '''
import sys
from sipyco_rpc.pc_rpc import simple_server_loop


class Target:
    def pid(self):
        import os
        return os.getpid()


if "--broken" in sys.argv:
    sys.exit("the instrument is not there")
simple_server_loop({"t": Target()}, "127.0.0.1", int(sys.argv[1]))
'''
started = []


def test_a_driver_is_started_and_called(start_driver):
    first = start_driver([sys.executable, "-c", DRIVER, "{port}"])
    second = start_driver([sys.executable, "-c", DRIVER, "{port}"])
    started[:] = [first.pid(), second.pid()]
    assert started[0] != started[1] != os.getpid()


def test_it_is_stopped_after_its_test(start_driver):
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_one_that_ends_is_an_error_that_shows_its_output(start_driver):
    start_driver([sys.executable, "-c", DRIVER, "{port}", "--broken"])
"""


@pytest.mark.slow
def test_the_fixture_starts_drivers_and_stops_them(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["sipyco_rpc.pytest_plugin"]\n')
    (tmp_path / "test_driver.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:xdist", "-q", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert "1 failed, 2 passed" in run.stdout, run.stdout + run.stderr
    lines = [line.removeprefix("E").strip() for line in run.stdout.splitlines()]
    told = next(n for n, line in enumerate(lines) if line.endswith("status 1; it printed:"))
    assert lines[told + 1] == "the instrument is not there"
