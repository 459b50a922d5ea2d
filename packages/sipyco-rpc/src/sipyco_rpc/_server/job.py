"""A function that is called for a client once it has its lock, and awaited. No replies here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sipyco_rpc._server.call_record import CallRecord
from sipyco_rpc._server.lock import CallLock
from sipyco_rpc._server.worker import Outcome, Worker
from sipyco_rpc.support.relay import RemoteItems

# What methods return nearly always, and what need not be looked at.
NEVER_AWAITABLE: Final = frozenset(
    {bool, bytes, complex, dict, float, int, list, set, str, tuple, type(None)}
)


def is_awaitable(value: object) -> bool:
    """Tell whether a value is what a coroutine function gives."""
    return type(value) not in NEVER_AWAITABLE and inspect.isawaitable(value)


def is_generator(value: object) -> bool:
    """Tell whether a value is what a function with `yield` gives, here or on another server."""
    return type(value) not in NEVER_AWAITABLE and (
        inspect.isgenerator(value) or inspect.isasyncgen(value) or isinstance(value, RemoteItems)
    )


class Job:
    """Calls a function with a lock held, and awaits its result if need be.

    Args:
        function: what to call.
        lock: is held until it is done; None if there is none.
        worker: the thread to call it in; None for the loop's.
        done: is called once, with what came of it. If that is an exception it may be any.
        late: is called with what came of it in the thread, if it had been cancelled before.
        record: is told when it runs; None for what is no call.

    Attributes:
        function: as it was given.
        record: as it was given.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        lock: CallLock | None,
        worker: Worker | None,
        done: Callable[[Outcome], None],
        late: Callable[[Outcome], None] | None = None,
        record: CallRecord | None = None,
    ) -> None:
        self.task: asyncio.Task[None] | None = None  # that awaits the result
        self.function = function
        self._lock = lock
        self._worker = worker
        self._done: Callable[[Outcome], None] | None = done
        self._late = late
        self.record = record
        self._begun = False
        self._awaitable: Awaitable[Any] | None = None  # until the task takes it

    def start(self) -> None:
        """Call the function as soon as it has the lock, perhaps at once."""
        if self._lock is None:
            self._begin()
        else:
            self._lock.acquire(self._begin)

    def await_result(self, awaitable: Awaitable[Any]) -> None:
        """Go on from here: the function has been called already, while nobody held the lock."""
        self._begun = True
        if self._lock is not None:
            self._lock.acquire(lambda: None)
        self._await(awaitable)

    def _await(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        self.task = asyncio.get_running_loop().create_task(self._finish_awaited())

    def cancel(self) -> None:
        """End it: a coroutine is cancelled; what has not begun is not done.

        A function in a thread is left to finish, with nobody waiting for it.
        """
        if self._awaitable is not None:
            # The task has not begun yet, and will find nothing to do.
            awaitable, self._awaitable = self._awaitable, None
            _drop(awaitable)
            self._finish(asyncio.CancelledError())
            return
        if self.task is not None:
            self.task.cancel()
            return
        if not self._begun and self._lock is not None and self._lock.cancel(self._begin):
            self._lock = None  # it never had it
        self._tell(asyncio.CancelledError())

    def drop_unless_begun(self) -> None:
        """Cancel it if it still waits for the lock."""
        if not self._begun:
            self.cancel()

    def _begin(self) -> None:
        self._begun = True
        if self._done is None:
            self._release()  # cancelled in the very moment that it got the lock
            return
        if self.record is not None:
            self.record.run()
        if self._worker is not None:
            try:
                self._worker.submit(lambda: self._done is not None, self.function, self._called)
            except RuntimeError as exc:  # there is no thread
                self._called(exc)
        else:
            outcome: Outcome
            try:
                outcome = [self.function()]
            except KeyboardInterrupt as exc:
                self._interrupted(exc)
                raise
            except BaseException as exc:  # noqa: BLE001  (whatever it is, it is the outcome)
                outcome = exc
            self._called(outcome)
            del outcome  # an exception has this frame, and all that it has seen

    def _called(self, outcome: Outcome) -> None:
        if not isinstance(outcome, list) or not is_awaitable(outcome[0]):
            self._finish(outcome)
        elif self._done is not None:
            self._await(outcome.pop())
        else:
            _drop(outcome.pop())
            self._finish(outcome)

    async def _finish_awaited(self) -> None:
        awaitable, self._awaitable = self._awaitable, None
        if awaitable is None:
            return
        outcome: Outcome
        try:
            outcome = [await awaitable]
        except KeyboardInterrupt as exc:
            self._interrupted(exc)
            raise
        except BaseException as exc:
            if not _is_in_loop():
                raise  # a GeneratorExit that orders this coroutine to end
            outcome = exc
        self._finish(outcome)
        del outcome  # as above

    def _finish(self, outcome: Outcome) -> None:
        self._release()
        self._tell(outcome)

    def _interrupted(self, exc: KeyboardInterrupt) -> None:
        self._release()
        if self.record is not None:
            self.record.end(exc)

    def _release(self) -> None:
        if self.record is not None:
            self.record.pause()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _tell(self, outcome: Outcome) -> None:
        done, self._done = self._done or self._late, None
        if done is not None:
            done(outcome)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _drop(awaitable: Awaitable[Any]) -> None:
    """Close a coroutine, or it would warn that nobody has awaited it."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
