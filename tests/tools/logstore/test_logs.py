"""The command `sipyco_logs`: what it shows, in which form, and how it fails."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sipyco_tools import sipyco_logs
from sipyco_tools._logging.rows import Row, shown
from sipyco_tools._logstore import show as show_module
from sipyco_tools._logstore.database import LogDatabase
from sipyco_tools._logstore.query import Filter
from sipyco_tools._logstore.reading import CannotRead, LogReader
from sipyco_tools._logstore.show import Viewer
from support.peers import DEADLINE

MODULE = [sys.executable, "-m", "sipyco_tools.sipyco_logs"]
NOW = datetime.now()


class Done(NamedTuple):
    status: int
    out: str
    err: str


def logs(*arguments: object) -> Done:
    """Run the command in this process, which is faster."""
    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sipyco_logs", *map(str, arguments)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                sipyco_logs.main()
            except SystemExit as exc:
                status = exc.code
    return Done(status, out.getvalue(), err.getvalue())


def ago(**how: float) -> float:
    return (NOW - timedelta(**how)).timestamp()


ROWS = [
    Row(ago(days=3), ago(days=3), False, "laser", 20, "laser.lock", "locked"),
    Row(ago(hours=5), ago(hours=5), False, "laser", 40, "laser.lock", "lost lock\nTraceback"),
    Row(ago(hours=1), ago(hours=1), True, "camera", 30, "camera.shutter", "\x1b[2J stuck µ"),
    Row(ago(minutes=1), ago(hours=4), False, "camera", 10, "asyncio", "debug"),
]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogDatabase]:
    path = tmp_path / "logs.db"
    monkeypatch.setenv("SIPYCO_LOGS", str(path))
    database = LogDatabase(path, 2**30)
    database.open()
    yield database
    database.close()


@pytest.fixture
def filled(database: LogDatabase) -> LogDatabase:
    database.write(ROWS)
    return database


def text(*numbers: int) -> str:
    return "".join(f"{shown(ROWS[number])}\n" for number in numbers)


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ([], [0, 1, 2, 3]),
        (["--since", "1 day"], [1, 2, 3]),
        (["--until", "2h"], [0, 1]),
        (["--since", "6h", "--until", "2h"], [1]),
        (["--level", "warning"], [1, 2]),
        (["--level", "40"], [1]),
        (["--source", "laser"], [0, 1]),
        (["--source", "cam*", "--source", "laser"], [0, 1, 2, 3]),
        (["--logger", "laser"], [0, 1]),
        (["LOCK"], [0, 1]),
        (["lost", "lock"], [1]),
        (["lost lock", "--level", "error"], [1]),
        (["--level", "error", "--", "lost"], [1]),
        (["stuck"], [2]),
        (["'\"*"], []),
        (["-n", "2"], [2, 3]),
        (["--limit", "all"], [0, 1, 2, 3]),
        (["-n", "0"], []),
    ],
)
def test_what_is_asked_for_is_shown(
    filled: LogDatabase, arguments: list[str], numbers: list[int]
) -> None:
    assert logs(*arguments) == Done(0, text(*numbers), "")
    if "-n" not in arguments and "--limit" not in arguments:
        assert logs("--count", *arguments) == Done(0, f"{len(numbers)}\n", "")


def test_by_the_times_of_arrival(filled: LogDatabase) -> None:
    done = logs("--arrival", "--since", "6h")
    order = [line.split("~ ")[1] for line in done.out.splitlines() if "~ " in line]
    assert [line.split()[0] for line in order] == ["laser", "camera", "camera"]
    assert order[1] == "camera DEBUG:asyncio:debug"


def test_objects_for_other_programs(filled: LogDatabase) -> None:
    done = logs("--json", "stuck")
    assert done.out.isascii()
    row = ROWS[2]
    assert json.loads(done.out) == {
        "time": datetime.fromtimestamp(row.created)
        .astimezone()
        .isoformat(timespec="milliseconds"),
        "source": "camera",
        "level": "WARNING",
        "logger": "camera.shutter",
        "message": "\x1b[2J stuck µ",
        "levelno": 30,
        "created": row.created,
        "received": row.received,
        "time_of_arrival": True,
    }
    assert len(logs("--json").out.splitlines()) == 4


def test_without_a_limit_the_latest_hundred_and_all_of_a_time(database: LogDatabase) -> None:
    database.write([ROWS[2]._replace(message=str(number)) for number in range(250)])
    assert len(logs().out.splitlines()) == 100
    assert logs().out.splitlines()[-1].endswith(":249")
    assert len(logs("--since", "2h").out.splitlines()) == 250
    assert len(logs("--since", "2h", "-n", "120").out.splitlines()) == 120
    assert len(logs("-n", "all").out.splitlines()) == 250


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "tomorrow"], "argument --since: expected a time such as 2026-11-30, "),
        (["--since", "1h", "--until", "2h"], "--since must be before --until"),
        (["--level", "loud"], "argument --level: expected one of TRACE, DEBUG, INFO, "),
        (["-n", "few"], "argument -n/--limit: expected `all` or a number, got 'few'"),
        (["-f", "--until", "2h"], "--follow goes with neither --count nor --until"),
        (["--count", "-f"], "--follow goes with neither --count nor --until"),
        (["--count", "--json"], "not allowed with argument"),
        (["--count", "-n", "5"], "--count goes without --limit: it counts all"),
        ([""], "an empty TEXT is in every record: leave it out"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], message: str) -> None:
    done = logs(*arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_a_database_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "logs.db"
    monkeypatch.setenv("SIPYCO_LOGS", str(path))
    assert logs() == Done(
        1,
        "",
        f"sipyco_logs: No such file or directory: {path}; has sipyco_logserver run here? "
        "See --database\n",
    )
    assert logs("--database", path).err == f"sipyco_logs: No such file or directory: {path}\n"


def test_a_database_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "thesis.tex"
    path.write_text("x" * 1000)
    assert logs("--database", path) == Done(
        1, "", f"sipyco_logs: {path} is damaged, or no database: file is not a database\n"
    )


# --- as a process --------------------------------------------------------------------------------


@contextlib.contextmanager
def following(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*MODULE, "-f", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def row(message: str) -> Row:
    return ROWS[0]._replace(message=message)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().removesuffix("\n").rpartition(":")[2]


POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows keeps open files where they are")


@POSIX
def test_what_comes_is_shown_also_from_the_next_database(
    filled: LogDatabase, tmp_path: Path
) -> None:
    with following("-n", "1", "--since", "10 days") as process:
        assert line_of(process) == "debug"
        filled.write([row("one")])
        assert line_of(process) == "one"
        connection = filled._connection
        assert connection is not None
        connection.execute("DELETE FROM log")
        filled.write([row("two")])
        assert line_of(process) == "two"
        filled.write([row("three")])
        os.rename(tmp_path / "logs.db", tmp_path / "aside.db")
        filled.write([row("four")])  # in a new one
        assert line_of(process) == "three"
        assert line_of(process) == "four"
        filled.write([row("five")])
        assert line_of(process) == "five"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=DEADLINE) == ("", "")
        assert process.returncode == 130


@POSIX
def test_a_database_that_is_damaged_is_waited_out(filled: LogDatabase, tmp_path: Path) -> None:
    with following("-n", "1") as process:
        assert line_of(process) == "debug"
        filled.close()
        path = tmp_path / "logs.db"
        spoiled = bytes(path.stat().st_size)
        path.write_bytes(b"x" * 100 + spoiled)
        filled.write([row("anew")])
        assert line_of(process) == "anew"


def test_what_cannot_be_read_is_said_once_and_nothing_is_shown_twice(
    filled: LogDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = LogReader.rows_after
    attempts = 0

    def read_half(
        reader: LogReader, wanted: Filter, after: int, last_id: int
    ) -> Iterator[tuple[int, Row]]:
        nonlocal attempts
        attempts += 1
        for number, row in read(reader, wanted, after, last_id):
            yield number, row
            if attempts < 4:
                raise CannotRead("logs.db is damaged")
        raise KeyboardInterrupt

    monkeypatch.setattr(LogReader, "rows_after", read_half)
    monkeypatch.setattr(show_module, "_RETRY", 0)
    reader = LogReader(filled.path)
    with pytest.raises(KeyboardInterrupt):
        Viewer(Filter(), False).follow(reader, 0)
    out, err = capsys.readouterr()
    assert out.splitlines() == [line for row in ROWS for line in shown(row).splitlines()]
    assert err == "logs.db is damaged; waiting until it can be read, or for another one\n"


def test_only_what_is_asked_for_is_followed(filled: LogDatabase) -> None:
    with following("-n", "0", "--level", "error", "lock") as process:
        assert process.stdout is not None
        written = threading.Event()

        def write() -> None:
            number = 0
            while not written.wait(0.01):  # it may not have begun yet
                number += 1
                filled.write([row("not lock"), row("lock")._replace(level=40)])

        thread = threading.Thread(target=write)
        thread.start()
        try:
            assert process.stdout.readline().endswith(" laser ERROR:laser.lock:lock\n")
        finally:
            written.set()
            thread.join(DEADLINE)


@POSIX
def test_nobody_reads_it_any_more(filled: LogDatabase) -> None:
    command = " ".join(["for i in 1 2 3; do", *MODULE, "; done | head -n 1"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout == text(0)
    assert done.stderr == ""


@POSIX
def test_a_terminal_has_colours_and_notes_unless_they_are_refused(filled: LogDatabase) -> None:
    assert b"\x1b[31mERROR:laser.lock:lost lock\x1b[0m\r\n" in on_terminal("--level", "error")
    assert b"\x1b[" not in on_terminal("--level", "error", NO_COLOR="1")
    assert on_terminal("nosuchword") == b"no such records\r\n"
    filled.write([row(str(number)) for number in range(200)])
    assert on_terminal().endswith(b"(the latest 100; -n all shows all)\r\n")


def on_terminal(*arguments: str, **environment: str) -> bytes:
    import pty

    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                shown.extend(data)
        except OSError:
            pass  # the end of a terminal

    reading = threading.Thread(target=read)
    reading.start()
    try:
        subprocess.run(
            [*MODULE, *arguments],
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment},
            check=True,
            timeout=DEADLINE,
        )
    finally:
        os.close(theirs)
        reading.join(DEADLINE)
        os.close(ours)
    return bytes(shown)


def test_a_pager_does_not_hold_up_the_server(
    database: LogDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown for hours is read in parts, without a transaction."""
    database.write([row(str(number)) for number in range(300)])
    reader = LogReader(tmp_path / "logs.db")
    counts = []

    def slow(text: str) -> None:
        counts.append(text)
        if len(counts) == 1:
            connection = database._connection
            assert connection is not None
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert busy == 0

    monkeypatch.setattr(show_module, "show", slow)
    assert Viewer(Filter(), False).stored(reader, None, reader.last_id()) == 300
    reader.close()
