"""`SQLiteHandler`: any program's log in a database, without waiting for the disk."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sipyco_tools._logging.rows import Row
from sipyco_tools._logstore.query import Filter
from sipyco_tools._logstore.reading import LogReader
from sipyco_tools.logging_tools import SQLiteHandler
from support.environment import as_installed
from support.forks import in_child
from support.peers import DEADLINE, until


def stored(path: Path) -> list[Row]:
    with closing(LogReader(path)) as reader:
        return list(reader.rows(Filter(), None, reader.last_id()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


def test_a_program_logs_into_a_database(path: Path, logger: logging.Logger) -> None:
    handler = SQLiteHandler(path, source="laser", max_age=3600)
    logger.addHandler(handler)
    logger.warning("%d MHz", 5)
    logger.info("forwarded", extra={"source": "another"})
    handler.close()
    handler.close()
    first, second = stored(path)
    assert first[3:] == ("laser", 30, "under.test", "5 MHz")
    assert first.created <= first.received
    assert second.source == "another"
    assert handler.status()["stored"] == 2


def test_arguments_that_do_not_fit_are_said_as_handlers_do(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/lab/laser/__main__.py"])  # by `python -m laser`
    handler = SQLiteHandler(path)
    for args in (("five",), (5,)):
        handler.handle(logging.LogRecord("n", 30, "", 0, "%d", args, None))
    handler.close()
    said = capsys.readouterr().err
    assert said.startswith("--- Logging error ---\n")
    assert "TypeError: " in said
    [row] = stored(path)
    assert row.message == "5"
    assert row.source == "laser"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_size": 1000}, "max_size must be at least 1048576 bytes, got 1000"),
        ({"max_age": 0}, "max_age must be a positive number of seconds, got 0"),
        ({"max_age": float("nan")}, "max_age must be a positive number of seconds, got nan"),
    ],
)
def test_limits_that_make_no_sense(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        SQLiteHandler(path, **options)


def test_what_could_not_be_written_is_said_at_the_end(
    path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    path.mkdir()
    handler = SQLiteHandler(path)
    logger.addHandler(handler)
    logger.warning("lost")
    until(lambda: handler.status()["failing_for_seconds"] is not None)
    assert handler.status()["reason"] == "unable to open database file"
    handler.close()
    assert capsys.readouterr().err == f"the database {path}: 1 records were not written\n"


PROGRAM = """
import logging, sys
from sipyco_tools.logging_tools import SQLiteHandler
logging.getLogger().addHandler(SQLiteHandler("logs.db"))
assert "sqlite3" in sys.modules
for number in range(5000):
    logging.warning("message %d", number)
"""


def test_a_program_that_ends_waits_for_what_is_left(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(path.parent) == ["logs.db"]
    assert [row.message for row in stored(path)] == [f"message {n}" for n in range(5000)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_child_that_is_forked_logs_into_the_same_database(
    path: Path, logger: logging.Logger
) -> None:
    handler = SQLiteHandler(path, source="x")
    logger.addHandler(handler)
    logger.warning("parent")
    until(lambda: handler.status()["stored"] == 1)

    def child() -> None:
        logger.warning("child")
        handler.close()

    assert in_child(child) == "None"
    logger.warning("parent again")
    handler.close()
    assert [row.message for row in stored(path)] == ["parent", "child", "parent again"]


def test_without_it_sqlite_is_not_loaded() -> None:
    code = "import sipyco_tools.logging_tools, sys; print('sqlite3' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=as_installed(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
