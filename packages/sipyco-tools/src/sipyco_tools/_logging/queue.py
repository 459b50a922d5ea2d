"""The queue of a log forwarder: the latest entries, and the count of those that were dropped."""

from __future__ import annotations

import logging
import threading
from collections import deque

from sipyco_tools._limits import MAX_ATTEMPTS
from sipyco_tools._logging.text import entry_text


class _Notice(bytes):
    """An entry that tells of records which were dropped."""

    records = 0  # how many; they count as dropped again if the notice is dropped itself


def _records_in(entry: bytes) -> int:
    return entry.records if isinstance(entry, _Notice) else 1


class EntryQueue:
    """Keeps entries until they are sent. Any thread may put one in; one task takes them out."""

    def __init__(self, size: int, source: str) -> None:
        self._size = size
        self._source = source
        self._entries: deque[bytes] = deque()
        self._dropped = 0  # records that were dropped, and not told of
        self._sending: bytes | None = None  # the entry that was taken
        self._retried: bytes | None = None  # the entry that was put back last, for another attempt
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
            return sum(map(_records_in, self._entries)) + self._dropped

    def put(self, entry: bytes) -> None:
        """Add an entry; the oldest goes if there are too many."""
        with self._lock:
            self._entries.append(entry)
            self._drop_oldest()

    # In a function of its own: CPython 3.12 to 3.14 leave the jump back of a loop out of the
    # `with` around it, and Ctrl-C there would leave the lock taken.
    def _drop_oldest(self) -> None:
        while len(self._entries) > self._size:
            self._dropped += _records_in(self._entries.popleft())

    def take(self) -> bytes | None:
        """Take the entry to send next, if there is one; then call `done`."""
        with self._lock:
            if self._dropped:
                self._sending = self._notice()
            elif self._entries:
                self._sending = self._entries.popleft()
            return self._sending

    def _notice(self) -> bytes:
        count, self._dropped = self._dropped, 0
        what = "message was dropped, as it" if count == 1 else "messages were dropped, as they"
        text = f"{count} log {what} could not be sent"
        text = entry_text(logging.WARNING, "sipyco.logs", text)
        notice = _Notice(f"{self._source}:{text}\n".encode())
        notice.records = count
        return notice

    def done(self, sent: bool) -> None:
        """Let go of the entry that was taken, or have it back in its place if it was not sent."""
        entry, self._sending = self._sending, None
        if entry is not None and not sent:
            with self._lock:
                self._entries.appendleft(entry)

    def retry(self, entry: bytes) -> None:
        """Put an entry back that was sent and may not have arrived; in the end it is dropped."""
        with self._lock:
            self._attempts = self._attempts + 1 if entry is self._retried else 1
            self._retried = entry
            if self._attempts >= MAX_ATTEMPTS or len(self._entries) >= self._size:
                self._dropped += _records_in(entry)
            else:
                self._entries.appendleft(entry)

    def clear(self) -> int:
        """Forget the entries, and what was dropped; return how many records that were."""
        with self._lock:
            unsent = self.unsent
            self._entries.clear()
            self._dropped = 0
            return unsent

    def after_fork(self) -> None:
        """Leave the entries to the parent; one of its threads may have held the lock."""
        self._lock = threading.RLock()
        self._sending = None
        self.clear()
