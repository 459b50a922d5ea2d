"""Child processes that serve or drive, and end with us whatever happens. What they do is theirs.

A child reads its standard input: it ends when that closes, so none outlives this process, even
one that is killed.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

__all__ = ["Child", "ChildError", "available_cores"]

_ROOT: Final = Path(__file__).parents[2]
_TIMEOUT: Final = 3.0  # seconds for a child to end by itself, and again once it was terminated
_DEADLINE: Final = 120.0  # seconds for one answer: the slowest round takes a tenth of it


class ChildError(Exception):
    """A child could not do what it was asked to."""


def available_cores() -> list[int]:
    """Return the cores that this process may run on; none where processes cannot be pinned."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return []


class Child:
    """A process that makes an object of ours and calls its methods when asked.

    Args:
        module, name: the class, or for a server the function, that the child imports.
        arguments: its arguments, as JSON can write them.
        serve: it is a function that serves for ever and has announced its port.
        core: the only core that the child may use, or None.

    Attributes:
        port: what a server has announced.
        pid: of the process.
        closed: it has been ended, or had to be.

    Raises:
        ChildError: it could not start.
    """

    def __init__(
        self,
        module: str,
        name: str,
        *arguments: object,
        serve: bool = False,
        core: int | None = None,
    ) -> None:
        self._name = f"{module}.{name}"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (`close` closes it)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        description = {
            "module": module,
            "name": name,
            "arguments": arguments,
            "serve": serve,
            "core": core,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dev.benchmarks.child", json.dumps(description)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=_ROOT,
            start_new_session=True,  # Ctrl-C is ours to deal with
        )
        self.pid = self._process.pid
        self.closed = False
        self._number = 0  # of the last call: an answer that nobody waited for is not the next one
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        try:
            self.port = int(self.answer() or 0)
        except BaseException:
            self.close()
            raise

    def tell(self, action: str, *arguments: object) -> None:
        """Have a method of the child's object called; `answer` gives its value.

        Args:
            action: the method.
            *arguments: its arguments, as JSON can write them.

        Raises:
            ChildError: it has ended.
        """
        assert self._process.stdin is not None
        self._number += 1
        call = json.dumps([self._number, action, arguments])
        try:
            self._process.stdin.write(call.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as exc:  # a ValueError if it has been closed
            raise ChildError(self._story(str(exc))) from exc

    def answer(self, deadline: float = _DEADLINE) -> Any:
        """Return the value of the method that was called.

        Args:
            deadline: seconds to wait.

        Raises:
            ChildError: it raised, the child ended, or there was no answer in time.
        """
        end = time.monotonic() + deadline
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.close(0.0)  # it is busy with what nobody waits for
                raise ChildError(f"no answer in {deadline:.0f} s from {self._name}") from None
            if not line:
                self._process.wait(_TIMEOUT)
                raise ChildError(self._story(f"ended with status {self._process.returncode}"))
            answer = json.loads(line)
            if answer.get("number", self._number) == self._number:
                break
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer["value"]

    def ask(self, action: str, *arguments: object) -> Any:
        """Call a method of the child's object, and return its value."""
        self.tell(action, *arguments)
        return self.answer()

    def close(self, patience: float = _TIMEOUT) -> None:
        """End the process: ask, then terminate, then kill. May be repeated.

        Args:
            patience: seconds for it to end when asked.
        """
        self.closed = True
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
        except OSError:
            pass  # it has ended already
        for end, seconds in ((process.terminate, patience), (process.kill, _TIMEOUT)):
            try:
                process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                end()
        process.wait()
        self._reading.join(_TIMEOUT)
        process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"{"):  # libraries print as well
                self._lines.put(line)
        self._lines.put(b"")

    def _story(self, reason: str) -> str:
        """Add the last line that the child wrote to standard error."""
        said: list[str] = []
        if not self._errors.closed:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{self._name}: {said[-1] if said else reason}"
