"""A generator that a method returned, item by item as the client asks for them. No bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final

from sipyco_rpc._server.job import Job, is_plain_generator
from sipyco_rpc._server.lock import CallLock
from sipyco_rpc._server.worker import Outcome, Worker
from sipyco_rpc.limits import UNCLAIMED_ITEM_TIMEOUT
from sipyco_rpc.support.relay import RemoteItems

_ENDS: Final = (StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError)


class ServedGenerator:
    """Runs a generator, one item for each that the client has asked for.

    The lock is held while a step runs, never between two of them: a slow reader stalls the
    generator and nothing else.

    Args:
        generator: a generator, or an asynchronous one; or what a client gives of another server.
        lock: is held by each step; None if there is none.
        worker: the thread to run a plain generator in; None for the loop's.
        credit: tells how many items have been asked for and not been given.
        writable: tells whether an item can be sent.
        item: is called with each item, in a list.
        ended: is called once, with None at the end or with what the generator raised.
        failed: is called with what it raises after that.
        closed: is called when nothing of it runs any more.

    Attributes:
        job: the step that runs, or waits for the lock; None between two of them.
    """

    def __init__(
        self,
        generator: Generator[Any, Any, Any] | AsyncGenerator[Any, Any] | RemoteItems,
        lock: CallLock | None,
        worker: Worker | None,
        *,
        credit: Callable[[], int],
        writable: Callable[[], bool],
        item: Callable[[list[Any]], None],
        ended: Callable[[BaseException | None], None],
        failed: Callable[[BaseException], None],
        closed: Callable[[ServedGenerator], None],
    ) -> None:
        self.job: Job | None = None
        self._generator: Any = generator
        self._plain = is_plain_generator(generator)
        self._relayed = isinstance(generator, RemoteItems)
        self._lock = lock
        self._worker = worker if self._plain else None
        self._credit = credit
        self._writable = writable
        self._item = item
        self._ended: Callable[[BaseException | None], None] | None = ended
        self._failed = failed
        self._closed = closed
        self._last = False  # no more items will be asked for
        self._watchdog: asyncio.TimerHandle | None = None  # if so
        self._scheduled = False  # `resume` is

    def end_after_last(self) -> None:
        """End it when it has given the items that were asked for: the client asks for no more.

        It is ended as well if one of them does not come soon.
        """
        if not self._last:
            self._last = True
            self._watch()
        self.resume()

    def _watch(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = asyncio.get_running_loop().call_later(
            UNCLAIMED_ITEM_TIMEOUT, self._last_is_late
        )

    def _last_is_late(self) -> None:
        if self.job is not None:
            self.cancel()
        else:
            self._watch()  # it waits for the client, who is still there and reads slowly

    def resume_soon(self) -> None:
        """Take the next step in the next pass of the loop: others have their turn first."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._resume_scheduled)

    def _resume_scheduled(self) -> None:
        self._scheduled = False
        self.resume()

    def resume(self) -> None:
        """Take the next step, if there is reason to."""
        if self.job is not None or self._ended is None:
            return
        if not self._credit():
            if self._last:
                self.cancel()
        elif self._writable():
            step = self._generator.__next__ if self._plain else self._anext
            self.job = Job(step, self._lock, self._worker, self._stepped, self._fail)
            self.job.start()

    def cancel(self) -> None:
        """End it before its time."""
        self._end(asyncio.CancelledError())
        if self.job is not None:
            if self._worker is not None and self._relayed:
                self._generator.close()  # its thread waits for an item, perhaps for ever
            self.job.cancel()  # what it does now; then it is closed
        else:
            self._close()

    def _end(self, exc: BaseException | None) -> None:
        ended, self._ended = self._ended, None
        if self._watchdog is not None:
            self._watchdog.cancel()
        if ended is not None:
            ended(exc)

    def _stepped(self, outcome: Outcome) -> None:
        self.job = None
        if self._ended is None:
            self._fail(outcome)
            self._close()
        elif isinstance(outcome, list):
            if self._last:
                self._watch()
            self._item(outcome)
            self.resume_soon()
        else:
            stop = StopIteration if self._plain else StopAsyncIteration
            self._end(None if isinstance(outcome, stop) else outcome)
            self._closed(self)

    # What these two call must not be called before it is awaited: Python 3.13 damages a generator
    # of which a step, or the end, is dropped before it has begun.

    async def _anext(self) -> Any:
        return await self._generator.__anext__()

    async def _aclose(self) -> None:
        await self._generator.aclose()

    def _close(self) -> None:
        """Have the generator clean up, with the lock."""
        close = self._generator.close if self._plain else self._aclose
        self.job = Job(close, self._lock, self._worker, self._cleaned_up)
        self.job.start()

    def _cleaned_up(self, outcome: Outcome) -> None:
        self.job = None
        self._fail(outcome)
        self._closed(self)

    def _fail(self, outcome: Outcome) -> None:
        """Tell of what it raised after it was ended, unless that is how one ends, or is ended."""
        if isinstance(outcome, BaseException) and not isinstance(outcome, _ENDS):
            self._failed(outcome)
