"""The lock of the threads that share a connection, in the order they came. No sockets here."""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final

_TIMEOUT: Final = 0.05  # seconds until a thread no longer waits for those before it


class CallLock:
    """One thread at a time, in the order in which they came.

    Ctrl-C may strike at any call of a function, when a function in C has returned and in Python
    before it does anything. So `release` is one in C, which also does no harm to whoever does not
    have the lock; `wake` only spares others from waiting longer. There are no loops in the `try`,
    as CPython 3.12 to 3.14 leave some of their jumps out of it:

        try:
            lock.acquire(me, deadline)
            ...
        finally:
            lock.release(me)
            lock.wake()

    Attributes:
        holder: the thread that has the lock, if any has it.
        release: gives the lock back if it is this thread that has it.
        guard: is held while a thread becomes the holder. The garbage collector and signal handlers
            may come back to it in the same thread: as only `holder` decides, that does no harm.
        waiting: a lock for each of the threads that are, the one that came first before others;
            releasing it wakes the thread. Ctrl-C could leave the lock inside an `Event` taken.
    """

    def __init__(self) -> None:
        self.holder: set[int] = set()
        self.release = self.holder.discard
        self.guard = threading.RLock()
        self.waiting: list[threading.Lock] = []

    def locked(self) -> bool:
        """Tell whether a thread has the lock."""
        return bool(self.holder)

    def acquire(self, me: int, deadline: float | None) -> bool:
        """Wait until nobody has the lock; tell whether it is ours in time.

        Args:
            me: this thread.
            deadline: by `time.monotonic`, or None.
        """
        with self.guard:
            if not self.holder and not self.waiting:
                self.holder.add(me)
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
            if not self.locked():
                self.wake()

    def _wait(self, me: int, freed: threading.Lock, deadline: float | None) -> bool:
        overdue = False
        while True:
            with self.guard:
                free = not self.holder
                # Whoever is before us may be in a signal handler, and not take its turn.
                if free and (overdue or self.waiting[:1] in ([freed], [])):
                    self.holder.add(me)
                    return True
            timeout = _TIMEOUT
            if deadline is not None:
                timeout = min(timeout, deadline - time.monotonic())
                if timeout <= 0:
                    return False
            overdue = not freed.acquire(timeout=timeout) and free

    def try_acquire(self, me: int) -> bool:
        """Acquire the lock if nothing is to be waited for; tell whether it is ours."""
        if self.locked():
            return False
        try:
            # Ctrl-C may strike when this has returned, so nobody can note what it returned.
            if self.guard.acquire(blocking=False) and not self.holder:
                self.holder.add(me)
        finally:
            try:
                self.guard.release()
            except RuntimeError:
                pass  # another thread has it
        return me in self.holder

    def after_fork(self) -> None:
        """Free, in the child, what threads hold that do not exist there."""
        self.holder.intersection_update((threading.get_ident(),))
        self.guard = threading.RLock()
        self.waiting = []

    def wake(self) -> None:
        """Let the thread that has waited longest look whether the lock is free."""
        for freed in self.waiting[:1]:
            try:
                freed.release()
            except RuntimeError:
                pass  # it was woken already
