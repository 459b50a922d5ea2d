"""The queue of a log forwarder: the latest entries, and the count of those that were dropped."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from sipyco_tools._limits import MAX_ATTEMPTS
from sipyco_tools._logging.text import entry_text
from sipyco_tools._logging.times import with_time


@dataclass(eq=False, slots=True)  # frozen ones take three times as long to make
class QueuedEntry:
    """The lines of a record, or a notice of those that were dropped.

    Args:
        text: the lines.
        created: when the record was made, in seconds since 1970; None if that is not known.
        dropped: how many records a notice tells of. They count as dropped again if the notice is
            dropped itself.
    """

    text: bytes
    created: float | None = None
    dropped: int = 0

    @property
    def records(self) -> int:
        """How many records are lost with it."""
        return self.dropped or 1

    def data(self, times: bool) -> bytes:
        """Return what is sent: with the time, if the server takes that."""
        if not times or self.created is None:
            return self.text
        return with_time(self.text, self.created)


class EntryQueue:
    """Keeps entries until they are sent. Any thread may put one in; one task takes them out.

    Attributes:
        sent: how many records were sent.
        dropped: how many records were dropped since the beginning.
    """

    def __init__(self, size: int, source: str) -> None:
        self.sent = 0
        self.dropped = 0
        self._size = size
        self._source = source
        self._entries: deque[QueuedEntry] = deque()
        self._untold = 0  # records that were dropped, and not told of
        self._sending: QueuedEntry | None = None  # the entry that was taken
        self._retried: QueuedEntry | None = (
            None  # the one that was put back last, to be sent again
        )
        self._attempts = 0  # to send that
        self._lock = threading.RLock()  # a signal handler may log while its thread is in here

    def __len__(self) -> int:
        """How many entries wait."""
        return len(self._entries)

    @property
    def all_sent(self) -> bool:
        """Whether no entry waits, and none is being sent."""
        return not self._entries and self._sending is None

    @property
    def unsent(self) -> int:
        """How many records wait, or were dropped and not told of."""
        with self._lock:
            return sum(entry.records for entry in self._entries) + self._untold

    def put(self, entry: QueuedEntry) -> None:
        """Add an entry; the oldest goes if there are too many."""
        with self._lock:
            self._entries.append(entry)
            self._drop_oldest()

    # In a function of its own: CPython 3.12 to 3.14 leave the jump back of a loop out of the
    # `with` around it, and Ctrl-C there would leave the lock taken.
    def _drop_oldest(self) -> None:
        while len(self._entries) > self._size:
            self._drop(self._entries.popleft())

    def _drop(self, entry: QueuedEntry) -> None:
        self._untold += entry.records
        if not entry.dropped:
            self.dropped += 1

    def take(self) -> QueuedEntry | None:
        """Take the entry to send next, if there is one; then call `done`."""
        with self._lock:
            if self._untold:
                self._sending = self._notice()
            elif self._entries:
                self._sending = self._entries.popleft()
            return self._sending

    def _notice(self) -> QueuedEntry:
        count, self._untold = self._untold, 0
        what = "message was dropped, as it" if count == 1 else "messages were dropped, as they"
        text = f"{count} log {what} could not be sent"
        text = entry_text(logging.WARNING, "sipyco.logs", text)
        return QueuedEntry(f"{self._source}:{text}\n".encode(), time.time(), count)

    def done(self, sent: bool) -> None:
        """Let go of the entry that was taken, or have it back in its place if it was not sent."""
        entry, self._sending = self._sending, None
        if entry is None:
            return
        with self._lock:
            if not sent:
                self._entries.appendleft(entry)
            elif not entry.dropped:
                self.sent += 1

    def retry(self, entry: QueuedEntry) -> None:
        """Put an entry back that was sent and may not have arrived; in the end it is dropped."""
        with self._lock:
            if not entry.dropped:
                self.sent -= 1
            self._attempts = self._attempts + 1 if entry is self._retried else 1
            self._retried = entry
            if self._attempts >= MAX_ATTEMPTS or len(self._entries) >= self._size:
                self._drop(entry)
            else:
                self._entries.appendleft(entry)

    def clear(self) -> int:
        """Forget the entries, and what was dropped; return how many records that were."""
        with self._lock:
            unsent = self.unsent
            self.dropped += sum(not entry.dropped for entry in self._entries)
            self._entries.clear()
            self._untold = 0
            return unsent

    def after_fork(self) -> None:
        """Leave the entries to the parent; one of its threads may have held the lock."""
        self._lock = threading.RLock()
        self._sending = None
        self.clear()
        self.sent = self.dropped = 0
