"""Where what a generator of the server gives waits for the task that iterates. No bytes here."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from sipyco_rpc.wire.frames import FrameError

if TYPE_CHECKING:
    from sipyco_rpc.wire.messages import Message


class Inbox:
    """What a generator gave and nobody has taken yet.

    Attributes:
        allowed: how many more items may come.
    """

    def __init__(self) -> None:
        self.allowed = 0
        self._messages: deque[Message] = deque()
        self._closed = False
        self._error: Exception | None = None
        self._arrived = asyncio.Event()

    @property
    def failed(self) -> bool:
        """Whether nothing will come any more, for a reason."""
        return self._error is not None

    def put(self, message: Message) -> None:
        """Add a message.

        Raises:
            FrameError: it is more than was allowed, and the message after the last item.
        """
        self.allowed -= 1
        if self.allowed < -1:
            raise FrameError("more items of a generator than were asked for")
        self._messages.append(message)
        self._arrived.set()

    def close(self) -> None:
        """Note that nobody wants any more; who waits gets nothing."""
        self._closed = True
        self._arrived.set()

    def fail(self, error: Exception) -> None:
        """Note that nothing will come any more."""
        self._error = error
        self._arrived.set()

    def abandon(self, error: Exception) -> None:
        """Note that nothing will come, in a process that does not have the loop of who waits."""
        self._messages.clear()
        self._error = error

    async def take(self) -> Message | None:
        """Wait for a message; the error once nothing comes any more. None once it is closed."""
        while not self._messages or self._closed:
            if self._closed:
                return None
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        return self._messages.popleft()
