"""Whose turn it is: one call at a time, in the order in which they came. No bytes here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class CallLock:
    """A lock whose holder need not be a task: it costs nothing where nobody contends for it.

    Attributes:
        taken: whether it is somebody's turn.
    """

    def __init__(self) -> None:
        self.taken = False
        self._waiting: deque[Callable[[], object]] = deque()

    def take(self) -> bool:
        """Take the turn if it is free; tell whether that is so."""
        if self.taken:
            return False
        self.taken = True
        return True

    def wait(self, begin: Callable[[], object]) -> None:
        """Have a function called when its turn has come; it must `release` it in the end."""
        if self.take():
            begin()
        else:
            self._waiting.append(begin)

    def forget(self, begin: Callable[[], object]) -> bool:
        """Drop a function that waits; tell whether it did: if not, it is called all the same."""
        try:
            self._waiting.remove(begin)
        except ValueError:
            return False
        return True

    def release(self) -> None:
        """Give the turn to the next one, in the next pass of the loop."""
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._waiting.popleft())
        else:
            self.taken = False
