"""Small helpers for programs built on asyncio, beside the base classes of the servers."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.net.signals import SignalHandler
from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_tools._task_object import TaskObject, current_loop

__all__ = [
    "AsyncioServer",
    "BackgroundTaskPool",
    "Condition",
    "SignalHandler",
    "SimpleSSLConfig",
    "TaskObject",
    "atexit_register_coroutine",
]

TaskObject.__module__ = __name__  # what pickles hold: it lasts when a file moves

logger = logging.getLogger("sipyco.tools")


class Condition:
    """Let tasks wait until something happens: `notify` wakes all that wait at that time."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for the next `notify`."""
        loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            self._waiting.remove(future)

    def notify(self) -> None:
        """Wake everyone who waits."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


class BackgroundTaskPool:
    """Run coroutines that nobody waits for; an exception in one is logged.

    Args:
        loop: where to run them; by default the running loop, or the one that was set.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        # The loop itself keeps weak references only.
        self._tasks: set[asyncio.Task[Any]] = set()

    def create(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin to run a coroutine."""
        task = (self._loop or current_loop()).create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("background task failed", exc_info=task.exception())


def atexit_register_coroutine(
    coroutine_function: Callable[[], Coroutine[Any, Any, Any]],
    *,
    loop: asyncio.AbstractEventLoop | None = None,
) -> None:
    """Have a coroutine run at the exit of the program, before what was registered earlier.

    Args:
        coroutine_function: is called without arguments.
        loop: where to run it; by default the loop that is current now. If that one is closed by
            then, or this is a process that was forked since, a new one is used.
    """
    if loop is None:
        try:
            loop = current_loop()
        except RuntimeError:
            pass  # one is made then

    process = os.getpid()

    def at_exit() -> None:
        if loop is None or loop.is_closed() or os.getpid() != process:
            asyncio.run(coroutine_function())
        else:
            loop.run_until_complete(coroutine_function())

    atexit.register(at_exit)
