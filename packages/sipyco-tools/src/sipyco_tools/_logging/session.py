"""What programs say to the log server: lines become log records. No sockets here."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

from sipyco_rpc.wire.lines import LineReader, LineTooLong
from sipyco_tools._limits import MAX_LOG_LINES, MAX_LOG_MESSAGE
from sipyco_tools._logging.records import _fwd_logger
from sipyco_tools._logging.text import parsed, safe_name
from sipyco_tools._logging.times import ANSWER, is_offer, set_times, split_time

BANNER: Final = b"ARTIQ logging\n"
_SHOWN: Final = 200  # characters of a refused line that the log shows


class Entry(NamedTuple):
    """One log message, as it travels."""

    source: str
    level: int
    name: str
    message: str
    created: float | None = None  # seconds since 1970; None if that is not known


def emit_entry(entry: Entry, received: float | None = None) -> None:
    """Log what another program has logged; an error in a handler is printed, and no more.

    Args:
        entry: is logged.
        received: when it came over the network; None if it was written to a pipe just now.
    """
    source, level, name, message, created = entry
    if not _fwd_logger.isEnabledFor(level):
        return
    try:
        record = _fwd_logger.makeRecord(
            name, level, "(forwarded)", 0, message, (), None, extra={"source": source}
        )
        if received is not None:
            set_times(record, received, created)
        _fwd_logger.handle(record)
    except Exception:  # noqa: BLE001  (the records that follow may find a handler that works)
        traceback.print_exc()


class Refused(ValueError):
    """A line that belongs to no entry, or an entry that is too long.

    Attributes:
        line: the line, as far as it is worth showing.
    """

    def __init__(self, reason: str, line: str) -> None:
        super().__init__(reason)
        self.line = line[:_SHOWN]


class EntryReader:
    """Put the lines of one peer together.

    Args:
        max_lines: most lines of an entry.
        forwarded: there is nothing but entries, which begin with their source: a number of lines
            holds whatever the level is called.

    Attributes:
        times: whether levels may be followed by the time.
    """

    def __init__(self, max_lines: int = MAX_LOG_LINES, *, forwarded: bool = False) -> None:
        self.times = False
        self._max_lines = max_lines
        self._forwarded = forwarded
        self._entry: Entry | None = None  # the one whose lines are coming
        self._lines: list[str] = []  # of its message
        self._missing = 0
        self._size = 0

    def take(self, line: str) -> Entry | None:
        """Take a line; return its entry once that is complete.

        Raises:
            Refused: it begins no entry, or one that is too long. `finish` gives what there is.
        """
        if self._entry is None:
            return self._begin(line)
        self._size += len(line)
        if self._size > MAX_LOG_MESSAGE:
            raise Refused(f"received a message of more than {MAX_LOG_MESSAGE} characters", line)
        self._lines.append(line)
        self._missing -= 1
        return None if self._missing else self.finish()

    def _begin(self, line: str) -> Entry | None:
        source, colon, text = line.partition(":") if self._forwarded else ("", ":", line)
        if not colon:
            raise Refused("received improperly formatted message", line)
        timeless, created = split_time(text) if self.times else (text, None)
        found = parsed(timeless, self._forwarded)
        if found is None:
            found, created = (0, logging.INFO, "print", text), None
        missing, level, name, message = found
        if missing >= self._max_lines:
            raise Refused(
                f"received {missing + 1} lines, where the limit is {self._max_lines}", text
            )
        entry = Entry(safe_name(source), level, name, message, created)
        if missing == 0:
            return entry
        self._entry, self._lines, self._missing = entry, [message], missing
        self._size = len(message)
        return None

    def finish(self) -> Entry | None:
        """Return the entry as far as it has come, or None if there is none under way."""
        entry, self._entry = self._entry, None
        if entry is None:
            return None
        lines, self._lines = self._lines, []
        return entry._replace(message="\n".join(lines))


class LogSession:
    """One connection, from its banner on.

    Args:
        max_line: longest line, in bytes.
        max_lines: most lines of an entry.
        untimed: is called with the source of the first entry that comes without its time.

    Attributes:
        answer: sends the peer, which is listening, what the server says; None if it cannot.
        banner_received: whether the banner has come.
        received: how many records have come.
    """

    def __init__(
        self,
        max_line: int,
        max_lines: int,
        *,
        answer: Callable[[bytes], None] | None = None,
        untimed: Callable[[str], None] | None = None,
    ) -> None:
        self.banner_received = False
        self.received = 0
        self.answer = answer
        self._first = True  # entry
        self._untimed = untimed  # until it has been called
        self._banner = b""  # as far as it has come
        self._lines = LineReader(max_line)
        self._entries = EntryReader(max_lines, forwarded=True)

    def receive(self, data: bytes) -> None:
        """Take bytes, and log what they say.

        Raises:
            Refused: it is nothing that could be logged.
        """
        if not self.banner_received:
            self._banner += data
            if not BANNER.startswith(self._banner[: len(BANNER)]):
                if self._banner.startswith(b"\x16\x03"):
                    raise Refused("received a TLS handshake, where this server uses no TLS", "")
                raise Refused("received an unknown banner", _text(self._banner))
            if len(self._banner) < len(BANNER):
                return
            self.banner_received, data = True, self._banner[len(BANNER) :]
        for line in self._lines.feed(data):
            self._take(line)

    def rest(self) -> str:
        """Return what there is of an entry that is not complete."""
        entry = self._entries.finish()
        parts = [] if entry is None else [f"{entry.source}:{entry.name}:{entry.message}"]
        if self._lines.pending:
            parts.append(_text(self._lines.pending))
        return "\n".join(parts)

    def _take(self, line: bytes | bytearray | LineTooLong) -> None:
        if isinstance(line, LineTooLong):
            raise Refused(
                f"received a line of {line.size} bytes, where the limit is {line.limit}", ""
            )
        try:
            entry = self._entries.take(line.decode())
        except UnicodeDecodeError:
            raise Refused("received a message that is not UTF-8", _text(line)) from None
        if entry is not None:
            self._emit(entry)

    def _emit(self, entry: Entry) -> None:
        first, self._first = self._first, False
        if first and self.answer is not None and is_offer(entry.level, entry.name, entry.message):
            self._entries.times = True
            self.answer(ANSWER)
            return
        if entry.created is None and self._untimed is not None:
            untimed, self._untimed = self._untimed, None
            untimed(entry.source)
        self.received += 1
        emit_entry(entry, time.time())


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "backslashreplace")
