"""Reading a database of logs: also while it is written, pruned and replaced; errors are plain."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sipyco_tools._logging.rows import Row
from sipyco_tools._logstore import pruning, schema
from sipyco_tools._logstore.database import LogDatabase
from sipyco_tools._logstore.query import Filter
from sipyco_tools._logstore.reading import CannotRead, LogReader
from support.forks import in_child

GB = 2**30
ALL = Filter()


def row(number: int, created: float | None = None) -> Row:
    made = float(number) if created is None else created
    return Row(made, float(number), False, "s", 20, "n", f"message {number}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
def database(path: Path) -> Iterator[LogDatabase]:
    database = LogDatabase(path, GB)
    database.open()
    yield database
    database.close()


def numbers(rows: Iterator[Row]) -> list[int]:
    return [int(row.received) for row in rows]


def numbers_after(reader: LogReader, wanted: Filter, after: int, last_id: int) -> list[int]:
    return numbers(row for _, row in reader.rows_after(wanted, after, last_id))


def test_rows_come_back_as_they_were(path: Path, database: LogDatabase) -> None:
    rows = [Row(1.5, 2.5, True, "é", 35, "a.b", "one\ntwo"), row(3)]
    database.write(rows)
    with closing(LogReader(path)) as reader:
        assert list(reader.rows(ALL, None, reader.last_id())) == rows


def test_the_order_is_that_of_their_times_and_the_latest_are_chosen_by_it(
    path: Path, database: LogDatabase
) -> None:
    database.write([row(1, 30.0), row(2, 10.0), row(3, 20.0), row(4, 20.0)])
    with closing(LogReader(path)) as reader:
        assert numbers(reader.rows(ALL, None, 4)) == [2, 3, 4, 1]
        assert numbers(reader.rows(ALL, 2, 4)) == [4, 1]
        assert numbers(reader.rows(ALL, 0, 4)) == []
        assert numbers(reader.rows(Filter(by_arrival=True), 2, 4)) == [3, 4]
        assert numbers(reader.rows(ALL, None, 2)) == [2, 1]
        assert reader.count(Filter(since=20.0)) == 3


def test_what_comes_later_is_found_by_its_number(path: Path, database: LogDatabase) -> None:
    with closing(LogReader(path)) as reader:
        assert reader.last_id() == 0
        database.write([row(1, 50.0), row(2, 10.0)])
        assert numbers_after(reader, ALL, 0, reader.last_id()) == [1, 2]
        database.write([row(3)])
        assert numbers_after(reader, ALL, 2, reader.last_id()) == [3]
        assert numbers_after(reader, Filter(words=("message",)), 1, 3) == [2, 3]


def test_many_rows_come_in_parts_and_those_that_are_deleted_meanwhile_are_left_out(
    path: Path, database: LogDatabase
) -> None:
    database.write([row(number) for number in range(1, 1001)])
    with closing(LogReader(path)) as reader:
        rows = reader.rows(ALL, None, 1000)
        assert int(next(rows).received) == 1
        connection = database._connection
        assert connection is not None
        pruning._delete_up_to(connection, 500)  # a reader does not hold up the server
        assert numbers(rows) == [*range(2, 101), *range(501, 1001)]


def test_an_index_of_texts_may_come_and_go(path: Path) -> None:
    database = LogDatabase(path, 2**20)
    database.open()
    with closing(LogReader(path)) as reader:
        for first in range(0, 20_000, 1000):
            database.write([row(number) for number in range(first, first + 1000)])
            database.tend()
            expected = [first + 999] if first else []
            found = numbers(reader.rows(Filter(words=(f"message {first + 999}",)), None, 10**6))
            assert found[-1:] == (expected or [999])
        with closing(sqlite3.connect(path)) as connection:
            indexes = schema.text_indexes(connection)
        assert len(indexes) > 4
        assert "text_1" not in indexes
        count = reader.count(ALL)
        assert count < 20_000
        assert reader.count(Filter(words=("message",))) == count
    database.close()


def test_a_database_without_an_index_is_looked_through(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "FULL_TEXT", schema.FULL_TEXT.replace("fts5", "fts55"))
    with closing(LogDatabase(path, GB)) as database:
        database.open()
        database.write([row(1), row(2)])
        with closing(LogReader(path)) as reader:
            assert numbers(reader.rows(Filter(words=("sage 2",)), None, 2)) == [2]


def test_a_sqlite_that_cannot_search_looks_through_it(
    path: Path, database: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.write([row(1), row(2)])
    monkeypatch.setattr(schema, "can_search", lambda connection, index: False)
    with closing(LogReader(path)) as reader:
        assert numbers(reader.rows(Filter(words=("sage 2",)), None, 2)) == [2]


def test_nothing_is_written_by_a_reader(path: Path, database: LogDatabase) -> None:
    database.write([row(1)])
    with closing(LogReader(path)) as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM log")


def test_one_that_is_not_there(path: Path) -> None:
    with pytest.raises(CannotRead) as raised:
        LogReader(path)
    assert str(raised.value) == f"No such file or directory: {path}"
    assert not path.exists()


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(CannotRead, match=f"^Is a directory: {tmp_path}$"):
        LogReader(tmp_path)


def test_one_that_may_not_be_read(
    path: Path, database: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(CannotRead, match=f"^Permission denied: {path}$"):
        LogReader(path)


def test_something_else_is_called_so(path: Path) -> None:
    path.write_text("not a database" * 100)
    with pytest.raises(CannotRead) as raised:
        LogReader(path)
    assert str(raised.value) == (f"{path} is damaged, or no database: file is not a database")
    path.unlink()
    path.touch()
    with pytest.raises(CannotRead, match="is empty: nothing has been stored in it yet"):
        LogReader(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE results (x)")
    with pytest.raises(CannotRead, match="is a database of something else than logs"):
        LogReader(path)


def test_a_newer_one_says_what_to_do(path: Path, database: LogDatabase) -> None:
    database.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(CannotRead, match="of version 7, and this sipyco reads version 1: use the"):
        LogReader(path)


def test_damage_that_is_found_later_is_said(path: Path, database: LogDatabase) -> None:
    database.write([row(number) for number in range(3000)])
    database.close()
    with closing(LogReader(path)) as reader:
        size = path.stat().st_size
        with open(path, "rb+") as file:
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
        with pytest.raises(CannotRead, match="is damaged, or no database: "):
            list(reader.rows(ALL, None, 3000))


def test_one_that_is_locked_for_ever_is_said(
    path: Path, database: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close()
    monkeypatch.setattr("sipyco_tools._logstore.reading._BUSY_TIMEOUT", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CannotRead, match="cannot be read: database is locked"):
            LogReader(path)


@pytest.mark.skipif(
    os.name != "posix" or os.getuid() != 0, reason="only root can become somebody else"
)
@pytest.mark.parametrize("running", [False, True])
def test_one_whose_directory_may_not_be_written_is_read(running: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "logs.db"
        with closing(LogDatabase(path, GB)) as database:
            database.open()
            database.write([row(1)])
            if not running:
                database.close()  # without a journal, SQLite would have to make files to read it
            path.parent.chmod(0o755)

            def as_nobody() -> list[int]:
                os.setgid(65534)
                os.setuid(65534)
                assert not os.access(path.parent, os.W_OK)
                with closing(LogReader(path)) as reader:
                    return numbers(reader.rows(ALL, None, reader.last_id()))

            assert in_child(as_nobody) == "[1]"


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps open files where they are")
def test_a_database_that_is_replaced_is_noticed(path: Path, database: LogDatabase) -> None:
    database.write([row(1)])
    with closing(LogReader(path)) as reader:
        assert not reader.was_replaced()
        path.rename(path.with_name("aside"))
        assert reader.was_replaced()
        database.write([row(2)])
        assert reader.was_replaced()
        assert numbers(reader.rows(ALL, None, 1)) == [1]
