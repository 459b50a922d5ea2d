"""Whose turn it is among the threads that use one connection. No sockets here."""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final

_TIMEOUT: Final = 0.05  # seconds until a thread no longer waits for those before it


class CallLock:
    """One thread at a time, in the order in which they came.

    Ctrl-C may strike at any call of a function, so the turn is given back by an assignment to
    `owner`, which nothing can interrupt. `wake` only spares others from waiting longer. There are
    no loops in the `try`, as CPython 3.12 to 3.14 leave some of their jumps out of it:

        try:
            turns.take(me, deadline)
            ...
        finally:
            if turns.owner == me:
                turns.owner = None
            if turns.waiting:
                turns.wake()

    Attributes:
        owner: the thread whose turn it is, or None.
        guard: is held while `owner` is set. The garbage collector and signal handlers may come
            back to it in the same thread: as only `owner` decides, that does no harm.
        waiting: a lock for each of the threads that are, the one that came first before others;
            releasing it wakes the thread. Ctrl-C could leave the lock inside an `Event` taken.
    """

    def __init__(self) -> None:
        self.owner: int | None = None
        self.guard = threading.RLock()
        self.waiting: list[threading.Lock] = []

    def take(self, me: int, deadline: float | None) -> bool:
        """Wait until it is nobody's turn; tell whether it is ours in time.

        Args:
            me: this thread.
            deadline: by `time.monotonic`, or None.
        """
        with self.guard:
            if self.owner is None and not self.waiting:
                self.owner = me
                return True
        freed, waiting = threading.Lock(), self.waiting
        freed.acquire()
        try:
            waiting.append(freed)
            return self._wait(me, freed, deadline)
        finally:
            try:
                waiting.remove(freed)
            except ValueError:
                pass  # Ctrl-C came first
            if self.owner is None:
                self.wake()

    def _wait(self, me: int, freed: threading.Lock, deadline: float | None) -> bool:
        overdue = False
        while True:
            with self.guard:
                free = self.owner is None
                # Whoever is before us may be in a signal handler, and not take its turn.
                if free and (overdue or self.waiting[:1] in ([freed], [])):
                    self.owner = me
                    return True
            patience = _TIMEOUT
            if deadline is not None:
                patience = min(patience, deadline - time.monotonic())
                if patience <= 0:
                    return False
            overdue = not freed.acquire(timeout=patience) and free

    def try_to_take(self, me: int) -> None:
        """Take the turn if that is possible without waiting for anything."""
        if self.owner is not None:
            return
        try:
            # Ctrl-C may strike when this has returned, so nobody can note what it returned.
            if self.guard.acquire(blocking=False) and self.owner is None:
                self.owner = me
        finally:
            try:
                self.guard.release()
            except RuntimeError:
                pass  # another thread has it

    def after_fork(self) -> None:
        """Free, in the child, what threads hold that do not exist there."""
        if self.owner != threading.get_ident():
            self.owner = None
        self.guard = threading.RLock()
        self.waiting = []

    def wake(self) -> None:
        """Let the thread that has waited longest look whether it is its turn."""
        for freed in self.waiting[:1]:
            try:
                freed.release()
            except RuntimeError:
                pass  # it was woken already
