"""The base class of objects that have a task of asyncio, and the loop that such a task runs in."""

from __future__ import annotations

import asyncio
import logging
import warnings

logger = logging.getLogger("sipyco.tools")


def current_loop() -> asyncio.AbstractEventLoop:
    """Return the running loop, or the one that was set for this thread before it runs.

    Raises:
        RuntimeError: there is neither.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # programs set loops, still
        return asyncio.get_event_loop()


class TaskObject:
    """An object with a task: override `_do` with what is to be done.

    Attributes:
        task: the task, after `start`.
    """

    task: asyncio.Task[None]

    def start(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin the task.

        Args:
            loop: where to run; by default the running loop, or the one that was set.
        """

        async def log_exceptions() -> None:
            try:
                await self._do()
            except Exception:
                logger.exception("unhandled exception in %s", type(self).__name__)

        self.task = (loop or current_loop()).create_task(log_exceptions())

    async def stop(self) -> None:
        """Cancel the task and wait until it has ended. May be repeated."""
        task: asyncio.Task[None] | None = getattr(self, "task", None)
        if task is None or task.done():
            return
        loop = task.get_loop()
        if loop is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])
        elif not loop.is_closed():  # in another thread, or of a process that has forked
            loop.call_soon_threadsafe(task.cancel)

    async def _do(self) -> None:
        raise NotImplementedError("override `_do`")
