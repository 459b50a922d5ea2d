"""What importing the client costs a program: time and memory, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from dev.benchmarks.children import ChildError
from dev.benchmarks.harness import Fleet, Settings
from dev.benchmarks.model import Experiment, Opener, Row, Target
from dev.benchmarks.rows.units import MB, MEGABYTES, MILLISECONDS

__all__ = ["imports"]

_CLIENT: Final = "from sipyco_rpc import Client"
_STATEMENTS: Final = (_CLIENT, "import asyncio", "import numpy")
_PROCESSES: Final = 3  # in one round

# It counts what the statement adds: the interpreter has started before, and numbers are taken
# without a module that the statement could need.
_PROGRAM: Final = """
from time import perf_counter

def resident():
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"VmRSS"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0

before = resident()
begin = perf_counter()
{statement}
elapsed = perf_counter() - begin
print(elapsed, resident() - before)
"""


def _run(statement: str) -> tuple[float, float]:
    """Return the seconds and the bytes that a statement costs."""
    command = [sys.executable, "-c", _PROGRAM.format(statement=statement)]
    # What is installed has its bytecode, from the first import on at the latest.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60, env=environment
        )
    except subprocess.CalledProcessError as exc:
        raise ChildError(f"`{statement}`: {exc.stderr.strip().splitlines()[-1]}") from exc
    except subprocess.TimeoutExpired as exc:
        raise ChildError(f"`{statement}`: no end after {exc.timeout:.0f} s") from exc
    elapsed, grown = map(float, done.stdout.split())
    return elapsed, grown


def imports(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make both rows."""
    del fleet  # each process does one thing and ends

    def milliseconds(statement: str) -> Opener:
        def probe() -> float:
            return min(_run(statement)[0] for _ in range(_PROCESSES)) * 1e3

        return lambda: probe

    def megabytes(statement: str) -> Opener:
        def probe() -> float:
            grown = _run(statement)[1]
            if not grown:
                raise ChildError("this system does not tell the memory of a process")
            return grown / MB

        return lambda: probe

    return [
        Experiment(
            "import.time",
            MILLISECONDS,
            {statement: milliseconds(statement) for statement in _STATEMENTS},
            (
                Row(
                    name="import.time",
                    title="import of the client, time",
                    subject=_CLIENT,
                    limit="import asyncio",
                    target=Target(20, "at most", of="unit"),
                    others=("import numpy",),
                ),
            ),
        ),
        Experiment(
            "import.memory",
            MEGABYTES,
            {statement: megabytes(statement) for statement in _STATEMENTS},
            (
                Row(
                    name="import.memory",
                    title="import of the client, memory",
                    subject=_CLIENT,
                    limit="import asyncio",
                    target=Target(6, "at most", of="unit"),
                    others=("import numpy",),
                ),
            ),
        ),
    ]
