"""The examples as processes, which end with the test."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from support.peers import DEADLINE, HOST

EXAMPLES = Path(__file__).parents[2] / "examples"

# Below what systems give to those who ask for any port: another test, in another process, would be
# given the one that a program of this test is about to listen on. Each process begins elsewhere.
_LOWEST, _PORTS = 10_000, 20_000
_numbers = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Find a port that nobody listens on, for a program, or to be refused by."""
    for number in itertools.islice(_numbers, _PORTS):
        port = _LOWEST + number % _PORTS
        try:
            socket.create_server((HOST, port)).close()
        except OSError:
            continue  # it is taken
        return port
    raise AssertionError("no port is free")


@contextmanager
def example(name: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run an example; its output can be read."""
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen[str], number: signal.Signals) -> int:
    """Send a signal, and return the status of the process that it has ended."""
    process.send_signal(number)
    process.communicate(timeout=DEADLINE)
    return process.returncode


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end of a process of which lines were read; give its status, and what is left.

    `communicate` does not know what a stream has read ahead.
    """
    with ThreadPoolExecutor(2) as pool:
        outputs = [
            pool.submit(stream.read) for stream in (process.stdout, process.stderr) if stream
        ]
        try:
            stdout, stderr = (output.result(DEADLINE) for output in outputs)
            return process.wait(DEADLINE), stdout, stderr
        except TimeoutError:
            process.kill()  # which ends the reading as well
            raise
