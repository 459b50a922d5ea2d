"""Children of the tests' own process, by `os.fork`: what they see, and that they do not hang."""

from __future__ import annotations

import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from support.peers import DEADLINE


def fork() -> int:
    """Fork, without the warning that there are threads: that is what the tests are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(work: Callable[[], Any]) -> str:
    """Do something in a child; give the text of what it returned or raised.

    Fails if the child has not ended by the deadline, or has died of a signal.
    """
    reads, writes = os.pipe()
    child = fork()
    if child == 0:
        status = 1
        try:
            os.close(reads)
            os.write(writes, outcome(work).encode("utf-8", "replace")[:60_000])
            status = 0
        finally:
            os._exit(status)
    os.close(writes)
    try:
        said = b""
        while True:
            ready, _, _ = select.select([reads], [], [], DEADLINE)
            if not ready:
                os.kill(child, signal.SIGKILL)
                raise AssertionError("the child hangs")
            data = os.read(reads, 1 << 16)
            if not data:
                break
            said += data
    finally:
        os.close(reads)
        _, status = os.waitpid(child, 0)
    assert status == 0, f"the child has ended with status {status:#x}"
    return said.decode()


def outcome(work: Callable[[], Any]) -> str:
    """Do something; give the text of what it returned, or of what it raised."""
    try:
        return str(work())
    except BaseException as exc:
        if isinstance(exc, AssertionError):
            traceback.print_exc()
        return f"{type(exc).__name__}: {exc}"
