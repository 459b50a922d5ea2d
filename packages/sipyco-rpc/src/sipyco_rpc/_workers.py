"""One thread for each target that may block, and the turns of the calls. No bytes here."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Final

__all__: list[str] = []

_STOP: Final = None


class MethodError(Exception):
    """Carries an exception of a method that must not be let loose in a coroutine.

    A GeneratorExit there would mean that the coroutine is to end.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class Worker:
    """A thread that runs functions one after another, for an event loop that waits for them.

    It is a daemon thread, not an executor's: a driver that is stuck must not keep the program
    from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[[], Any]) -> Any:
        """Run a function in the thread; cancelled before its turn, it is not run at all."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        result: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put((result, function))
        return await result

    def stop(self) -> None:
        """End the thread after what it is doing now; do not wait for it."""
        self._jobs.put(_STOP)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not _STOP:
            result, function = job
            if result.cancelled():
                continue
            value, error = None, None
            try:
                value = function()
            except BaseException as exc:  # noqa: BLE001  (the loop's side raises it again)
                error = exc
            try:
                self._loop.call_soon_threadsafe(_settle, result, value, error)
            except RuntimeError:
                return  # the loop has been closed: nobody waits any more
            del result, function, value, error, job  # an array must not live until the next call


def _settle(result: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(value)
    elif isinstance(error, StopIteration):
        # No future can hold one; this is what awaiting a coroutine that raised it gives, too.
        result.set_exception(RuntimeError("coroutine raised StopIteration"))
    elif isinstance(error, (Exception, SystemExit)):
        result.set_exception(error)
    else:
        result.set_exception(MethodError(error))
