"""The generators that methods have returned, item by item as a client asks. No transport here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from sipyco_rpc._server.job import Job
from sipyco_rpc.limits import UNCLAIMED_ITEM_TIMEOUT
from sipyco_rpc.support.relay import RemoteItems

if TYPE_CHECKING:
    from sipyco_rpc._server.call_record import CallRecord
    from sipyco_rpc._server.replies import Replies
    from sipyco_rpc._server.target import Target
    from sipyco_rpc._server.worker import Outcome, Worker

_ENDS: Final = (StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError)


class GeneratorTable:
    """The generators of one client: those that give it items, and those that clean up.

    Args:
        target: that of the methods.
        replies: takes the items.

    Attributes:
        giving: those whose end the client has not been told, by the numbers of their calls.
    """

    def __init__(self, target: Target, replies: Replies) -> None:
        self._target = target
        self._replies = replies
        self._session = replies.session
        self._sender = replies.sender
        self.giving: dict[int, ServedGenerator] = {}
        self._unclosed: set[ServedGenerator] = set()  # these, and those that clean up
        self._closed: asyncio.Future[None] | None = None  # of who waits until there are none

    @property
    def jobs(self) -> list[Job]:
        """The steps that are under way."""
        return [generator.job for generator in self._unclosed if generator.job is not None]

    def begin(self, number: int, generator: Any, record: CallRecord) -> None:
        """Answer a call with the generator that its method has returned."""
        try:
            reply = self._session.stream(number)
        except Exception as exc:  # noqa: BLE001  (it cannot be served to this client)
            close = getattr(generator, "close", None)  # asynchronous ones have none
            if close is not None:
                close()
            record.end(exc)
            self._replies.unsendable(number, exc, record.text)
            return
        record.generates()
        served = ServedGenerator(number, generator, self._target, self, record)
        self.giving[number] = served
        self._unclosed.add(served)
        self._sender.put(reply)

    async def wait_closed(self, timeout: float) -> None:
        """Wait until nothing of them runs, at most so many seconds."""
        if self._unclosed:
            self._closed = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._closed}, timeout=timeout)

    # What a generator calls.

    def credit(self, number: int) -> int:
        """Tell how many items the client has asked for and not been given."""
        return self._session.credit[number]

    @property
    def writable(self) -> bool:
        """Whether an item can be sent."""
        return self._replies.open and not self._sender.backpressured

    def send_item(self, number: int, outcome: list[Any], record: CallRecord) -> None:
        """Send what a step has given; the list is emptied."""
        try:
            self._sender.put(self._session.item(number, outcome.pop()))
            record.item_sent()
        except Exception as exc:  # noqa: BLE001  (whatever it is, the client is told)
            record.end(exc)
            generator = self.giving.pop(number)
            self._replies.unsendable(number, exc, record.text)
            generator.cancel()
        self._replies.on_put()

    def ended(self, number: int, exc: BaseException | None, record: CallRecord) -> None:
        """Tell the client of the end, unless it has been told; None if there are no more items."""
        if self.giving.pop(number, None) is None:
            return
        if exc is not None:
            self._replies.fail(number, exc, record.text)
        elif self._replies.open:
            self._sender.put(self._session.end_stream(number))
        self._replies.on_put()

    def failed(self, outcome: Outcome) -> None:
        """Log what a generator has raised after its end."""
        self._replies.log_ended(outcome)

    def closed(self, generator: ServedGenerator) -> None:
        """Forget a generator of which nothing runs any more."""
        self._unclosed.discard(generator)
        self._session.stream_closed()
        if not self._unclosed and self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


class ServedGenerator:
    """Runs a generator, one item for each that the client has asked for.

    The lock is held while a step runs, never between two of them: a slow reader stalls the
    generator and nothing else.

    Args:
        number: of the call that has returned it.
        generator: a generator, or an asynchronous one; or what a client gives of another server.
        target: that of the method; its lock is held by each step.
        table: takes what comes of them.
        record: of the call.

    Attributes:
        job: the step that runs, or waits for the lock; None between two of them.
    """

    def __init__(
        self,
        number: int,
        generator: Generator[Any, Any, Any] | AsyncGenerator[Any, Any] | RemoteItems,
        target: Target,
        table: GeneratorTable,
        record: CallRecord,
    ) -> None:
        self.job: Job | None = None
        self._number = number
        self._generator: Any = generator
        self._plain = hasattr(generator, "__next__")  # and not asynchronous
        self._relayed = isinstance(generator, RemoteItems)
        self._lock = target.lock
        self._worker: Worker | None = None  # that runs its steps; the loop's thread does otherwise
        if self._plain and target.thread_lock is not None:
            self._lock, self._worker = target.thread_lock, target.worker()
        self._table = table
        self._record = record
        self._ended = False  # the client has been told
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
        if self.job is not None or self._ended:
            return
        if not self._table.credit(self._number):
            if self._last:
                self.cancel()
        elif self._table.writable:
            step = self._generator.__next__ if self._plain else self._anext
            self.job = self._new_job(step, self._stepped, self._fail)
            self.job.start()

    def _new_job(
        self,
        function: Callable[[], Any],
        done: Callable[[Outcome], None],
        late: Callable[[Outcome], None] | None = None,
    ) -> Job:
        return Job(function, self._lock, self._worker, done, late, self._record)

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
        if self._watchdog is not None:
            self._watchdog.cancel()
        if not self._ended:
            self._ended = True
            self._record.end(exc)
            self._table.ended(self._number, exc, self._record)

    def _stepped(self, outcome: Outcome) -> None:
        self.job = None
        if self._ended:
            self._fail(outcome)
            self._close()
        elif isinstance(outcome, list):
            if self._last:
                self._watch()
            self._table.send_item(self._number, outcome, self._record)
            self.resume_soon()
        else:
            stop = StopIteration if self._plain else StopAsyncIteration
            self._end(None if isinstance(outcome, stop) else outcome)
            self._table.closed(self)

    # What these two call must not be called before it is awaited: Python 3.13 damages a generator
    # of which a step, or the end, is dropped before it has begun.

    async def _anext(self) -> Any:
        return await self._generator.__anext__()

    async def _aclose(self) -> None:
        await self._generator.aclose()

    def _close(self) -> None:
        """Have the generator clean up, with the lock."""
        close = self._generator.close if self._plain else self._aclose
        self.job = self._new_job(close, self._cleaned_up)
        self.job.start()

    def _cleaned_up(self, outcome: Outcome) -> None:
        self.job = None
        self._fail(outcome)
        self._table.closed(self)

    def _fail(self, outcome: Outcome) -> None:
        """Tell of what it raised after it was ended, unless that is how one ends, or is ended."""
        if isinstance(outcome, BaseException) and not isinstance(outcome, _ENDS):
            self._table.failed(outcome)
