"""What is asked of a database of logs, as SQL. No files here."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sipyco_tools._logging.rows import storable

# Thai, Lao, Burmese, Khmer, and from there on Chinese, Japanese, and symbols.
_WITHOUT_SPACES: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\U0010ffff]")
_WARNING: Final = logging.WARNING  # from here on the database has an index


class Filter(NamedTuple):
    """Which records are wanted.

    Attributes:
        since: not those before this time, in seconds since 1970.
        until: not those from this time on.
        by_arrival: times are those of arrival.
        sources: of these programs; `*` stands for any characters. None named: of all.
        level: the least level.
        loggers: of these loggers and those below them. None named: of all.
        words: which the message, the source or the logger's name has, all of them. One with
            spaces in it is a phrase.
    """

    since: float | None = None
    until: float | None = None
    by_arrival: bool = False
    sources: tuple[str, ...] = ()
    level: int = 0
    loggers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def time(self) -> str:
        """The column of the time that counts."""
        return "received" if self.by_arrival else "created"


class Condition(NamedTuple):
    """A condition in SQL, and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()

    def and_(self, other: Condition) -> Condition:
        """Return a condition that holds where this and another one hold."""
        return Condition(f"({self.sql}) AND ({other.sql})", self.parameters + other.parameters)


def condition(wanted: Filter, indexes: Sequence[str]) -> Condition:
    """Return the condition that records fulfil.

    Args:
        wanted: which ones.
        indexes: the names of the indexes of texts; without any, texts are looked through.
    """
    # A byte of the command line that is no UTF-8 is a character that SQLite does not take.
    wanted = wanted._replace(
        sources=tuple(map(storable, wanted.sources)),
        loggers=tuple(map(storable, wanted.loggers)),
        words=tuple(map(storable, wanted.words)),
    )
    parts = list(_parts(wanted, indexes)) or [Condition("1")]
    return Condition(
        " AND ".join(f"({part.sql})" for part in parts),
        tuple(value for part in parts for value in part.parameters),
    )


def _parts(wanted: Filter, indexes: Sequence[str]) -> Iterator[Condition]:
    if wanted.since is not None:
        yield Condition(f"{wanted.time} >= ?", (wanted.since,))
    if wanted.until is not None:
        yield Condition(f"{wanted.time} < ?", (wanted.until,))
    if wanted.level >= _WARNING:
        yield Condition(f"level >= {_WARNING}")  # as it stands there, SQLite uses the index
    if wanted.level > 0:
        yield Condition("level >= ?", (wanted.level,))
    if wanted.sources:
        yield _any_of(_source(name) for name in wanted.sources)
    if wanted.loggers:
        yield _any_of(_logger(name) for name in wanted.loggers)
    indexed = [word for word in wanted.words if indexes and _is_indexed(word)]
    if indexed:
        found = [f"SELECT rowid FROM {index} WHERE {index} MATCH ?" for index in indexes]  # noqa: S608
        sql = f"id IN ({' UNION ALL '.join(found)})"
        yield Condition(sql, (match_text(indexed),) * len(indexes))
    for word in wanted.words:
        if word not in indexed:
            yield _contains(word)


def _any_of(parts: Iterable[Condition]) -> Condition:
    found = list(parts)
    return Condition(
        " OR ".join(part.sql for part in found),
        tuple(value for part in found for value in part.parameters),
    )


def _source(name: str) -> Condition:
    if "*" not in name:
        return Condition("source = ?", (name,))
    # What else GLOB knows stands for itself.
    glob = name.replace("[", "[[]").replace("?", "[?]")
    return Condition("source GLOB ?", (glob,))


def _logger(name: str) -> Condition:
    return Condition("logger = ? OR substr(logger, 1, ?) = ?", (name, len(name) + 1, f"{name}."))


def _contains(word: str) -> Condition:
    escaped = word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    columns = ("message", "source", "logger")
    return Condition(
        " OR ".join(rf"{column} LIKE ? ESCAPE '\'" for column in columns), (f"%{escaped}%",) * 3
    )


def _is_indexed(word: str) -> bool:
    """Tell whether an index of texts has a word: it needs letters, of a script with spaces.

    The index takes all between two spaces for one word, and finds beginnings of words only.
    """
    return any(map(str.isalnum, word)) and not _WITHOUT_SPACES.search(word)


def match_text(words: Iterable[str]) -> str:
    """Return an expression of FTS5 for texts with all of these; each may be the beginning of one.

    In quotes nothing has a meaning, and a NUL would end the text.
    """
    quoted = [word.replace("\0", " ").replace('"', '""') for word in words]
    return " AND ".join(f'"{word}" *' for word in quoted)
