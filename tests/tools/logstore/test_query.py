"""What is asked for, as SQL: the right records are found, and no text is an error."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_tools._logging.rows import Row
from sipyco_tools._logstore import schema
from sipyco_tools._logstore.query import Filter, condition, match_text

INSERT = (
    "INSERT INTO log (created, received, time_of_arrival, source, level, logger, message) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)

ROWS = [
    Row(10.0, 110.0, False, "laser", 20, "laser.lock", "the laser is locked"),
    Row(20.0, 120.0, False, "laser", 40, "laser.lock", "lost lock: 50% off\nTraceback"),
    Row(30.0, 90.0, True, "lab3", 30, "laserlike", "Überlauf in C:\\tmp"),
    Row(40.0, 140.0, False, "la[b]", 10, "asyncio", 'said "->" and AND'),
]


@pytest.fixture(params=[True, False], ids=["indexed", "not indexed"])
def full_text(request: pytest.FixtureRequest) -> bool:
    indexed: bool = request.param
    return indexed


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    fill(connection, ROWS)
    yield connection
    connection.close()


def fill(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Store rows; from the fourth on they are in another index."""
    schema.create(connection)
    schema.add_text_index(connection, 4)
    connection.executemany(INSERT, rows)
    for index, which in (("text_1", "id < 4"), ("text_4", "id >= 4")):
        connection.execute(
            f"INSERT INTO {index} (rowid, source, logger, message) "
            f"SELECT id, source, logger, message FROM log WHERE {which}"
        )


def found(connection: sqlite3.Connection, wanted: Filter, full_text: bool) -> list[int]:
    where = condition(wanted, ["text_1", "text_4"] if full_text else [])
    rows = connection.execute(
        f"SELECT id FROM log WHERE {where.sql} ORDER BY id", where.parameters
    ).fetchall()
    return [number for (number,) in rows]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), [1, 2, 3, 4]),
        (Filter(since=20.0), [2, 3, 4]),
        (Filter(until=20.0), [1]),
        (Filter(since=20.0, until=40.0), [2, 3]),
        (Filter(since=110.0, by_arrival=True), [1, 2, 4]),
        (Filter(level=30), [2, 3]),
        (Filter(level=31), [2]),
        (Filter(level=20), [1, 2, 3]),
        (Filter(sources=("laser",)), [1, 2]),
        (Filter(sources=("la*",)), [1, 2, 3, 4]),
        (Filter(sources=("la[b]*", "lab?")), [4]),
        (Filter(loggers=("laser",)), [1, 2]),  # and not `laserlike`
        (Filter(loggers=("laser.lock", "asyncio")), [1, 2, 4]),
        (Filter(words=("lock",)), [1, 2]),
        (Filter(words=("LOST", "lock")), [2]),
        (Filter(words=("lost lock",)), [2]),
        (Filter(words=("lock lost",)), []),
        (Filter(words=("%",)), [2]),
        (Filter(words=("->",)), [4]),
        (Filter(words=('"->"',)), [4]),
        (Filter(words=("c:\\tmp",)), [3]),
        (Filter(words=("AND",)), [4]),
        (Filter(words=("asyncio",)), [4]),  # the name of the logger
        (Filter(words=("lab3",)), [3]),  # the source
        (Filter(words=("trace",), level=40), [2]),
        (Filter(words=("NEAR(lock",)), []),
    ],
)
def test_the_right_records_are_found(
    connection: sqlite3.Connection, full_text: bool, wanted: Filter, numbers: list[int]
) -> None:
    assert found(connection, wanted, full_text) == numbers


def test_the_index_knows_beginnings_of_words_and_letters_without_their_marks(
    connection: sqlite3.Connection,
) -> None:
    assert found(connection, Filter(words=("uber",)), True) == [3]
    assert found(connection, Filter(words=("ocked",)), True) == []
    assert found(connection, Filter(words=("ocked",)), False) == [1]


@pytest.mark.parametrize("word", ["激光", "激光器打开", "🔬", "เลเซอร์"])
def test_words_of_scripts_without_spaces_are_found_within_others(word: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        texts = ["请把激光器打开", "on 🔬🔬", "เปิดเลเซอร์", "laser"]
        fill(connection, [Row(1.0, 1.0, False, "s", 20, "l", text) for text in texts])
        expected = [number for number, text in enumerate(texts, 1) if word in text]
        assert len(expected) == 1
        assert found(connection, Filter(words=(word,)), True) == expected
    finally:
        connection.close()


def test_bytes_that_are_no_utf_8_are_looked_for_as_they_are_stored(full_text: bool) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        fill(connection, [Row(1.0, 1.0, False, r"a\udcff", 20, r"b\udcff", r"c\udcff")])
        for wanted in (
            Filter(sources=("a\udcff",)),
            Filter(sources=("a\udcff*",)),
            Filter(loggers=("b\udcff",)),
            Filter(words=("c\udcff",)),
        ):
            assert found(connection, wanted, full_text) == [1]
    finally:
        connection.close()


WORDS = st.text(alphabet="ab\"'*%_\\^(){}:-+.,; ANDORTé\n\0", min_size=1, max_size=12) | st.text(
    min_size=1, max_size=12
)


@pytest.mark.one_python
@given(st.lists(WORDS, max_size=4), st.booleans())
def test_no_text_is_an_error(words: list[str], full_text: bool) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        storable = [
            word.encode("utf-8", "backslashreplace").decode().replace("\0", "?") for word in words
        ]
        fill(connection, [Row(1.0, 1.0, False, "s", 20, "l", " ".join(storable))])
        wanted = Filter(words=tuple(storable), sources=tuple(storable), loggers=tuple(storable))
        found(connection, wanted, full_text)
        found(
            connection,
            Filter(words=tuple(word.replace("?", "\0") for word in storable)),
            full_text,
        )
        # What was logged is found by its own words.
        assert found(connection, Filter(words=tuple(storable)), full_text) == [1]
    finally:
        connection.close()


def test_quotes_end_nothing() -> None:
    assert match_text(['a"b', "c\0d"]) == '"a""b" * AND "c d" *'


NAMES = st.text(alphabet="ab*[?.", max_size=4)
TIMES = st.none() | st.sampled_from([1.0, 2.0, 3.0])


@pytest.mark.one_python
@given(
    st.lists(
        st.builds(
            Row,
            st.sampled_from([1.0, 2.0, 3.0]),
            st.sampled_from([1.0, 2.0, 3.0]),
            st.booleans(),
            NAMES,
            st.sampled_from([0, 10, 29, 30, 31, 40]),
            NAMES,
            st.text(alphabet="aB%_\\ ", max_size=6),
        ),
        max_size=12,
    ),
    st.builds(
        Filter,
        since=TIMES,
        until=TIMES,
        by_arrival=st.booleans(),
        sources=st.tuples() | st.tuples(NAMES) | st.tuples(NAMES, NAMES),
        level=st.sampled_from([0, 10, 29, 30, 31, 40]),
        loggers=st.tuples() | st.tuples(NAMES) | st.tuples(NAMES, NAMES),
        words=st.lists(st.text(alphabet="ab%_\\", min_size=1, max_size=3)).map(tuple),
    ),
)
def test_it_is_what_a_plain_search_finds(rows: list[Row], wanted: Filter) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        fill(connection, rows)
        expected = [number for number, row in enumerate(rows, 1) if fits(row, wanted)]
        assert found(connection, wanted, False) == expected
    finally:
        connection.close()


def fits(row: Row, wanted: Filter) -> bool:
    time = row.received if wanted.by_arrival else row.created
    texts = [text.lower() for text in (row.message, row.source, row.logger)]
    return (
        (wanted.since is None or time >= wanted.since)
        and (wanted.until is None or time < wanted.until)
        and row.level >= wanted.level
        and (not wanted.sources or any(is_like(row.source, name) for name in wanted.sources))
        and (
            not wanted.loggers or any(f"{row.logger}.".startswith(f"{n}.") for n in wanted.loggers)
        )
        and all(any(word.lower() in text for text in texts) for word in wanted.words)
    )


def is_like(source: str, name: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in name.split("*"))
    return re.fullmatch(pattern, source) is not None if "*" in name else source == name
