"""A reader that makes log entries of lines, within limits. No sockets here, and no loggers."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from sipyco_tools._limits import MAX_LOG_LINES, MAX_LOG_MESSAGE
from sipyco_tools._logging.text import parsed, safe_name

_SHOWN: Final = 200  # characters of a refused line that the log shows


class Entry(NamedTuple):
    """One log message, as it travels."""

    source: str
    level: int
    name: str
    message: str


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
        known: that there is nothing but entries: a number of lines holds whatever the level is
            called.
    """

    def __init__(self, max_lines: int = MAX_LOG_LINES, *, known: bool = False) -> None:
        self._max_lines = max_lines
        self._known = known
        self._entry: Entry | None = None  # the one whose lines are coming
        self._lines: list[str] = []  # of its message
        self._missing = 0
        self._size = 0

    @property
    def in_entry(self) -> bool:
        """Whether more lines of an entry are to come."""
        return self._entry is not None

    def begin(self, source: str, text: str) -> Entry | None:
        """Take the first line of an entry, without its source.

        Returns:
            The entry, if it has no more lines.

        Raises:
            Refused: it is to have too many lines.
        """
        found = parsed(text, self._known) or (0, logging.INFO, "print", text)
        missing, level, name, message = found
        if missing >= self._max_lines:
            raise Refused(
                f"received {missing + 1} lines, where the limit is {self._max_lines}", text
            )
        entry = Entry(safe_name(source), level, name, message)
        if missing == 0:
            return entry
        self._entry, self._lines, self._missing = entry, [message], missing
        self._size = len(message)
        return None

    def add(self, line: str) -> Entry | None:
        """Take another line of the entry; return it once it is complete.

        Raises:
            Refused: it has become too long. `finish` gives what there is of it.
        """
        self._size += len(line)
        if self._size > MAX_LOG_MESSAGE:
            raise Refused(f"received a message of more than {MAX_LOG_MESSAGE} characters", line)
        self._lines.append(line)
        self._missing -= 1
        return None if self._missing else self.finish()

    def finish(self) -> Entry | None:
        """Return the entry as far as it has come, or None if there is none under way."""
        entry, self._entry = self._entry, None
        if entry is None:
            return None
        lines, self._lines = self._lines, []
        return entry._replace(message="\n".join(lines))
