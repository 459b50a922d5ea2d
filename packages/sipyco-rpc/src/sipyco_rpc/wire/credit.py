"""How many items a generator of the server may give before they are asked for. No sockets here."""

from __future__ import annotations

from sipyco_rpc.support.memory import MIB
from sipyco_rpc.wire.lines import LineTooLong

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final

    from sipyco_rpc.wire.messages import Message

_FEWEST: Final = 2  # items: the server makes one while the one before is looked at
_MOST: Final = 16  # items; more would not make the requests for them rarer in a way that counts
_BYTES: Final = MIB  # of items that may wait here, where they are small enough for more than two


class Credit:
    """Counts the items that the server may still send, and tells how many more to allow.

    Few large items, many small ones: about a megabyte of them, at least two.
    """

    def __init__(self) -> None:
        self._allowed = 0
        self._window = _FEWEST
        self._largest = 0  # of the items so far, in bytes

    def due(self) -> int:
        """Tell how many more items to allow now; 0 for none."""
        if self._allowed > self._window // 2:
            return 0
        return self._window - self._allowed

    def allow(self, count: int) -> None:
        """Note that so many more items were allowed."""
        self._allowed += count

    def take(self, message: Message) -> None:
        """Note that an item has been taken."""
        self._allowed -= 1
        _, text, buffers = message
        size = text.size if isinstance(text, LineTooLong) else len(text)
        size += sum(map(len, buffers))
        self._largest = max(size, self._largest)
        # It grows by steps: the next may be larger.
        most = min(_MOST, 2 * self._window, _BYTES // max(1, self._largest))
        self._window = max(_FEWEST, most)
