"""The database: what was committed is there, whatever happens to the process, disk or file."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sipyco_tools._logging.rows import Row
from sipyco_tools._logstore import database as database_module
from sipyco_tools._logstore import pruning, schema
from sipyco_tools._logstore.database import LogDatabase
from sipyco_tools._logstore.disk import may_pass
from sipyco_tools._logstore.schema import NotALogDatabase
from sipyco_tools._logstore.writer import SinkError
from support.forks import in_child
from support.peers import DEADLINE, until

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows keeps open files where they are")
GB = 2**30


def row(number: int, message: str = "", received: float | None = None) -> Row:
    when = float(number) if received is None else received
    return Row(when, when, False, "s", 20, "laser.lock", message or f"message {number}")


def rows(first: int, last: int, message: str = "") -> list[Row]:
    return [row(number, message) for number in range(first, last + 1)]


def select(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def stored(path: Path) -> list[float]:
    return [created for (created,) in select(path, "SELECT created FROM log ORDER BY id")]


def is_whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        for index in schema.text_indexes(connection):
            connection.execute(f"INSERT INTO {index} ({index}) VALUES ('integrity-check')")
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
def opened(path: Path) -> Iterator[LogDatabase]:
    database = LogDatabase(path, GB)
    database.open()
    yield database
    database.close()


def test_rows_come_back_as_they_were(path: Path, opened: LogDatabase) -> None:
    full = Row(1.25, 2.5, True, "laser é", 35, "a.b", "one\ntwo \U0001f600")
    opened.write([full])
    opened.write(rows(2, 3))
    assert select(path, "SELECT * FROM log") == [
        (1, 1.25, 2.5, 1, "laser é", 35, "a.b", "one\ntwo \U0001f600"),
        (2, 2.0, 2.0, 0, "s", 20, "laser.lock", "message 2"),
        (3, 3.0, 3.0, 0, "s", 20, "laser.lock", "message 3"),
    ]
    opened.close()
    opened.close()
    assert os.listdir(path.parent) == ["logs.db"]  # and no journal
    assert is_whole(path)


def test_one_that_is_there_is_continued(path: Path) -> None:
    for number in (1, 2):
        database = LogDatabase(path, GB)
        database.open()
        database.write([row(number)])
        database.close()
    assert stored(path) == [1.0, 2.0]


def test_what_makes_it_ours_is_written_with_the_tables(path: Path, opened: LogDatabase) -> None:
    assert select(path, "PRAGMA application_id") == [(0x53695079,)]
    assert select(path, "PRAGMA user_version") == [(1,)]
    assert select(path, "PRAGMA auto_vacuum") == [(2,)]
    assert select(path, "PRAGMA journal_mode") == [("wal",)]


def test_an_empty_file_is_filled(path: Path) -> None:
    """Such as one whose program was killed before it had made the tables."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    database = LogDatabase(path, GB)
    database.open()
    database.write([row(1)])
    database.close()
    assert stored(path) == [1.0]


def test_another_database_is_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE results (x)")
    before = path.read_bytes()
    with pytest.raises(
        NotALogDatabase, match=r"logs\.db is a database of something else than logs"
    ):
        LogDatabase(path, GB).open()
    assert path.read_bytes() == before


def test_a_newer_one_is_left_as_it_is(path: Path, opened: LogDatabase) -> None:
    opened.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(
        NotALogDatabase, match="of version 2, and this sipyco reads version 1: use"
    ):
        LogDatabase(path, GB).open()


# --- without full-text search --------------------------------------------------------------------


def test_without_full_text_search_it_works_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    missing = schema.FULL_TEXT.replace("fts5", "fts55")
    monkeypatch.setattr(schema, "FULL_TEXT", missing)
    database = LogDatabase(path, 2**20)
    database.open()
    [message] = caplog.messages
    assert message == (
        "this Python's SQLite has no full-text search (FTS5): sipyco_logs will look through the "
        "texts one by one"
    )
    database.write(rows(1, 5000, "x" * 500))
    database.tend()
    database.close()
    assert 0 < len(stored(path)) < 5000


def test_an_index_that_cannot_be_kept_is_a_reason_to_refuse(
    path: Path, opened: LogDatabase
) -> None:
    opened.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'fts5', 'fts55') WHERE name = 'text_1'"
        )
    with pytest.raises(NotALogDatabase, match=r"which this Python's SQLite cannot keep \(FTS5\)"):
        LogDatabase(path, GB).open()


def test_an_index_that_cannot_be_read_is_not_one_that_cannot_be_searched() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(sqlite3.OperationalError, match="no such table: text_1"):
            schema.can_search(connection, "text_1")


def test_tables_that_have_no_room_are_not_made_by_halves() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA max_page_count = 8")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            schema.create(connection)
        assert not connection.in_transaction
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


# --- limits --------------------------------------------------------------------------------------


def test_the_oldest_go_when_it_is_too_large_and_the_file_shrinks(path: Path) -> None:
    limit = 2 * 2**20
    database = LogDatabase(path, GB)
    database.open()
    database.write(rows(1, 20_000, "a message of usual length, with words that are indexed"))
    database.close()
    large = path.stat().st_size
    assert large > limit
    database = LogDatabase(path, limit)
    database.open()
    for first in range(20_001, 30_001, 1000):
        database.write(rows(first, first + 999))
        database.tend()
    database.close()
    left = stored(path)
    assert left == list(range(30_001 - len(left), 30_001))  # the latest, without a gap
    assert len(left) > 1000
    assert path.stat().st_size <= limit
    assert is_whole(path)


def test_large_rows_do_not_take_all_others_with_them(path: Path) -> None:
    database = LogDatabase(path, 4 * 2**20)
    database.open()
    for number in range(1, 41):
        database.write([row(number, "x" * 400_000)])
        database.tend()
    database.close()
    left = stored(path)
    assert 4 <= len(left) <= 10
    assert left[-1] == 40.0


def test_rows_go_when_they_are_too_old(path: Path) -> None:
    now = time.time()
    database = LogDatabase(path, GB, max_age=3600)
    database.open()
    database.write([row(n, received=now - 7200) for n in range(2500)])
    # What counts is when it came here: the clock of a sender may be wrong by years.
    database.write([Row(1.0, now, False, "s", 20, "n", "m")])
    database.tend()
    assert stored(path) == [1.0]
    database.tend()
    assert stored(path) == [1.0]
    database.close()


def test_deleting_ends_between_two_steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_STEP", 10)
    database = LogDatabase(path, GB, max_age=1)
    database.open()
    database.write(rows(1, 100))
    delete, steps = pruning._delete_up_to, []

    def step(connection: sqlite3.Connection, last: int) -> int:
        steps.append(last)
        if len(steps) == 3:
            database.stopping.set()
        return delete(connection, last)

    monkeypatch.setattr(pruning, "_delete_up_to", step)
    database.tend()
    assert steps == [10, 20, 30]
    assert len(stored(path)) == 70
    database.close()


def test_deleting_that_is_refused_deletes_nothing(path: Path) -> None:
    database = LogDatabase(path, GB, max_age=1)
    database.open()
    database.write(rows(1, 10))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER keep BEFORE DELETE ON log WHEN OLD.id = 5 "
            "BEGIN SELECT RAISE(FAIL, 'it is kept'); END"  # what is deleted already stays so
        )
    with pytest.raises(SinkError, match="it is kept"):
        database.tend()
    database.write([row(11)])
    database.close()
    assert stored(path) == list(range(1, 12))


def test_an_index_that_cannot_be_begun_leaves_no_transaction_open(path: Path) -> None:
    database = LogDatabase(path, 2**20)
    database.open()
    database.write(rows(1, 500, "a message of usual length, with words that are indexed"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE text_501 (x)")
    with pytest.raises(SinkError, match=r"text_501.* already exists"):
        database.tend()
    database.write([row(501)])
    database.close()
    assert stored(path) == list(range(1, 502))
    assert is_whole(path)


def test_an_empty_database_cannot_become_smaller(path: Path) -> None:
    database = LogDatabase(path, 1)
    database.open()
    database.tend()
    database.close()
    database.tend()  # closed: there is nothing to do


def test_what_was_committed_is_written_to_the_disk_now_and_then(
    path: Path, opened: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_SYNC_INTERVAL", 0.0)
    opened.write([row(1, "findme" * 10)])
    assert b"findme" not in path.read_bytes()  # but in the journal
    opened.tend()
    assert b"findme" in path.read_bytes()


# --- the process, the disk, and the file ---------------------------------------------------------


WRITES = """
import sys
from pathlib import Path
from sipyco_tools._logstore.database import LogDatabase
from sipyco_tools._logging.rows import Row

database = LogDatabase(Path(sys.argv[1]), 2 * 2**20)
database.open()
number = 0
while True:
    number += 1
    database.write([Row(float(number), 1.0, False, "s", 20, "n", f"message {number} " * 20)] * 10)
    print(number, flush=True)
    if number % 100 == 0:
        database.tend()
"""


@POSIX
@pytest.mark.parametrize("lines", [0, 1, 50, 400])
def test_a_kill_loses_nothing_that_was_committed(path: Path, lines: int) -> None:
    command = [sys.executable, "-c", WRITES, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = 0
        for _ in range(lines):
            last = int(process.stdout.readline())
        if lines == 0:
            until(path.exists)  # it is about to make it
        process.kill()
        for line in process.stdout:
            if line.endswith("\n"):
                last = int(line)
    database = LogDatabase(path, GB)
    database.open()
    database.write([row(10**6)])
    database.close()
    found = stored(path)
    assert found[-1] == 10**6
    numbers = found[:-1]
    assert len(numbers) % 10 == 0  # batches are whole
    if last:
        assert numbers[-1] in (last, last + 1)
        assert numbers[::10] == list(range(int(numbers[0]), int(numbers[-1]) + 1))
    assert is_whole(path)
    assert sorted(os.listdir(path.parent)) == ["logs.db"]


def test_a_full_disk_is_said_and_what_was_there_stays(path: Path, opened: LogDatabase) -> None:
    opened.write(rows(1, 10))
    connection = opened._connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(SinkError, match=r"^database or disk is full$") as raised:
        opened.write(rows(11, 1000))
    assert may_pass(raised.value.__cause__)
    assert len(stored(path)) == 10
    opened.write(rows(11, 1000))  # it is opened again: there is room now
    assert len(stored(path)) == 1000


def fill(database: LogDatabase, batches: Iterable[list[Row]]) -> None:
    """Write until the disk is full."""
    for batch in batches:
        try:
            database.write(batch)
        except SinkError:
            return
    pytest.fail("there was room for everything")


@pytest.mark.skipif(
    os.name != "posix" or os.uname().sysname != "Linux" or os.getuid() != 0,
    reason="only root can make a small disk",
)
def test_a_real_disk_that_is_full_is_written_to_once_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3M", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this container may not mount")
    try:
        path = disk / "logs.db"
        database = LogDatabase(path, GB)
        database.open()
        database.write(rows(1, 100))
        (disk / "fill").write_bytes(b"x" * 2_000_000)
        fill(database, ([row(number, "y" * 10_000)] for number in range(101, 2000)))
        before = stored(path)
        assert before == list(range(1, len(before) + 1))
        assert len(before) >= 100
        fill(database, (rows(5000, 5100, "z" * 1000) for _ in range(200)))
        (disk / "fill").unlink()
        database.write([row(10_000)])
        assert stored(path)[: len(before)] == before
        assert stored(path)[-1] == 10_000
        database.close()
        assert is_whole(path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@POSIX
def test_a_directory_that_is_gone_is_named_and_one_that_is_back_is_used(
    path: Path, opened: LogDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    opened.write([row(1)])
    shutil.rmtree(path.parent)
    for _ in range(2):
        with pytest.raises(SinkError) as raised:
            opened.write([row(2)])
        assert str(raised.value) == f"No such file or directory: {path.parent}"
        assert not may_pass(raised.value)
    path.parent.mkdir()
    opened.write([row(3)])
    assert stored(path) == [3.0]
    assert caplog.messages == [
        f"the database {path} was removed or replaced: beginning it anew",
    ]


@POSIX
def test_a_file_that_is_removed_is_made_anew(
    path: Path, opened: LogDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    opened.write([row(1)])
    path.unlink()
    opened.write([row(2)])
    assert stored(path) == [2.0]
    assert len(caplog.messages) == 1


@POSIX
def test_a_file_that_is_moved_away_keeps_what_it_has(path: Path, opened: LogDatabase) -> None:
    opened.write([row(1)])
    with closing(sqlite3.connect(path)) as reader:  # keeps its journal from going
        reader.execute("SELECT * FROM log").fetchall()
        path.rename(path.with_name("moved.db"))
        opened.write([row(2)])
    assert stored(path.with_name("moved.db")) == [1.0]
    assert stored(path) == [2.0]
    assert is_whole(path)


@POSIX
def test_the_journal_of_a_file_that_was_removed_belongs_to_nobody(
    path: Path, opened: LogDatabase
) -> None:
    opened.write(rows(1, 100))
    journal = path.with_name("logs.db-wal").read_bytes()
    opened.close()
    path.unlink()
    path.with_name("logs.db-wal").write_bytes(journal)  # as a kill leaves it
    opened.open()
    opened.write([row(200)])
    assert stored(path) == [200.0]


@POSIX
@pytest.mark.parametrize("suffixes", [["-wal"], ["-shm"], ["-wal", "-shm"]])
def test_a_journal_that_is_removed_costs_nothing(
    path: Path, opened: LogDatabase, suffixes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    opened.write(rows(1, 10))
    for suffix in suffixes:
        Path(f"{path}{suffix}").unlink()
    opened.write([row(11)])
    opened.write([row(12)])
    assert stored(path) == list(range(1, 13))  # as others read it, while it is written
    assert is_whole(path)
    assert caplog.messages == [f"the journal of the database {path} was removed: making a new one"]


@POSIX
def test_what_others_cannot_read_is_found_out(
    path: Path,
    opened: LogDatabase,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has in memory what is spoiled in the file, and would not notice before it ends."""
    monkeypatch.setattr(database_module, "_SYNC_INTERVAL", 0.0)
    opened.write([row(1)])
    opened.tend()
    [(page, size)] = select(
        path, "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size "
        "WHERE name = 'text_1_config'"
    )  # fmt: skip
    with open(path, "rb+") as file:
        file.seek((page - 1) * size)
        file.write(b"\xaa" * size)
    opened.write([row(2)])
    opened.tend()
    opened.write([row(3)])
    assert stored(path) == [3.0]
    assert is_whole(path)
    assert len(caplog.messages) == 1
    assert "is damaged" in caplog.messages[0]


@POSIX
def test_a_file_that_is_replaced_by_something_else_is_not_written(
    path: Path, opened: LogDatabase
) -> None:
    opened.write([row(1)])
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE results (x)")
    with pytest.raises(SinkError, match="is a database of something else than logs"):
        opened.write([row(2)])


@pytest.mark.skipif(
    os.name != "posix" or os.getuid() != 0, reason="only root can become somebody else"
)
def test_a_file_that_may_only_be_read_is_refused_at_once() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "logs.db"
        with closing(LogDatabase(path, GB)) as database:
            database.open()
        Path(name).chmod(0o777)

        def as_nobody() -> str:
            os.setgid(65534)
            os.setuid(65534)
            with pytest.raises(SinkError) as raised:
                LogDatabase(path, GB).open()
            return str(raised.value)

        assert in_child(as_nobody) == "attempt to write a readonly database"


@POSIX
@pytest.mark.skipif(os.name == "posix" and os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(SinkError, match="unable to open database file"):
            LogDatabase(path, GB).open()
    finally:
        path.parent.chmod(0o700)


def test_somebody_else_who_writes_is_waited_for_and_then_said(
    path: Path, opened: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_BUSY_TIMEOUT", 0.01)
    opened.close()
    opened.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SinkError, match="database is locked") as raised:
            opened.write([row(1)])
        assert may_pass(raised.value.__cause__)
        other.execute("ROLLBACK")
    opened.write([row(1)])
    assert stored(path) == [1.0]


def spoil_header(path: Path) -> None:
    with open(path, "rb+") as file:
        file.write(b"\xff" * 100)


def spoil_pages(path: Path) -> None:
    size = path.stat().st_size
    with open(path, "rb+") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def cut_short(path: Path) -> None:
    os.truncate(path, 4096 * 3 + 100)


def write_text(path: Path) -> None:
    path.write_text("It was a dark and stormy night.\n" * 1000)


@POSIX
@pytest.mark.parametrize("spoil", [spoil_header, spoil_pages, cut_short, write_text])
@pytest.mark.parametrize("running", [False, True])
def test_a_damaged_database_is_set_aside(
    path: Path,
    spoil: Callable[[Path], None],
    running: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "_SYNC_INTERVAL", 0.0)
    database = LogDatabase(path, GB)
    database.open()
    database.write(rows(1, 3000))
    database.close()
    if running:
        database.open()
    spoil(path)
    spoiled = path.read_bytes()
    if running:
        database.write([row(4000)])  # goes into the damaged one, if that is not noticed at once
        database.tend()
    else:
        database.open()
    database.write([row(5000)])
    database.close()
    assert stored(path) in ([5000.0], [4000.0, 5000.0])
    assert is_whole(path)
    kept = path.with_name(f"logs.db.damaged-{time.strftime('%Y%m%d')}-1")
    assert running or kept.read_bytes() == spoiled
    [message] = caplog.messages
    assert caplog.records[0].levelno == logging.ERROR
    assert message.startswith(f"the database {path} is damaged (")
    assert message.endswith(f"): it was set aside as {kept.name}, and a new one is begun")


@POSIX
def test_damage_that_deleting_finds_is_dealt_with(
    path: Path, opened: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*args: object) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT  # type: ignore[misc]
        raise error

    opened.write([row(1)])
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "prune", damaged)
        opened.tend()
    opened.write([row(2)])
    assert stored(path) == [2.0]


def test_deleting_that_fails_is_said(
    path: Path, opened: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database_module, "prune", full)
    with pytest.raises(SinkError, match="database or disk is full"):
        opened.tend()


@POSIX
def test_a_disk_that_spoils_everything_is_not_filled_with_damaged_files(path: Path) -> None:
    for _ in range(10):
        write_text(path)
        database = LogDatabase(path, GB)
        database.open()
        database.close()
    assert len(os.listdir(path.parent)) == 11
    write_text(path)
    with pytest.raises(
        SinkError, match="10 damaged ones were set aside already: look at the disk"
    ):
        LogDatabase(path, GB).open()


def test_a_damaged_one_that_cannot_be_renamed_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*args: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    write_text(path)
    monkeypatch.setattr(os, "rename", refuses)
    with pytest.raises(SinkError, match=r"cannot be set aside: .*Operation not permitted"):
        LogDatabase(path, GB).open()


@pytest.mark.parametrize(
    ("cause", "passes"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (None, False),
    ],
)
def test_which_reasons_may_go_by_themselves(cause: OSError | None, passes: bool) -> None:
    assert may_pass(cause) is passes


@POSIX
def test_a_child_leaves_the_connection_to_its_parent(path: Path, opened: LogDatabase) -> None:
    opened.write([row(1)])

    def child() -> None:
        opened.after_fork()
        opened.write([row(2)])
        opened.close()

    assert in_child(child) == "None"
    opened.write([row(3)])
    assert stored(path) == [1.0, 2.0, 3.0]


def test_rows_that_are_wrong_leave_no_transaction_open(path: Path, opened: LogDatabase) -> None:
    bad: Any = row(2)._replace(message=object())
    with pytest.raises((sqlite3.Error, SinkError)):
        opened.write([row(1), bad])
    opened.write([row(3)])
    assert stored(path) == [3.0]


def test_it_is_used_in_another_thread_than_it_was_opened(path: Path, opened: LogDatabase) -> None:
    thread = threading.Thread(target=lambda: opened.write([row(1)]))
    thread.start()
    thread.join(DEADLINE)
    assert stored(path) == [1.0]
