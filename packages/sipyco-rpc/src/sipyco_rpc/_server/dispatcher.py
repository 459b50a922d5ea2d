"""The calls of one client, from their requests to the replies. No transport here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sipyco_rpc._server.call_record import CallRecord
from sipyco_rpc._server.generator import GeneratorTable
from sipyco_rpc._server.job import NEVER_AWAITABLE, Job, is_awaitable, is_generator
from sipyco_rpc._server.listing import make_encodable
from sipyco_rpc._server.misfits import note_signature
from sipyco_rpc._server.property_access import property_access
from sipyco_rpc.support.quoting import call_text
from sipyco_rpc.wire.requests import (
    CallRequest,
    GetPropertyRequest,
    ListRequest,
    NextRequest,
    PingRequest,
    SetPropertyRequest,
    StatusRequest,
)
from sipyco_rpc.wire.session import ProtocolError

if TYPE_CHECKING:
    from sipyco_rpc._server.lock import CallLock
    from sipyco_rpc._server.replies import Replies
    from sipyco_rpc._server.target import Target
    from sipyco_rpc._server.worker import Outcome, Worker
    from sipyco_rpc.wire.messages import Message

logger = logging.getLogger("sipyco.pc_rpc")

_DEBUG: Final = logging.DEBUG


def _listing_text() -> str:
    return "get_rpc_method_list()"


class CallDispatcher:
    """Calls the methods of a target for one client, and answers.

    A plain method is called, and answered, right where its request is handled, if nobody holds
    the lock. For others there is a `Job`, or a `ServedGenerator`, until they are answered.

    Args:
        target: what the client has selected.
        replies: tells the client what comes of its calls.
        status: tells what the server knows of itself.

    Attributes:
        jobs: what is under way, by the numbers of the calls.
        generators: what gives items.
        requests: how many there were.
    """

    def __init__(
        self, target: Target, replies: Replies, status: Callable[[], dict[str, Any]]
    ) -> None:
        self.requests = 0
        self.jobs: dict[int, Job] = {}
        self.generators = GeneratorTable(target, replies)
        self._target = target
        self._status = status
        self.replies = replies
        self._session = replies.session
        self._sender = replies.sender

    @property
    def target_name(self) -> str:
        """What the client has selected."""
        return self._target.name

    @property
    def idle(self) -> bool:
        """Whether everything has been answered."""
        return not self.jobs and not self.generators.giving

    def handle(self, message: Message) -> None:
        """Do what a request asks for.

        Raises:
            ProtocolError: the connection cannot go on.
        """
        number = message[0]
        self.requests += 1
        try:
            request = self._session.receive_request(message)
            if type(request) is CallRequest:
                self._call(number, request)
            elif type(request) is ListRequest:
                self._list(number)
            elif isinstance(request, (GetPropertyRequest, SetPropertyRequest)):
                access = property_access(self._target, request)
                self._begin(number, *access, self._record(request)).start()
            elif type(request) is PingRequest:
                self._sender.put(self._session.reply(number, None))
            elif type(request) is StatusRequest:
                self._sender.put(self._session.reply(number, self._status()))
            elif (generator := self.generators.giving.get(number)) is not None:
                if type(request) is NextRequest:
                    generator.resume_soon()
                else:
                    generator.cancel()
            elif type(request) is not NextRequest and number in self.jobs:  # it may have ended
                self.jobs[number].cancel()
        except ProtocolError:
            raise
        except Exception as exc:  # noqa: BLE001  (whatever it is, the client is told)
            self.replies.refuse(number, exc)

    def drop_waiting(self) -> None:
        """Drop the calls that wait for the lock: nobody waits for them any more, it seems."""
        self.replies.client_left = True
        for job in list(self.jobs.values()):
            job.drop_unless_begun()

    def end_after_last(self) -> None:
        """End generators when they have given what was asked for: no more requests will come."""
        for generator in list(self.generators.giving.values()):
            generator.end_after_last()

    def close(self, *, cancel: bool = False) -> None:
        """Answer nothing any more; end what gives items, and what waits for the lock.

        Args:
            cancel: end the calls that are under way as well.
        """
        self.replies.open = False
        self.drop_waiting()
        if cancel:
            for job in list(self.jobs.values()):
                job.cancel()
        for generator in list(self.generators.giving.values()):
            generator.cancel()

    async def finish(self, deadline: float) -> None:
        """Wait for the coroutines that are under way; and a while for generators in a thread.

        The step that runs there cannot be cancelled, and they clean up after it.

        Args:
            deadline: the loop's time until which to wait for such generators.
        """
        while True:
            jobs = [*self.jobs.values(), *self.generators.jobs]
            # Those that Ctrl-C has ended have told nobody.
            tasks = {job.task for job in jobs if job.task is not None and not job.task.done()}
            if not tasks:
                break
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # what they do when they are done
        await self.generators.wait_closed(max(0, deadline - asyncio.get_running_loop().time()))

    def _call(self, number: int, request: CallRequest) -> None:
        name, args, kwargs = request
        if logger.isEnabledFor(_DEBUG):
            logger.debug("calling %s", call_text(name, args, kwargs))
        target = self._target
        if name == "terminate" and target.terminate:
            self._sender.put(self._session.reply(number, None))
            target.terminate()
            self.replies.end()
            return
        method = target.method(name)
        lock = target.lock
        if target.thread_lock is not None and target.runs_in_thread(method):
            call = partial(method, *args, **kwargs)
            record = self._record(request)
            self._begin(number, call, target.thread_lock, target.worker(), record).start()
            return
        if lock is not None and lock.locked:
            call = partial(method, *args, **kwargs)
            self._begin(number, call, lock, None, self._record(request)).start()
            return
        # What nobody contends for needs no lock: nothing else runs until it has returned.
        counts = target.calls[name]
        started = perf_counter()
        try:
            # Without keywords, as nearly always, no dictionary has to be made for them.
            outcome = [method(*args, **kwargs) if kwargs else method(*args)]
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001  (whatever it is, the client is told)
            counts.ran(perf_counter() - started)
            counts.calls += 1
            counts.errors += 1
            note_signature(name, partial(method, *args, **kwargs), exc)
            self.replies.fail(number, exc, partial(call_text, *request))
            return
        if type(outcome[0]) in NEVER_AWAITABLE:
            seconds = perf_counter() - started
            counts.seconds += seconds
            if seconds > counts.longest:
                counts.longest = seconds
            counts.calls += 1
            try:
                self._sender.put(self._session.reply(number, outcome.pop()))
            except Exception as exc:  # noqa: BLE001  (whatever it is, the client is told)
                counts.errors += 1
                self.replies.unsendable(number, exc, partial(call_text, *request))
            return
        record = self._record(request, started)
        if is_awaitable(outcome[0]):
            self._begin(number, method, lock, None, record).await_result(outcome.pop())
        else:
            record.pause()
            self._reply(number, outcome, record)

    def _list(self, number: int) -> None:
        """Tell of the signatures and docstrings; that never waits for calls."""
        target = self._target
        worker = target.worker() if target.lists_in_thread() else None
        listing = partial(target.listing, self._session.has_properties)
        self._begin(number, listing, None, worker).start()

    def _record(
        self,
        request: CallRequest | GetPropertyRequest | SetPropertyRequest,
        running_since: float | None = None,
    ) -> CallRecord:
        return CallRecord(self._target.calls, request, self.replies.client, running_since)

    def _begin(
        self,
        number: int,
        function: Callable[[], Any],
        lock: CallLock | None,
        worker: Worker | None,
        record: CallRecord | None = None,
    ) -> Job:
        done = partial(self._done, number, record)
        late = self.replies.log_late
        job = self.jobs[number] = Job(function, lock, worker, done, late, record)
        return job

    def _done(self, number: int, record: CallRecord | None, outcome: Outcome) -> None:
        """Answer a call, or listing, that was under way."""
        job = self.jobs.pop(number)
        if isinstance(outcome, list):
            if record is None:
                self._reply_listing(number, outcome.pop())
            else:
                self._reply(number, outcome, record)
        else:
            call = _listing_text
            if record is not None:
                call = record.text
                record.end(outcome)
                note_signature(record.name, job.function, outcome)
            self.replies.fail(number, outcome, call)
        self.replies.on_put()

    def _reply(self, number: int, outcome: list[Any], record: CallRecord) -> None:
        """Send what a method returned; the list is emptied, so that nobody else holds it."""
        if record.is_call and is_generator(outcome[0]) and self.replies.open:
            self.generators.begin(number, outcome.pop(), record)
            return
        try:
            if self.replies.open:
                self._sender.put(self._session.reply(number, outcome.pop()))
        except Exception as exc:  # noqa: BLE001  (whatever it is, the client is told)
            record.end(exc)
            self.replies.unsendable(number, exc, record.text)
        else:
            record.end()

    def _reply_listing(self, number: int, listing: dict[str, Any]) -> None:
        if not self.replies.open:
            return
        try:
            encodable = make_encodable(listing, self._session.encodable)
            self._sender.put(self._session.reply(number, encodable))
        except Exception as exc:  # noqa: BLE001  (the other server of a relay may say anything)
            self.replies.unsendable(number, exc, _listing_text)
