"""The format of a database of logs: made, and recognized. No log records here."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

APPLICATION_ID: Final = 0x53695079  # "SiPy"; `file` and SQLite's own tools show it
VERSION: Final = 1  # rises with each change that older programs could not read

_TABLES: Final = """\
CREATE TABLE log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created REAL NOT NULL,
    received REAL NOT NULL,
    time_of_arrival INTEGER NOT NULL,
    source TEXT NOT NULL,
    level INTEGER NOT NULL,
    logger TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX log_created ON log (created);
CREATE INDEX log_warnings ON log (created) WHERE level >= 30;
"""

# An index of the texts of some of the rows: those from the number in its name on, up to the next
# index. Rows are never deleted from one, which would take as long as to add them, and more room:
# an index is dropped when its last row is gone. The texts themselves are not stored once more.
FULL_TEXT: Final = """\
CREATE VIRTUAL TABLE {name} USING fts5(
    source, logger, message,
    content='', columnsize=0, tokenize='unicode61 remove_diacritics 2'
);
"""

_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class NotALogDatabase(Exception):
    """A file that is something else, or that this version of the library cannot read."""


def is_damage(exc: sqlite3.Error) -> bool:
    """Tell whether an error says that the file is damaged, or no database at all."""
    code = getattr(exc, "sqlite_errorcode", None)  # extended: the kind is in the lowest byte
    return code is not None and code & 0xFF in _DAMAGED


def text_indexes(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the indexes of texts, the oldest first; none if there can be none."""
    names = connection.execute(
        "SELECT name FROM sqlite_master "
        "WHERE name GLOB 'text_[0-9]*' AND sql LIKE 'CREATE VIRTUAL TABLE%'"
    ).fetchall()
    return sorted((name for (name,) in names), key=first_row)


def first_row(index: str) -> int:
    """Return the number of the first row that an index of texts is for."""
    return int(index.removeprefix("text_"))


def add_text_index(connection: sqlite3.Connection, first: int) -> None:
    """Begin an index of texts, of the rows from a number on."""
    connection.execute(FULL_TEXT.format(name=f"text_{first}"))


def can_search(connection: sqlite3.Connection, index: str) -> bool:
    """Tell whether this SQLite can use an index of texts."""
    try:
        connection.execute(f"SELECT 1 FROM {index} LIMIT 0")  # noqa: S608
    except sqlite3.OperationalError as exc:
        if "no such module" in str(exc):
            return False
        raise
    return True


def check(connection: sqlite3.Connection, path: Path) -> bool:
    """Tell whether the database is one of logs; False if it is empty.

    Raises:
        NotALogDatabase: it is another one.
        sqlite3.Error: it cannot be read.
    """
    identity: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if identity == APPLICATION_ID and version <= VERSION:
        return True
    if identity == APPLICATION_ID:
        raise NotALogDatabase(
            f"{path} is of version {version}, and this sipyco reads version {VERSION}: "
            "use the newer sipyco that has written it"
        )
    if identity == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        return False  # or it was about to be made, and its program was killed
    raise NotALogDatabase(f"{path} is a database of something else than logs")


def create(connection: sqlite3.Connection) -> bool:
    """Make the tables, all or none; return whether there is an index of texts."""
    # Both are for an empty file only.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
    index = FULL_TEXT.format(name="text_1")
    try:
        connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}{index}{marks}COMMIT;")
    except sqlite3.OperationalError as exc:
        roll_back(connection)
        if "no such module" not in str(exc):
            raise
        connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}{marks}COMMIT;")
        return False
    return True


def roll_back(connection: sqlite3.Connection) -> None:
    """End the transaction that failed, if it is not ended yet."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
