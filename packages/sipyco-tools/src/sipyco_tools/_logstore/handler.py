"""Handlers of `logging` that never wait: what they write goes through a `QueuedWriter`."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from sipyco_rpc.support.notices import say
from sipyco_tools._limits import LOG_CLOSE_TIMEOUT, LOG_DATABASE_SIZE
from sipyco_tools._logging.records import program_name
from sipyco_tools._logging.rows import row_of
from sipyco_tools._logstore.writer import QueuedWriter, Sink

_SMALLEST: Final = 1024 * 1024  # bytes; a few records need an index as well


class QueuedHandler(logging.Handler):
    """Hands records to a writer; whoever logs does not wait for a disk.

    Args:
        sink: where they are written.
        source: of records that have none.
        close_timeout: most seconds in which `close` has what waits written.
    """

    def __init__(
        self, sink: Sink, source: str = "", close_timeout: float = LOG_CLOSE_TIMEOUT
    ) -> None:
        super().__init__()
        self._source = source
        self._close_timeout = close_timeout
        self._ended = False  # `logging.Handler` has a `_closed` of its own
        self._writer = QueuedWriter(sink)

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written."""
        try:
            received = getattr(record, "received", None)  # of those that a log server has received
            row = row_of(record, time.time() if received is None else received, self._source)
            self._writer.put(row)
        except Exception:  # noqa: BLE001  (as handlers do: arguments may not fit the message)
            self.handleError(record)

    def close(self) -> None:
        """Write what waits, in bounded time; what could not be is said on standard error."""
        super().close()
        if not self._ended:
            self._ended = True
            self._report(self._writer.close(self._close_timeout))

    def status(self) -> dict[str, Any]:
        """Tell how it goes.

        Returns:
            `where` it writes, the numbers of records that are `stored`, `lost` and `waiting`, and
            while it cannot write: `failing_for_seconds` (otherwise None), and the `reason`.
        """
        return self._writer.status()

    def _report(self, lost: int) -> None:
        """Say at the end how many records are not where they should be."""
        if lost:
            say(f"{self.status()['where']}: {lost} records were not written", sys.stderr)


class SQLiteHandler(QueuedHandler):
    """Write log records into a database, in which the command `sipyco_logs` finds them again.

        logging.getLogger().addHandler(SQLiteHandler("logs.db", source="laser"))

    It is what `sipyco_logserver` writes with. Whoever logs does not wait for the disk: a thread
    writes, and a program that ends waits for what is left, within ten seconds. While the disk is
    full, or the file cannot be written otherwise, the log says so once, the latest records wait,
    and those that have to go are counted. A database that is damaged is set aside, and a new one
    begun.

    Args:
        path: the file; it is made if it is missing, in a directory that is there.
        max_size: of the file in bytes, about; the oldest records are deleted.
        max_age: of records in seconds, since they came; older ones are deleted. None for no limit.
        source: of the records of this program; by default its name, or that of the package
            that is run by `python -m`.

    Raises:
        ValueError: there can be no such limits.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_size: int = LOG_DATABASE_SIZE,
        max_age: float | None = None,
        source: str | None = None,
    ) -> None:
        if max_size < _SMALLEST:
            raise ValueError(f"max_size must be at least {_SMALLEST} bytes, got {max_size}")
        if max_age is not None and not max_age > 0:
            raise ValueError(f"max_age must be a positive number of seconds, got {max_age}")
        from sipyco_tools._logstore.database import LogDatabase  # SQLite takes its time to load

        # A program may change its directory later.
        self._database = LogDatabase(Path(path).absolute(), max_size, max_age)
        super().__init__(self._database, program_name() if source is None else source)
