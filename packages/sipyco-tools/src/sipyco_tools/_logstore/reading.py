"""Reads a database of logs, also while it is written, pruned, or replaced."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sipyco_tools._logging.rows import Row
from sipyco_tools._logstore import schema
from sipyco_tools._logstore.query import Condition, Filter, condition
from sipyco_tools._logstore.schema import NotALogDatabase

_BUSY_TIMEOUT: Final = 5.0  # seconds; a server that begins, or recovers from a kill, has it alone
_AT_ONCE: Final = 100  # rows, which are in memory together
_CANNOT_MAKE: Final = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
}
_ALL: Final = Condition("1")
_COLUMNS: Final = "created, received, time_of_arrival, source, level, logger, message"


class CannotRead(Exception):
    """The database cannot be read; the text says why."""


class LogReader:
    """A database of logs, opened for reading only.

    Args:
        path: its file.

    Raises:
        CannotRead: it is not there, or no database of logs, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            status = os.stat(path)
        except OSError as exc:
            raise CannotRead(f"{exc.strerror}: {path}") from exc
        if stat.S_ISDIR(status.st_mode):
            raise CannotRead(f"{os.strerror(errno.EISDIR)}: {path}")
        if not os.access(path, os.R_OK):  # SQLite would not say why it cannot be opened
            raise CannotRead(f"{os.strerror(errno.EACCES)}: {path}")
        self._file = status.st_dev, status.st_ino
        try:
            self._connection = self._connect()
        except sqlite3.Error as exc:
            raise self._cannot(exc) from exc

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            return self._open(uri)
        except sqlite3.OperationalError as exc:
            # SQLite makes files beside it, to read it: where it may not, or the disk is full, and
            # no journal is to be read, the file alone is enough.
            if exc.sqlite_errorcode & 0xFF not in _CANNOT_MAKE or _size(f"{self.path}-wal"):
                raise
            return self._open(f"{uri}&immutable=1")

    def _open(self, uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(uri, timeout=_BUSY_TIMEOUT, isolation_level=None, uri=True)
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        try:
            if not schema.check(connection, self.path):
                raise CannotRead(f"{self.path} is empty: nothing has been stored in it yet")
        except NotALogDatabase as exc:
            raise CannotRead(str(exc)) from exc
        indexes = schema.text_indexes(connection)
        self._full_text = bool(indexes) and schema.can_search(connection, indexes[-1])

    def _cannot(self, exc: sqlite3.Error) -> CannotRead:
        if schema.is_damage(exc):
            return CannotRead(f"{self.path} is damaged, or no database: {exc}")
        return CannotRead(f"{self.path} cannot be read: {exc}")

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def was_replaced(self) -> bool:
        """Tell whether the path leads to another file now, or to none."""
        try:
            status = os.stat(self.path)
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self._file

    def last_id(self) -> int:
        """Return the number of the record that came last."""
        return self._select("SELECT ifnull(max(id), 0) FROM log")[0][0]  # type: ignore[no-any-return]

    def count(self, wanted: Filter) -> int:
        """Tell how many records there are."""
        return self._find("count(*)", wanted, _ALL)[0][0]  # type: ignore[no-any-return]

    def rows(self, wanted: Filter, limit: int | None, last_id: int) -> Iterator[Row]:
        """Give records in the order of their times.

        Args:
            wanted: which.
            limit: the latest of them only, this many; None for all.
            last_id: no later one: see `last_id`.
        """
        until = Condition("id <= ?", (last_id,))
        if limit is None:
            ids = self._ids(wanted, until, f"{wanted.time}, id")
            return (row for _, row in self._rows_of(ids))
        latest = self._ids(wanted, until, f"{wanted.time} DESC, id DESC LIMIT {limit}")
        latest.reverse()
        return (row for _, row in self._rows_of(latest))

    def rows_after(self, wanted: Filter, after: int, last_id: int) -> Iterator[tuple[int, Row]]:
        """Give records with their numbers, in the order in which they came.

        Args:
            wanted: which.
            after: those that came after the one of this number.
            last_id: no later one.
        """
        between = Condition("id > ? AND id <= ?", (after, last_id))
        return self._rows_of(self._ids(wanted, between, "id"))

    def _ids(self, wanted: Filter, more: Condition, order: str) -> array[int]:
        return array("q", [number for (number,) in self._find("id", wanted, more, order)])

    def _find(self, what: str, wanted: Filter, more: Condition, order: str = "1") -> list[Any]:
        # In a transaction: an index of texts may be dropped at any time.
        self._select("BEGIN")
        try:
            indexes = schema.text_indexes(self._connection) if self._full_text else []
            where = condition(wanted, indexes).and_(more)
            sql = f"SELECT {what} FROM log WHERE {where.sql} ORDER BY {order}"  # noqa: S608
            return self._select(sql, where)
        except sqlite3.Error as exc:
            raise self._cannot(exc) from exc
        finally:
            self._connection.rollback()

    def _rows_of(self, ids: array[int]) -> Iterator[tuple[int, Row]]:
        """Give records that are still there; between two parts the server can have its turn.

        Whoever shows them may take hours, as a pager does: a transaction of that length would keep
        the journal of the database growing.
        """
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(part))
            sql = f"SELECT id, {_COLUMNS} FROM log WHERE id IN ({marks})"  # noqa: S608
            found = {
                number: values for number, *values in self._select(sql, Condition("", (*part,)))
            }
            for number in part:
                if number in found:
                    row = Row(*found[number])
                    yield number, row._replace(time_of_arrival=bool(row.time_of_arrival))

    def _select(self, sql: str, where: Condition | None = None) -> list[Any]:
        try:
            return self._connection.execute(sql, where.parameters if where else ()).fetchall()
        except sqlite3.Error as exc:
            raise self._cannot(exc) from exc


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
