"""Lines for people: shown once, whatever the logging of the program, and never on stdout."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.support import notices
from support.environment import as_installed

PROGRAM = """
import logging, sys
from sipyco_rpc.support.notices import announce, log_anyway
logger = logging.getLogger("sipyco.pc_rpc")
{setup}
announce(logger, "serving %s", "lda")
logger.info("something else")
"""

TWO_HANDLERS = """
logging.basicConfig()
logging.root.setLevel(logging.INFO)
logging.root.handlers[0].setLevel("{}")
logging.root.addHandler(logging.StreamHandler(open("/dev/null", "w")))
"""

# As `forward_logs` does where the program's own level is higher.
FILTERED = """
logging.basicConfig()
logging.root.setLevel(logging.INFO)
logging.root.handlers[0].addFilter(lambda record: record.levelno >= logging.{})
logging.root.addHandler(logging.StreamHandler(open("/dev/null", "w")))
"""

SETUPS = {
    "nothing": ("", "serving lda\n"),
    "default": ("logging.basicConfig()", "INFO:sipyco.pc_rpc:serving lda\n"),
    "own format": (
        "logging.basicConfig(format='[%(levelname)s] %(message)s')",
        "[INFO] serving lda\n",
    ),
    "verbose": (
        "logging.basicConfig(level=logging.INFO)",
        "INFO:sipyco.pc_rpc:serving lda\nINFO:sipyco.pc_rpc:something else\n",
    ),
    "quiet": ("logging.basicConfig(level=logging.ERROR)", ""),
    "disabled": ("logging.disable(logging.CRITICAL)", ""),
    "a handler's level": (
        "logging.basicConfig(level=1); logging.root.handlers[0].setLevel(logging.WARNING)",
        "INFO:sipyco.pc_rpc:serving lda\n",
    ),
    "nowhere": ("logging.root.addHandler(logging.NullHandler())", ""),
    "elsewhere": (
        "logging.root.addHandler(logging.StreamHandler(open('/dev/null', 'w')))",
        "serving lda\n",
    ),
    "elsewhere from INFO on, here from WARNING on": (
        TWO_HANDLERS.format("WARNING"),
        "INFO:sipyco.pc_rpc:serving lda\n",
    ),
    "elsewhere from INFO on, here from ERROR on": (
        TWO_HANDLERS.format("ERROR"),
        "",
    ),
    "elsewhere from WARNING on, here from ERROR on": (
        TWO_HANDLERS.format("ERROR") + "logging.root.handlers[1].setLevel('WARNING')",
        "",
    ),
    "elsewhere from INFO on, here by a filter from WARNING on": (
        FILTERED.format("WARNING"),
        "INFO:sipyco.pc_rpc:serving lda\n",
    ),
    "elsewhere from INFO on, here by a filter from ERROR on": (FILTERED.format("ERROR"), ""),
    "a logger on its own": (
        "logger.propagate = False; logging.basicConfig(); logger.addHandler(logging.Handler(50))",
        "",
    ),
    "no stderr": ("sys.stderr = None", ""),
}


@pytest.mark.parametrize("name", SETUPS)
def test_a_line_is_shown_once_and_never_on_stdout(name: str) -> None:
    setup, expected = SETUPS[name]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(setup=setup)],
        capture_output=True,
        text=True,
        env=as_installed(measured=True),
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("", expected)


def test_a_record_in_a_file_is_not_shown_on_stderr_as_well(tmp_path: object) -> None:
    setup = f"logging.basicConfig(filename={str(tmp_path) + '/log'!r}, level=logging.INFO)"
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(setup=setup)], capture_output=True, check=True
    )
    assert (ended.stdout, ended.stderr) == (b"", b"")
    with open(f"{tmp_path}/log") as log:
        assert log.readline() == "INFO:sipyco.pc_rpc:serving lda\n"


def test_it_is_a_record_of_the_place_that_announces(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("sipyco.pc_rpc")
    with caplog.at_level(logging.INFO, logger="sipyco.pc_rpc"):
        notices.announce(logger, "serving %s", "lda")
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.INFO, "serving lda")
    assert record.filename == "test_notices.py"


def test_a_line_passes_by_the_buffer_that_a_signal_has_interrupted(tmp_path: Path) -> None:
    class Interrupted(io.FileIO):
        """Has a signal as it writes: the lock of the buffer above it is taken then."""

        def write(self, data: Any) -> int:
            if not handled:
                handled.append(True)
                notices.say("waiting", file)
            return super().write(data)

    handled: list[bool] = []
    with Interrupted(tmp_path / "stderr", "w") as raw:
        file = io.TextIOWrapper(io.BufferedWriter(raw))
        notices.say("serving", file)
        assert handled
        assert (tmp_path / "stderr").read_text().startswith("waiting\nserving\n")


@pytest.mark.parametrize("file", [None, io.StringIO()])
def test_where_nobody_reads_a_line_is_no_error(file: io.StringIO | None) -> None:
    if file is not None:
        file.close()
    notices.say("waiting", file)


def test_a_python_without_a_last_resort_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "lastResort", None)
    logger = logging.Logger("alone", logging.WARNING)
    notices.announce(logger, "serving")
    assert capsys.readouterr() == ("", "")


def test_a_log_that_fails_is_said_with_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise LookupError("no place")

    logger = logging.getLogger("sipyco.test_notices")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler := Failing())
    try:
        notices.announce(logger, "serving %s", "lda")
        notices.log_anyway(logger, logging.INFO, "%d more", 3)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert capsys.readouterr().err == (
        "serving lda (the log has failed: LookupError: no place)\n"
        "3 more (the log has failed: LookupError: no place)\n"
    )
