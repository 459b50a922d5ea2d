"""The publisher of temperatures and its subscriber run, and find each other again."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from sipyco.sync_struct import blocking_snapshot
from support.environment import without_durations
from support.peers import DEADLINE, HOST, until
from support.programs import EXAMPLES, end, example, free_port

READING = re.compile(r"(cryostat 4(\.\d+)?|oven 6[12]\d(\.\d+)?|room 29\d(\.\d+)?) K\n")

pytestmark = [
    pytest.mark.one_python,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows ends programs without a signal"),
]


def expect(stream: IO[str], line: str) -> None:
    """Wait for a line; what is logged in between is skipped."""
    until(lambda: stream.readline() == line)


@contextmanager
def publisher(port: int) -> Iterator[subprocess.Popen[str]]:
    own = ["--no-localhost-bind", "--bind", HOST, "--port", str(port), "--period", "0.01"]
    with example("temperatures.py", *own) as process:

        def answers() -> bool:
            assert process.poll() is None
            try:
                return len(blocking_snapshot(HOST, port, "temperatures")) == 3
            except ConnectionRefusedError:
                return False

        until(answers)
        yield process


def test_they_find_each_other_again() -> None:
    port = free_port()
    with example("watch_temperatures.py", HOST, str(port)) as refused:
        _, errors = refused.communicate(timeout=DEADLINE)
        assert refused.returncode == 1
        assert without_durations(errors).startswith(f"cannot watch {HOST} port {port}: ")
    with publisher(port) as first:
        with example("watch_temperatures.py", HOST, str(port)) as subscriber:
            assert subscriber.stdout is not None
            assert subscriber.stderr is not None
            assert READING.fullmatch(subscriber.stdout.readline())
            expect(subscriber.stderr, "[connected]\n")
            assert end(first, signal.SIGTERM) == 0
            expect(subscriber.stderr, "[disconnected]\n")
            expect(subscriber.stderr, "[retrying]\n")
            with publisher(port) as second:
                expect(subscriber.stderr, "[connected]\n")
                assert READING.fullmatch(subscriber.stdout.readline())
                once = [sys.executable, str(EXAMPLES / "watch_temperatures.py")]
                done = subprocess.run(
                    [*once, HOST, str(port), "--once"],
                    capture_output=True,
                    text=True,
                    timeout=DEADLINE,
                )
                lines = done.stdout.splitlines(keepends=True)
                assert len(lines) == 3
                assert all(map(READING.fullmatch, lines)), lines
                assert end(second, signal.SIGINT) == 0
            assert end(subscriber, signal.SIGINT) == 130
