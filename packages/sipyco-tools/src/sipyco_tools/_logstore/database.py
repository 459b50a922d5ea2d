"""The database of logs as it is written: made, appended to, and replaced if it is damaged."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NoReturn

from sipyco_tools._limits import MAX_DAMAGED
from sipyco_tools._logging.rows import Row
from sipyco_tools._logstore import schema
from sipyco_tools._logstore.disk import Identity, cause_of, identity
from sipyco_tools._logstore.pruning import prune
from sipyco_tools._logstore.writer import SinkError

logger = logging.getLogger("sipyco.logs")

_BUSY_TIMEOUT: Final = 5.0  # seconds; somebody else writes, such as a tool for databases
_SYNC_INTERVAL: Final = 5.0  # seconds of records that a loss of power may take
_JOURNAL_SIZE: Final = 4 * 1024 * 1024  # bytes; what a flood has made of it is given back

_INSERT: Final = """\
INSERT INTO log (created, received, time_of_arrival, source, level, logger, message)
VALUES (?, ?, ?, ?, ?, ?, ?)"""

_INDEX: Final = """\
INSERT INTO {index} (rowid, source, logger, message)
SELECT id, source, logger, message FROM log WHERE id > ?"""

_left_behind: Final[list[object]] = []  # connections of the parent, in a process that was forked


class LogDatabase:
    """A sink that writes into a database of logs.

    Args:
        path: its file. It is made if it is missing, and its directory not: on a disk that is not
            mounted nobody would look for it.
        max_size: of the file in bytes, about; the oldest rows go.
        max_age: of rows, in seconds since they came; None for no limit.
    """

    def __init__(self, path: Path, max_size: int, max_age: float | None = None) -> None:
        self.path = path
        self.what = f"the database {path}"
        self.stopping = threading.Event()
        self._max_size = max_size
        self._max_age = max_age
        self._connection: sqlite3.Connection | None = None
        self._files: tuple[Identity, ...] = ()  # what the paths led to when it was opened
        self._synced = time.monotonic()
        self._unsynced = False  # whether there are rows that a loss of power would take

    def open(self) -> None:
        """Open it, or make it; one that is damaged is set aside.

        Raises:
            NotALogDatabase: it is something else, which is left as it is.
            SinkError: it cannot be opened or made now.
        """
        try:
            self._open()
        except schema.NotALogDatabase:
            self._let_go()
            raise
        except sqlite3.Error as exc:
            self._give_up_or_set_aside(exc)
            self._open_again()

    def write(self, rows: Sequence[Row]) -> None:
        """Commit rows, all or none: what has been committed outlives a kill of the process."""
        self._look_for_file()
        try:
            self._commit(rows)
        except sqlite3.Error as exc:
            self._give_up_or_set_aside(exc)
            self._open_again()
            self.write(rows)

    def tend(self) -> None:
        """Delete what is too old or too much, and have the system write what was committed."""
        if self._connection is None:
            return
        try:
            prune(self._connection, self._max_size, self._max_age, self.stopping)
            now = time.monotonic()
            if self._unsynced and now - self._synced >= _SYNC_INTERVAL:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._synced, self._unsynced = now, False
                self._look_from_outside()
        except sqlite3.Error as exc:
            self._give_up_or_set_aside(exc)

    def close(self) -> None:
        """Close it; what is in the journal comes into the file, and the journal goes."""
        self._let_go()

    def after_fork(self) -> None:
        """Leave the connection to the parent: to close it could end what the parent writes."""
        self.stopping = threading.Event()
        _left_behind.append(self._connection)
        self._connection = None

    def _open(self) -> None:
        # It is opened by the thread that made it, and then used by that of the writer.
        self._connection = connection = sqlite3.connect(
            self.path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        # A kill loses nothing that was committed, and a loss of power the last seconds.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_SIZE}")
        if schema.check(connection, self.path):
            connection.execute("PRAGMA journal_mode = WAL")
            self._check_index(connection)
        elif not schema.create(connection):
            logger.warning(
                "this Python's SQLite has no full-text search (FTS5): sipyco_logs will look "
                "through the texts one by one"
            )
        # One that can only be read is refused now, and not when something comes.
        connection.execute("DELETE FROM log WHERE 0")
        self._files = self._identities()

    def _identities(self) -> tuple[Identity, ...]:
        """Tell which files are there: the database, its journal, and what readers share."""
        return tuple(map(identity, (str(self.path), f"{self.path}-wal", f"{self.path}-shm")))

    def _look_from_outside(self) -> None:
        """Look whether others can read it: this connection does not read its pages again."""
        with closing(sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT)) as other:
            try:
                schema.check(other, self.path)
                self._check_index(other)
            except schema.NotALogDatabase as exc:
                raise SinkError(str(exc)) from exc

    def _check_index(self, connection: sqlite3.Connection) -> None:
        indexes = schema.text_indexes(connection)
        if indexes and not schema.can_search(connection, indexes[-1]):
            raise schema.NotALogDatabase(
                f"{self.path} has an index for full-text search, which this Python's SQLite "
                "cannot keep (FTS5): name another file"
            )
        connection.execute("SELECT max(id) FROM log").fetchone()  # of the newest page

    def _open_again(self) -> None:
        try:
            self._open()
        except (sqlite3.Error, schema.NotALogDatabase) as exc:
            self._let_go()
            self._give_up(exc)

    def _look_for_file(self) -> None:
        """Notice a file that was removed or replaced: SQLite would write what nobody finds.

        Of a journal that somebody has removed, too, it has all until it is let go of.
        """
        if self._connection is not None:
            found = self._identities()
            if found == self._files:
                return
            self._leave_file(removed=found[0] is None)
            if found[0] == self._files[0]:
                logger.warning("the journal of %s was removed: making a new one", self.what)
            else:
                logger.warning("%s was removed or replaced: beginning it anew", self.what)
        try:
            self.open()
        except schema.NotALogDatabase as exc:
            raise SinkError(str(exc)) from exc

    def _leave_file(self, removed: bool) -> None:
        """Let go of a file that is not in its place, without leaving its journal to the next."""
        assert self._connection is not None
        try:
            # What was committed goes into the file, wherever it is now.
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            busy = 1
        self._let_go()
        if removed and not busy:
            for suffix in ("-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _commit(self, rows: Sequence[Row]) -> None:
        connection = self._connection
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")
        try:
            (last,) = connection.execute("SELECT ifnull(max(id), 0) FROM log").fetchone()
            connection.executemany(_INSERT, rows)
            # Another program may have begun an index since.
            indexes = schema.text_indexes(connection)
            if indexes:
                connection.execute(_INDEX.format(index=indexes[-1]), (last,))
            connection.execute("COMMIT")
        except BaseException:
            schema.roll_back(connection)
            raise
        self._unsynced = True

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                pass  # what was committed is in the journal

    def _give_up(self, exc: Exception) -> NoReturn:
        cause = cause_of(exc, self.path)
        text = f"{cause.strerror}: {self.path.parent}" if isinstance(cause, OSError) else str(exc)
        raise SinkError(text) from cause

    def _give_up_or_set_aside(self, exc: sqlite3.Error) -> None:
        self._let_go()
        if not schema.is_damage(exc):
            self._give_up(exc)
        self._set_aside(exc)

    def _set_aside(self, exc: sqlite3.Error) -> None:
        """Rename a damaged database, and its journal, so that a new one can be made.

        Raises:
            SinkError: it cannot be renamed, or so many are there that the disk must be bad.
        """
        pattern = f"{self.path.name}.damaged-*[0-9]"
        if len(list(self.path.parent.glob(pattern))) >= MAX_DAMAGED:
            raise SinkError(
                f"{exc}, and {MAX_DAMAGED} damaged ones were set aside already: look at the disk, "
                f"and remove {pattern}"
            )
        kept = _unused(self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d')}"))
        try:
            os.rename(self.path, kept)
            for suffix in ("-wal", "-shm"):
                _rename_if_there(f"{self.path}{suffix}", f"{kept}{suffix}")
        except OSError as error:
            raise SinkError(f"{exc}, and it cannot be set aside: {error}") from error
        logger.error(
            "%s is damaged (%s): it was set aside as %s, and a new one is begun",
            self.what,
            exc,
            kept.name,
        )


def _unused(path: Path) -> Path:
    number = 1
    while True:
        candidate = path.with_name(f"{path.name}-{number}")
        if not candidate.exists():
            return candidate
        number += 1


def _rename_if_there(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except FileNotFoundError:
        pass  # it has none
