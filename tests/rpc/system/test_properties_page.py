"""The programs on the page about properties, as processes."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipyco_rpc.pc_rpc import Client
from support.peers import DEADLINE, HOST
from support.programs import free_port

pytestmark = [pytest.mark.one_python, pytest.mark.slow]

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "properties.md"
SERVER, CLIENT = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[
    :2
]


def at(program: str, port: int) -> str:
    return program.replace('"::1", 3256', f'"{HOST}", {port}')


@contextlib.contextmanager
def served() -> Iterator[int]:
    """Run the server of the page; it is told to end by a client."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", at(SERVER, port)])
    try:
        yield port
        with client(port) as psu:
            psu.terminate()
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


def client(port: int) -> Client:
    deadline, pause = time.monotonic() + DEADLINE, threading.Event()
    while True:
        try:
            return Client(HOST, port, timeout=DEADLINE)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            pause.wait(0.02)


def test_the_page_does_what_it_says() -> None:
    with served() as port:
        with client(port) as psu:
            assert "voltage" in dir(psu)
        ended = subprocess.run(
            [sys.executable, "-c", at(CLIENT, port)],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert ended.stdout == "12\n"
        assert ended.returncode == 1
        assert "\nValueError: a voltage is 0 V to 30 V, got 40 V\n" in ended.stderr
        with client(port) as psu:
            assert psu.voltage == 12
            assert psu.get_rpc_method_list()["properties"] == {
                "voltage": {
                    "docstring": "The voltage at the output, in volts.",
                    "settable": True,
                }
            }
