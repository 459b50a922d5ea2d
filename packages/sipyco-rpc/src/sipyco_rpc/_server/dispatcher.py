"""What one client has asked for, from its request to the reply. No transport here."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sipyco_rpc._server.generator import ServedGenerator
from sipyco_rpc._server.job import (
    NEVER_AWAITABLE,
    Job,
    is_awaitable,
    is_generator,
    is_plain_generator,
)
from sipyco_rpc._server.listing import (
    bound_method,
    describe,
    describe_relay,
    is_relay,
    make_encodable,
)
from sipyco_rpc.support.quoting import call_text, short_message
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.server_session import CallRequest, CancelRequest, ListRequest, NextRequest
from sipyco_rpc.wire.session import ProtocolError

if TYPE_CHECKING:
    from sipyco_rpc._server.server import Server
    from sipyco_rpc._server.worker import Outcome, Worker
    from sipyco_rpc.net.sender import Sender
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.server_session import ServerSession
    from sipyco_rpc.wire.session import Body

logger = logging.getLogger("sipyco.pc_rpc")

_MAX_CALLS: Final = 1000  # of one client that are under way at a time
_MAX_STREAMS: Final = 1000  # the same of generators, those that are being ended among them
_OVERHEAD: Final = 256  # bytes that a request takes beside its content

_DEBUG: Final = logging.DEBUG

_ENDED: Final = "a generator of `%s` that was ended"
_NEEDS_FRAMES: Final = (
    "the method returns a generator; its items can only be sent to clients that select `frames`"
)


def size_of(message: Message) -> int:
    """Tell how much memory a request takes, in bytes."""
    _, text, buffers = message
    size = 0 if isinstance(text, LineTooLong) else len(text)
    return _OVERHEAD + size + sum(map(len, buffers))


class CallDispatcher:
    """The calls of one client.

    A plain method that nobody contends for is called, and answered, right where its request is
    dealt with. For others there is a `Job`, or a `ServedGenerator`, until they are answered.

    Args:
        server: has the rules for calls.
        session: makes replies of values.
        sender: takes the replies.
        name: of the target that the client has selected.
        target: the object itself.
        replied: is called when a reply, or an item, has been put that nobody was about to send.
        terminate: is called when the server is to stop.

    Attributes:
        open: whether replies can be sent.
        jobs: what is under way, by the numbers of the requests.
    """

    def __init__(
        self,
        server: Server,
        session: ServerSession,
        sender: Sender,
        name: str,
        target: Any,
        replied: Callable[[], None],
        terminate: Callable[[], None],
    ) -> None:
        self.open = True
        self._left = False  # the client sends nothing more: it may be there no longer
        self._server = server
        self._session = session
        self._framed = session.framed
        self._sender = sender
        self._name = name
        self._target = target
        self._replied = replied
        self._terminate = terminate
        self._relayed = is_relay(target)
        self._allowed = server._allowed_methods.get(name)
        self._known: set[str] = set()  # the methods that were looked at before
        # Whose turn it is, in the loop and in the thread of the target: None if there are none.
        self._turns, self._thread_turns = server._turns_of(name)
        # What is under way, by the numbers of the requests.
        self.jobs: dict[int, Job] = {}
        self._streams: dict[int, ServedGenerator] = {}
        self._size = 0  # how much memory the requests of jobs take
        self._max_size = 2 * server._max_line
        self._unfinished: set[ServedGenerator] = set()  # those that were ended among them
        self._finished: asyncio.Future[None] | None = None  # of who waits until there are none
        self._process = os.getpid()

    @property
    def idle(self) -> bool:
        """Whether everything has been answered."""
        return not self.jobs and not self._streams

    @property
    def busy(self) -> bool:
        """Whether the next request has to wait."""
        if not self.jobs:
            return False
        return not self._framed or len(self.jobs) >= _MAX_CALLS or self._size > self._max_size

    def under_way(self, number: int) -> bool:
        """Tell whether a number is that of a call that has not been answered."""
        return number in self.jobs or number in self._streams

    def handle(self, message: Message) -> None:
        """Deal with a request.

        Raises:
            ProtocolError: the connection cannot go on.
        """
        number = message[0]
        try:
            request = self._session.receive_request(message)
            if type(request) is CallRequest:
                self._call(message, request)
            elif isinstance(request, ListRequest):
                if not number or self.under_way(number):
                    self._refuse_number(number)
                self._list(message)
            elif isinstance(request, NextRequest):
                if number in self._streams:
                    self._streams[number].allow(request.items)
            elif isinstance(request, CancelRequest):
                self._cancel(number)
        except ProtocolError:
            raise
        except Exception as exc:
            if self.under_way(number):
                raise ProtocolError(
                    f"a second request with the number {number}: {short_message(exc)}"
                ) from exc
            self._send(number, self._session.failure(exc))

    def go_on(self) -> None:
        """Let generators go on that had to wait until something can be sent."""
        for stream in list(self._streams.values()):
            stream.go_on()

    def allow_no_more(self) -> None:
        """End generators when they have given what was asked for: no more requests will come."""
        for stream in list(self._streams.values()):
            stream.allow_no_more()

    def drop_waiting(self) -> None:
        """Drop the calls whose turn has not come: nobody waits for them any more, it seems."""
        self._left = True
        for job in list(self.jobs.values()):
            job.drop_unless_begun()

    def close(self, *, cancel: bool = False) -> None:
        """Answer nothing any more; end what gives items, and what waits for its turn.

        Args:
            cancel: end the calls that are under way as well.
        """
        self.open = False
        self.drop_waiting()
        if cancel:
            for job in list(self.jobs.values()):
                job.cancel()
        for stream in list(self._streams.values()):
            stream.cancel()

    async def finish(self, deadline: float) -> None:
        """Wait for the coroutines that are under way; and a while for generators in a thread.

        The step that runs there cannot be cancelled, and they clean up after it.

        Args:
            deadline: the loop's time until which to wait for such generators.
        """
        loop = asyncio.get_running_loop()
        while True:
            jobs = [*self.jobs.values(), *(stream.job for stream in self._unfinished)]
            tasks = {job.task for job in jobs if job is not None and job.task is not None}
            # Those that Ctrl-C has ended have told nobody.
            tasks = {task for task in tasks if not task.done()}
            if not tasks:
                break
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # what they do when they are done
        if self._unfinished:
            self._finished = loop.create_future()
            await asyncio.wait({self._finished}, timeout=max(0, deadline - loop.time()))

    def _stream_failed(self, exc: BaseException) -> None:
        if not self._exits(exc):
            self._server._log_limiter.exception_line(logger, _ENDED % self._name, exc)

    def _stream_finished(self, stream: ServedGenerator) -> None:
        self._unfinished.discard(stream)
        if not self._unfinished and self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _list(self, message: Message) -> None:
        """Tell of the signatures and docstrings."""
        target, terminate = self._target, self._server.builtin_terminate
        if not self._relayed:
            self._send_listing(message[0], describe(target, terminate, self._allowed))
            return
        in_thread = self._thread_turns is not None and not inspect.iscoroutinefunction(
            target.get_rpc_method_list
        )
        ask = partial(describe_relay, target, terminate, self._allowed)
        self._begin(message, ask, self._worker() if in_thread else None, listing=True).start()

    def _send_listing(self, number: int, listing: dict[str, Any]) -> None:
        listing = make_encodable(listing, self._session.encodable)
        self._send(number, self._session.result(listing))

    def _call(self, message: Message, request: CallRequest) -> None:
        number = message[0]
        if not number or number in self.jobs or number in self._streams:
            self._refuse_number(number)
        name, args, kwargs = request
        if logger.isEnabledFor(_DEBUG):
            logger.debug("calling %s", call_text(name, args, kwargs))
        if name == "terminate" and self._server.builtin_terminate:
            self._sender.put(self._session.reply(number, None))
            self._terminate()
            return
        method = getattr(self._target, name, None) if name in self._known else None
        if not callable(method):
            method = bound_method(self._target, name, self._allowed)
            if not self._relayed:  # where another connection may have other methods
                self._known.add(name)
        turns = self._turns
        if self._thread_turns is not None and not inspect.iscoroutinefunction(method):
            self._begin(message, partial(method, *args, **kwargs), self._worker()).start()
            return
        if turns is not None and turns.taken:
            self._begin(message, partial(method, *args, **kwargs)).start()
            return
        # What nobody contends for needs no turn: nothing else runs until it has returned.
        try:
            outcome = [method(*args, **kwargs)]
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001  (whatever it is, the client is told)
            self._reply_exception(number, exc)
            return
        if type(outcome[0]) in NEVER_AWAITABLE:
            self._sender.put(self._session.reply(number, outcome.pop()))
        elif is_awaitable(outcome[0]):
            self._begin(message, method).await_result(outcome.pop())
        else:
            self._reply(number, outcome)

    def _worker(self) -> Worker:
        return self._server._worker(self._name)

    def _refuse_number(self, number: int) -> None:
        if number:
            raise ProtocolError(f"call number {number} is under way already")
        raise ProtocolError("the number of a call is 1 or more, got 0")

    def _begin(
        self,
        message: Message,
        function: Callable[[], Any],
        worker: Worker | None = None,
        listing: bool = False,
    ) -> Job:
        number, size = message[0], size_of(message)
        self._size += size
        turns = self._turns if worker is None else self._thread_turns
        done = partial(self._done, number, size, listing)
        if listing:
            turns = None  # it never waits for calls
        job = self.jobs[number] = Job(function, turns, worker, done, self._late)
        return job

    def _done(self, number: int, size: int, listing: bool, outcome: Outcome) -> None:
        """Answer a call that was under way."""
        del self.jobs[number]
        self._size -= size
        if not isinstance(outcome, list):
            self._reply_exception(number, outcome)
        elif not listing:
            self._reply(number, outcome)
        elif self.open:
            try:
                self._send_listing(number, outcome.pop())
            except Exception as exc:  # noqa: BLE001  (the other server may have said anything)
                self._send(number, self._session.failure(exc))
        self._replied()

    def _cancel(self, number: int) -> None:
        if number in self.jobs:
            self.jobs[number].cancel()
        elif number in self._streams:
            self._streams[number].cancel()

    def _reply(self, number: int, outcome: list[Any]) -> None:
        """Send what a method returned; the list is emptied, so that nobody else holds it."""
        if not self.open:
            return
        if is_generator(outcome[0]):
            self._begin_stream(number, outcome.pop())
            return
        try:
            self._send(number, self._session.result(outcome.pop()))
        except Exception as exc:  # noqa: BLE001  (whatever it is, the client is told)
            self._send(number, self._session.failure(exc))

    def _late(self, outcome: Outcome) -> None:
        """Deal with what came of a call that was cancelled."""
        if not self._exits(outcome):
            self._log(outcome)

    def _log(self, outcome: Outcome) -> None:
        """Say in the log what the client is not told of, or perhaps not: it may have gone."""
        what = f"a method of `{self._name}` that nobody may be waiting for"
        self._server._log_limiter.exception_line(logger, what, outcome)

    def _exits(self, outcome: Outcome) -> bool:
        """Have the server stop if this is the `sys.exit` of a method; tell whether it is."""
        if not isinstance(outcome, SystemExit) or not self._server.builtin_terminate:
            return False
        logger.info("stopping: a method of `%s` raised SystemExit", self._name)
        self.open = False
        self._server.exit_code = outcome.code
        self._terminate()
        return True

    def _reply_exception(self, number: int, exc: BaseException) -> None:
        if os.getpid() != self._process:
            # The method has forked, and this is how its child ends.
            if isinstance(exc, SystemExit):
                raise exc
            logger.error("a method of `%s` failed in a child of it", self._name, exc_info=exc)
        if self._exits(exc):
            return
        if self._left:
            self._log(exc)
        if not self.open:
            return
        if isinstance(exc, StopIteration):
            # What awaiting a method that raises it has always given.
            stopped, exc = exc, RuntimeError("coroutine raised StopIteration")
            exc.__cause__ = stopped
            exc.__traceback__ = stopped.__traceback__  # for clients that know of no causes
        self._send(number, self._session.failure(exc))

    def _send(self, number: int, body: Body) -> None:
        self._sender.put(self._session.pack(number, body))

    def _begin_stream(self, number: int, generator: Any) -> None:
        error: Exception | None = None
        if not self._session.framed:
            error = TypeError(_NEEDS_FRAMES)
        elif len(self._unfinished) >= _MAX_STREAMS:
            error = RuntimeError(f"{_MAX_STREAMS} generators of this client are under way already")
        if error is not None:
            close = getattr(generator, "close", None)  # asynchronous ones have none
            if close is not None:
                close()
            self._send(number, self._session.failure(error))
            return
        in_thread = self._thread_turns is not None and is_plain_generator(generator)
        stream = ServedGenerator(
            generator,
            self._thread_turns if in_thread else self._turns,
            self._worker() if in_thread else None,
            lambda: self.open and not self._sender.backpressured,
            partial(self._send_item, number),
            partial(self._end_stream, number),
            self._stream_failed,
            self._stream_finished,
        )
        self._streams[number] = stream
        self._unfinished.add(stream)
        self._send(number, self._session.stream())

    def _send_item(self, number: int, outcome: list[Any]) -> None:
        try:
            self._send(number, self._session.item(outcome.pop()))
        except Exception as exc:  # noqa: BLE001  (whatever it is, the client is told)
            stream = self._streams.pop(number)
            self._send(number, self._session.failure(exc))
            stream.cancel()
        self._replied()

    def _end_stream(self, number: int, exc: BaseException | None) -> None:
        if self._streams.pop(number, None) is None:
            return
        if exc is not None:
            self._reply_exception(number, exc)
        elif self.open:
            self._send(number, self._session.result(None))
        self._replied()
