"""One thread for each target that may block. No bytes here."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from sipyco_rpc.support.process_bound import after_fork_in_child

# What came of a function: its result in a list, or the exception that it raised.
Outcome: TypeAlias = list[Any] | BaseException

_STOP: Final = None

logger = logging.getLogger("sipyco.pc_rpc")


class Worker:
    """A thread that runs functions one after another, for an event loop that waits for them.

    It is a daemon thread, not an executor's: a driver that is stuck must not keep the program
    from ending.

    Args:
        name: of the thread.
        former: one that was stopped, or None. What it still does is done first.
    """

    def __init__(self, name: str, former: Worker | None = None) -> None:
        self._name = name
        self._former = former
        self._forked = False  # this process has no such thread
        after_fork_in_child(self._after_fork)
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[
            tuple[Callable[[], bool], Callable[[], Any], Callable[[Outcome], None]] | None
        ] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def submit(
        self,
        wanted: Callable[[], bool],
        function: Callable[[], Any],
        done: Callable[[Outcome], None],
    ) -> None:
        """Run a function in the thread.

        Args:
            wanted: tells, when its turn has come, whether it is to be run at all.
            function: what to run.
            done: is called in the loop with what came of it, in any case.

        Raises:
            RuntimeError: there is no thread, and none can be started; nothing is called.
        """
        if self._thread is None or self._stopped:
            try:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                thread.start()
            except RuntimeError as exc:
                raise RuntimeError(f"no thread can be started for {self._name}: {exc}") from exc
            self._thread = thread
        self._jobs.put((wanted, function, done))
        if self._stopped:
            # A generator that was in the midst of a step cleans up now.
            self._jobs.put(_STOP)

    def stop(self) -> None:
        """End the thread after what it is doing now; do not wait for it."""
        self._stopped = True
        if self._thread is not None:
            self._jobs.put(_STOP)

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
        elif self._former is not None:
            self._former._join()

    def _after_fork(self) -> asyncio.AbstractEventLoop:
        self._forked = True
        self._former = None
        return self._loop

    def _work(self) -> None:
        if self._former is not None:
            self._former._join()
            self._former = None
        while (job := self._jobs.get()) is not _STOP:
            wanted, function, done = job
            outcome: Outcome
            try:
                outcome = [function()] if wanted() else asyncio.CancelledError()
            except BaseException as exc:  # noqa: BLE001  (the loop's side decides)
                outcome = exc
            if self._forked:  # pragma: elsewhere (a child whose end nobody sees)
                # The function has forked, and this thread is all that there is of the child.
                if isinstance(outcome, BaseException):
                    raise outcome
                return
            try:
                self._loop.call_soon_threadsafe(done, outcome)
            except RuntimeError:
                # The loop has been closed: nobody waits any more.
                if isinstance(outcome, BaseException):
                    text = "%r raised an exception after its event loop had been closed"
                    logger.warning(text, self._name, exc_info=outcome)
                return
            # An array must not live until the next call.
            del wanted, function, done, outcome, job
