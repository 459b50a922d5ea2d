"""The calls of `FFProxy` that have not ended, and waiting for them. No threads are made here."""

from __future__ import annotations

import math
import threading
import time

from sipyco_rpc.limits import UNAWAITED_CALL_TIMEOUT

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_PAUSE: Final = 0.1  # seconds until who waits looks again, if it was not woken


class FiredCall:
    """A call from the moment in which it was made until it has ended.

    Args:
        name: of the method.
        key: stands for the client that it is made on; None for what is no client.

    Attributes:
        ended: it has ended, or will never run in this process.
        dropped: nobody waits any more, and that has been said.
        worker: the thread that is to run it.
    """

    def __init__(self, name: str, key: object) -> None:
        self.name = name
        self.key = key
        self.ended = False
        self.dropped = False
        self.worker: threading.Thread | None = None
        self._claimed = threading.Lock()
        # Not an event: Ctrl-C may leave the lock in that in a state that hangs others.
        self._gate = threading.Lock()
        self._gate.acquire()

    @property
    def here(self) -> bool:
        """Whether this very thread runs it."""
        return self.worker is threading.current_thread()

    def claim(self) -> bool:
        """Take it, to run it or to give it up: only the first one gets it."""
        return self._claimed.acquire(blocking=False)

    def end(self) -> None:
        """Note that it has ended."""
        under_way.discard(self)
        self.ended = True
        self._gate.release()

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait until it has ended; tell whether it has. Ctrl-C harms nobody who waits as well."""
        deadline = time.monotonic() + seconds
        while not self.ended and (left := deadline - time.monotonic()) > 0:
            if self._gate.acquire(timeout=min(_PAUSE, left)):
                self._gate.release()
        return self.ended


under_way: Final[set[FiredCall]] = set()


def finish_fired(key: object, what: str) -> None:
    """Wait, for a limited time, for the calls on a client.

    Args:
        key: stands for the client.
        what: what happens to it, such as "closing the client".
    """
    finish([call for call in list(under_way) if call.key is key], what)


def finish(calls: Iterable[FiredCall], what: str) -> None:
    """Wait, for a limited time, for calls to end; say which do not."""
    deadline = time.monotonic() + UNAWAITED_CALL_TIMEOUT
    for call in calls:
        if call.ended or call.here:
            continue
        if not call.wait(deadline - time.monotonic()):
            import logging  # somebody who fires calls has it

            call.dropped = True
            logging.getLogger("sipyco.fire_and_forget").warning(
                "%s: dropping %s, which still runs after %g s",
                what,
                call.name,
                UNAWAITED_CALL_TIMEOUT,
            )
