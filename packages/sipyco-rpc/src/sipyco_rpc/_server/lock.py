"""A lock that is handed from one call to the next, in the order in which they came. No bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class CallLock:
    """A lock whose holder need not be a task: it costs nothing where nobody contends for it.

    Attributes:
        locked: whether a call holds it.
    """

    def __init__(self) -> None:
        self.locked = False
        self._waiting: deque[Callable[[], object]] = deque()

    def acquire(self, begin: Callable[[], object]) -> None:
        """Have a function called, at once or later, with the lock held; then `release` it."""
        if self.locked:
            self._waiting.append(begin)
        else:
            self.locked = True
            begin()

    def cancel(self, begin: Callable[[], object]) -> bool:
        """Drop a function that waits; tell whether it did: if not, it is called all the same."""
        try:
            self._waiting.remove(begin)
        except ValueError:
            return False
        return True

    def release(self) -> None:
        """Give the lock to the next one, in the next pass of the loop."""
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._waiting.popleft())
        else:
            self.locked = False
