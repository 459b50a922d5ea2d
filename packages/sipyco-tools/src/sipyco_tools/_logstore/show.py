"""Shows what a database of logs holds, as `sipyco_logs` was asked to."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from sipyco_tools._cli.colour import is_coloured, is_terminal
from sipyco_tools._cli.output import flush, show, show_error
from sipyco_tools._logging.rows import Row, json_line, shown
from sipyco_tools._logstore.query import Filter
from sipyco_tools._logstore.reading import CannotRead, LogReader

_POLL: Final = 0.2  # seconds; a person takes it for at once, and it costs nothing
_RETRY: Final = 1.0  # seconds until a database that is gone is looked for again


class Viewer:
    """Shows records on standard output.

    Args:
        wanted: which.
        as_json: one object in each line.
    """

    def __init__(self, wanted: Filter, as_json: bool) -> None:
        self._wanted = wanted
        self._as_json = as_json
        self._coloured = is_coloured(sys.stdout)
        self._last_id = 0  # of the record that was shown last, of those that came

    def stored(self, reader: LogReader, limit: int | None, last_id: int) -> int:
        """Show what is there; return how many records that was."""
        count = 0
        for row in reader.rows(self._wanted, limit, last_id):
            self._show(row)
            count += 1
        return count

    def follow(self, reader: LogReader, last_id: int) -> None:
        """Show what comes, until Ctrl-C: also when the database is pruned, or replaced.

        Args:
            reader: of the database; is closed.
            last_id: where to begin.
        """
        self._reader, self._last_id = reader, last_id
        try:
            self._follow_all()
        finally:
            self._reader.close()

    # A function of its own: CPython 3.14 leaves the jump of a loop out of the `try` around it.
    def _follow_all(self) -> NoReturn:
        told = ""
        while True:
            try:
                self._follow_one(self._reader)
            except CannotRead as exc:
                if str(exc) != told:
                    told = str(exc)
                    show_error(f"{told}; waiting until it can be read, or for another one")
                time.sleep(_RETRY)
            if self._reader.was_replaced():
                self._reader.close()
                self._last_id, told = 0, ""
                self._reader = _when_there(self._reader.path)

    def _follow_one(self, reader: LogReader) -> None:
        """Show what comes, until the database is replaced."""
        replaced = False
        while not replaced:
            replaced = reader.was_replaced()  # before: what came until then is still there
            last_id = reader.last_id()
            for number, row in reader.rows_after(self._wanted, self._last_id, last_id):
                self._show(row)
                self._last_id = number
            flush()
            self._last_id = max(self._last_id, last_id)  # it is 0 where all rows are deleted
            if not replaced:
                time.sleep(_POLL)

    def _show(self, row: Row) -> None:
        if self._as_json:
            show(json_line(row))
        else:
            show(shown(row, self._coloured, self._wanted.by_arrival))


def _when_there(path: Path) -> LogReader:
    while True:
        try:
            return LogReader(path)
        except CannotRead:
            time.sleep(_RETRY)


def note(text: str) -> None:
    """Tell a person something that does not belong to the output."""
    if is_terminal(sys.stdout):
        show_error(text)
