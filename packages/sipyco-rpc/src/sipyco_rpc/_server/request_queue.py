"""The requests of one client: handled in order, a few at a time, when they can be. No bytes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sipyco_rpc.limits import MAX_REQUEST_BACKLOG, TIME_SLICE
from sipyco_rpc.wire.lines import LineTooLong

if TYPE_CHECKING:
    from sipyco_rpc.net.sender import Sender
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.server_session import ServerSession

_OVERHEAD: Final = 256  # bytes that a request takes beside its content


def _size_of(message: Message) -> int:
    """Tell how much memory a request takes, in bytes."""
    _, text, buffers = message
    size = 0 if isinstance(text, LineTooLong) else len(text)
    return _OVERHEAD + size + sum(map(len, buffers))


class RequestQueue:
    """Holds the requests that have to wait.

    A request waits for those before it where the session says so, and while the client does not
    take the replies. What waits is bounded: beyond that nothing more is read.

    Args:
        session: tells whether the next request has to wait.
        sender: tells whether the client takes the replies.
        transport: is told when to read.
        handle: does what a request asks for.
        resume: is called in a later pass of the loop if `schedule` was.

    Attributes:
        waiting: the requests, the oldest first.
    """

    def __init__(
        self,
        session: ServerSession,
        sender: Sender,
        transport: asyncio.Transport,
        handle: Callable[[Message], None],
        resume: Callable[[], None],
    ) -> None:
        self.waiting: deque[Message] = deque()
        self._session = session
        self._sender = sender
        self._transport = transport
        self._handle = handle
        self._resume = resume
        self._size = 0
        self._reading = True
        self._scheduled = False  # `resume` is
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether there is a request that waits, and need not wait any more."""
        return bool(self.waiting) and not self._stalled

    @property
    def _stalled(self) -> bool:
        return self._session.busy or self._sender.backpressured

    def process(self, messages: list[Message]) -> None:
        """Handle what has come, as far as that can be done now; the rest waits."""
        deadline = time.monotonic() + TIME_SLICE
        for message in messages:
            if self._closed:
                return
            if not (self.waiting or self._stalled or time.monotonic() > deadline) or (
                # Those that wait may wait for the end of this one.
                self._session.under_way(message[0])
            ):
                self._handle(message)
            else:
                self.waiting.append(message)
                self._size += _size_of(message)
        if self._reading and self._size > MAX_REQUEST_BACKLOG:
            self._reading = False
            self._transport.pause_reading()

    def process_waiting(self) -> None:
        """Handle what had to wait, as far as that can be done now."""
        deadline = time.monotonic() + TIME_SLICE
        while self.ready and time.monotonic() < deadline:
            message = self.waiting.popleft()
            self._size -= _size_of(message)
            self._handle(message)

    def resume_reading(self) -> None:
        """Have more read, if there is room for it."""
        if not self._reading and not self._closed and self._size <= MAX_REQUEST_BACKLOG:
            self._reading = True
            self._transport.resume_reading()

    def schedule(self) -> None:
        """Have `resume` called in the next pass of the loop."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run_scheduled)

    def close(self) -> None:
        """Drop what waits, and all that comes."""
        self._closed = True
        self.waiting.clear()

    def _run_scheduled(self) -> None:
        self._scheduled = False
        self._resume()
