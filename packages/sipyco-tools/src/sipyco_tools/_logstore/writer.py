"""A thread that writes log records where writing may take long, or fail. No files here.

Whoever logs never waits: what comes is put into a queue. While writing fails, the queue keeps the
latest; those that have to go are counted, and it is said how many they were.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol

from sipyco_rpc.support.process_bound import after_fork_in_child, not_copyable
from sipyco_tools._limits import MAX_BATCH, MAX_WAITING_RECORDS, MAX_WAITING_SIZE
from sipyco_tools._logging.rows import Row

logger = logging.getLogger("sipyco.logs")

RETRY_PAUSE: Final = 1.0  # seconds; somebody has made room, and waits to see that it works again
_TEND_INTERVAL: Final = 1.0  # seconds; limits of size and age need not be kept to the second
_SETTLED: Final = 10.0  # seconds without a failure, after which it works again
_TELL_INTERVAL: Final = 10.0  # seconds from one line about losses to the next


class SinkError(Exception):
    """Nothing can be written now; later, perhaps.

    Args:
        reason: why.
        written: how many of the rows were written all the same.
    """

    def __init__(self, reason: str, written: int = 0) -> None:
        super().__init__(reason)
        self.written = written


class Sink(Protocol):
    """Where a `QueuedWriter` writes; all methods but `after_fork` are called in its thread.

    Attributes:
        what: it is, for log records.
        stopping: set when the writer is to end; what takes long should look at it.
    """

    what: str
    stopping: threading.Event

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows, in their order.

        Raises:
            SinkError: it cannot be done now.
        """

    def tend(self) -> None:
        """Do what is to be done now and then; errors are those of `write`."""

    def close(self) -> None:
        """Let go of it; never raises."""

    def after_fork(self) -> None:
        """Leave it to the parent, in a process that was forked."""


class QueuedWriter:
    """Writes rows into a sink, in a thread of its own, in batches.

    Args:
        sink: where.
        max_records: most rows that wait.
        max_size: most memory that they take, in bytes, roughly.
    """

    def __init__(
        self,
        sink: Sink,
        max_records: int = MAX_WAITING_RECORDS,
        max_size: int = MAX_WAITING_SIZE,
    ) -> None:
        self._sink = sink
        self._max_records = max_records
        self._max_size = max_size
        self._begin_anew()
        after_fork_in_child(self._after_fork)

    __reduce__ = not_copyable("its thread writes into a file; make one where it is needed")

    def _begin_anew(self) -> None:
        self._rows: deque[Row] = deque()
        self._size = 0  # of them
        self._writing = 0  # rows that were taken, and are not yet written
        self._stored = 0
        self._lost = 0
        self._told = 0  # of the lost
        self._told_at = -_TELL_INTERVAL  # when, by the monotonic clock
        self._failing_since: float | None = None  # likewise; until all that waited is written
        self._failed_at = 0.0  # the last time, likewise
        self._failed_last = False  # whether the last attempt failed
        self._reason = ""  # why
        self._closed = False
        self._thread: threading.Thread | None = None
        # A signal handler may log while its thread is in here.
        self._changed = threading.Condition(threading.RLock())

    def _after_fork(self) -> None:
        self._begin_anew()
        self._sink.after_fork()

    def put(self, row: Row) -> None:
        """Have a row written; the oldest that waits goes if there are too many."""
        with self._changed:
            if self._closed:
                self._lost += 1
                return
            self._rows.append(row)
            self._size += row.size
            self._drop_oldest()
            if self._thread is None:
                self._start()
            if len(self._rows) == 1:
                self._changed.notify_all()

    def _start(self) -> None:
        # A daemon, as a disk may hang for ever: `close` waits for it, within a limit.
        self._thread = threading.Thread(
            target=self._run, name=f"writes {self._sink.what}", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # there can be no more threads now; the next record tries again
            self._thread = None

    # In a function of its own: CPython 3.12 to 3.14 leave the jump back of a loop out of the
    # `with` around it, and Ctrl-C there would leave the lock taken.
    def _drop_oldest(self) -> None:
        rows = self._rows
        while len(rows) > self._max_records or (self._size > self._max_size and len(rows) > 1):
            self._size -= rows.popleft().size
            self._lost += 1

    def close(self, timeout: float) -> int:
        """Write what waits, in bounded time; what comes after this is lost.

        Args:
            timeout: most seconds to wait.

        Returns:
            How many rows are lost for ever: from the beginning on, and those that still waited.
        """
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        self._sink.stopping.set()
        if thread is not None:
            thread.join(timeout)
        else:
            self._run()  # what came when no thread could be started, as at the end of a program
        with self._changed:
            return self._lost + len(self._rows) + self._writing

    def status(self) -> dict[str, Any]:
        """Tell how it goes, in plain values."""
        with self._changed:
            since = self._failing_since
            return {
                "where": self._sink.what,
                "stored": self._stored,
                "lost": self._lost,
                "waiting": len(self._rows) + self._writing,
                "failing_for_seconds": None if since is None else time.monotonic() - since,
                "reason": self._reason,
            }

    # What follows runs in the thread.

    def _run(self) -> None:
        self._work()
        self._sink.close()

    def _work(self) -> None:
        tended = time.monotonic()
        while (rows := self._take()) is not None:
            if rows:
                self._write(rows)
            self._tell_losses()
            if time.monotonic() - tended >= _TEND_INTERVAL and not self._failed_last:
                self._tend()
                tended = time.monotonic()

    def _take(self) -> list[Row] | None:
        """Wait for rows; none after a moment without, None at the end."""
        with self._changed:
            if self._failed_last and not self._closed:
                self._changed.wait_for(lambda: self._closed, RETRY_PAUSE)
            elif not self._rows and not self._closed:
                self._changed.wait(_TEND_INTERVAL)
            if self._closed and not self._rows:
                return None
            rows = self._take_batch()
            self._writing = len(rows)
            return rows

    def _take_batch(self) -> list[Row]:
        rows = [self._rows.popleft() for _ in range(min(MAX_BATCH, len(self._rows)))]
        self._size -= sum(row.size for row in rows)
        return rows

    def _write(self, rows: list[Row]) -> None:
        try:
            self._sink.write(rows)
        except SinkError as exc:
            with self._changed:
                self._stored += exc.written
            self._failed(rows[exc.written :], str(exc))
        except Exception:
            # Of these rows: to try again would hold up all that come after them.
            with self._changed:
                self._lost += len(rows)
                self._told += len(rows)
                self._writing = 0
            logger.exception("%s: %d records are lost", self._sink.what, len(rows))
        else:
            self._succeeded(len(rows))

    def _tend(self) -> None:
        try:
            self._sink.tend()
        except SinkError as exc:
            self._failed([], str(exc))
        except Exception:
            logger.exception("%s", self._sink.what)

    def _failed(self, rows: list[Row], reason: str) -> None:
        with self._changed:
            first = self._failing_since is None
            if first:
                self._failing_since = time.monotonic()
            self._failed_last, self._failed_at = True, time.monotonic()
            self._reason = reason
            self._writing = 0
            if self._closed:
                self._lost += len(rows) + len(self._rows)  # that was the last attempt
                self._rows.clear()
                self._size = 0
            else:
                self._rows.extendleft(reversed(rows))
                self._size += sum(row.size for row in rows)
                self._drop_oldest()
        if first:
            waiting = f"; the latest {self._max_records} records wait until it can"
            rest = "" if self._closed else waiting
            logger.error("%s cannot be written: %s%s", self._sink.what, reason, rest)

    def _succeeded(self, count: int) -> None:
        with self._changed:
            self._stored += count
            self._writing = 0
            self._failed_last = False
            since = self._failing_since
            # A disk that is almost full takes some of what waits, and then nothing. In a flood,
            # on the other hand, something waits always.
            lately = time.monotonic() - self._failed_at < _SETTLED
            if since is None or (self._rows and lately):
                return
            self._failing_since, self._reason = None, ""
            lost = self._untold()
        logger.warning(
            "%s is written again, after %.1f s; %d records were lost",
            self._sink.what,
            time.monotonic() - since,
            lost,
        )

    def _untold(self) -> int:
        """Return how many records were lost that have not been told of, and take them for told."""
        lost, self._told, self._told_at = self._lost - self._told, self._lost, time.monotonic()
        return lost

    def _tell_losses(self) -> None:
        """Say that more comes than can be written, now and then."""
        with self._changed:
            soon = time.monotonic() - self._told_at < _TELL_INTERVAL
            if soon or self._failing_since is not None or self._lost == self._told:
                return
            lost = self._untold()
        logger.warning(
            "%s: %d records were lost, as they came faster than they can be written",
            self._sink.what,
            lost,
        )
