"""What a generator of the server gave, and how much more it may give. No sockets here."""

from __future__ import annotations

from collections import deque

from sipyco_rpc.limits import CREDIT_BYTES, MAX_CREDIT, MIN_CREDIT
from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.lines import LineTooLong

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from sipyco_rpc.wire.messages import Message


class ItemQueue(deque["Message"]):
    """The messages of one generator that have come and nobody has taken.

    The server may send few large items, many small ones: about a megabyte of them, at least two.

    Attributes:
        credit: how many more items the server may send; below 0 once its last message has come,
            for which it needs none.
    """

    credit = 0
    _window = MIN_CREDIT  # how many items may be on their way or wait here
    _largest = 0  # of the items so far, in bytes

    def put(self, message: Message) -> None:
        """Add a message that has come.

        Raises:
            FrameError: the server was to send no more.
        """
        if self.credit < 0:
            raise FrameError(f"more items of call {message[0]} than it was asked for")
        self.credit -= 1
        self.append(message)

    def due(self) -> int:
        """Tell how many more items to allow now; 0 for none."""
        allowed = self.credit + len(self)
        return self._window - allowed if allowed <= self._window // 2 else 0

    def take(self) -> Message:
        """Take the message that came first."""
        message = self.popleft()
        _, text, buffers = message
        size = text.size if isinstance(text, LineTooLong) else len(text)
        self._largest = max(size + sum(map(len, buffers)), self._largest)
        # It grows by steps: the next may be larger.
        most = min(MAX_CREDIT, 2 * self._window, CREDIT_BYTES // max(1, self._largest))
        self._window = max(MIN_CREDIT, most)
        return message
