"""Keeps a database of logs within its limits of size and age, in steps."""

from __future__ import annotations

import sqlite3
import threading
import time
from itertools import pairwise
from typing import Final

from sipyco_tools._logstore import schema

_STEP: Final = 1000  # rows that are deleted in one transaction: no writer waits long
_ROOM: Final = 0.95  # of the size: not each row that comes is to have another deleted
_SHARE: Final = 1 / 16  # of the size, for the rows of one index of texts: it goes as a whole
_OLDEST: Final = "SELECT id, received FROM log ORDER BY id LIMIT ?"


def prune(
    connection: sqlite3.Connection,
    max_size: int,
    max_age: float | None,
    stopping: threading.Event,
) -> None:
    """Delete the oldest rows until the limits are kept, and give the room back to the disk.

    Oldest is what came first, by the clock of this computer: those of others may be wrong.

    Args:
        connection: the database, without a transaction.
        max_size: in bytes.
        max_age: in seconds; None for no limit.
        stopping: ends it between two steps.
    """
    _begin_index(connection, max_size)
    while max_age is not None and not stopping.is_set():
        if not _delete_older(connection, time.time() - max_age):
            break
    if _size(connection) > max_size:
        while (size := _size(connection)) > max_size * _ROOM and not stopping.is_set():
            if not _delete_share(connection, 1 - max_size * _ROOM / size):
                break
    if _pragma(connection, "freelist_count"):
        # `execute` would take one step of it, which is one page.
        connection.executescript("PRAGMA incremental_vacuum;")


def _size(connection: sqlite3.Connection) -> int:
    """Return how many bytes are in use."""
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _ends(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """Return the numbers of the first and the last row, or None without any."""
    # Not both in one: SQLite would look at each row.
    first, last = connection.execute(
        "SELECT (SELECT min(id) FROM log), (SELECT max(id) FROM log)"
    ).fetchone()
    return None if first is None else (first, last)


def _begin_index(connection: sqlite3.Connection, max_size: int) -> None:
    """Begin a new index of texts when the last one is for its share of the rows, about."""
    indexes, ends = schema.text_indexes(connection), _ends(connection)
    if not indexes or ends is None:
        return
    first, last = ends
    share = (last + 1 - schema.first_row(indexes[-1])) / (last + 1 - first)
    if share * _size(connection) > max_size * _SHARE:
        connection.execute("BEGIN IMMEDIATE")
        try:
            (after,) = connection.execute("SELECT max(id) + 1 FROM log").fetchone()
            schema.add_text_index(connection, after)
            connection.execute("COMMIT")
        except BaseException:
            schema.roll_back(connection)
            raise


def _delete_older(connection: sqlite3.Connection, received: float) -> int:
    last = connection.execute(
        f"SELECT max(id) FROM ({_OLDEST}) WHERE received < ?",  # noqa: S608
        (_STEP, received),
    ).fetchone()[0]
    return 0 if last is None else _delete_up_to(connection, last)


def _delete_share(connection: sqlite3.Connection, share: float) -> int:
    """Delete a share of all rows, or a step of it: those who come may be larger than others."""
    ends = _ends(connection)
    if ends is None:
        return 0
    first, last = ends
    count = max(1, min(_STEP, round((last - first + 1) * share)))
    (up_to,) = connection.execute(
        f"SELECT max(id) FROM ({_OLDEST})",  # noqa: S608
        (count,),
    ).fetchone()
    return _delete_up_to(connection, up_to)


def _delete_up_to(connection: sqlite3.Connection, last: int) -> int:
    """Delete rows up to a number, and the indexes of texts that have no row any more."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        deleted = connection.execute("DELETE FROM log WHERE id <= ?", (last,)).rowcount
        _drop_indexes(connection, last)
        connection.execute("COMMIT")
    except BaseException:
        schema.roll_back(connection)
        raise
    return deleted


def _drop_indexes(connection: sqlite3.Connection, last: int) -> None:
    indexes = schema.text_indexes(connection)
    for index, following in pairwise(indexes):
        if schema.first_row(following) <= last + 1:
            connection.execute(f"DROP TABLE {index}")
