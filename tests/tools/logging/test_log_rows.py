"""Records as they are stored and shown: anything can be stored, and nothing deceives a reader."""

from __future__ import annotations

import logging
import math
import sys
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_tools._logging.rows import Row, printable, row_of, shown

WHEN = datetime(2026, 11, 30, 14, 30, 5, 125_000).timestamp()
STAMP = "2026-11-30 14:30:05.125"


def record(**values: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"created": WHEN, **values})


def test_a_record_of_another_program() -> None:
    made = row_of(record(name="n", levelno=30, msg="m", source="laser"), WHEN + 1)
    assert made == Row(WHEN, WHEN + 1, False, "laser", 30, "n", "m")


def test_a_record_of_this_program_with_its_traceback() -> None:
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError:
        info = sys.exc_info()
    made = row_of(record(name="n", levelno=40, msg="%d%%", args=(5,), exc_info=info), 1.0, "me")
    assert made.source == "me"
    assert made.message.startswith("5%\nTraceback (most recent call last):\n")
    assert made.message.endswith("\nZeroDivisionError: why")


@pytest.mark.parametrize("created", [math.nan, math.inf, -1.0, 1e15, 253402300799.0])
def test_a_time_that_is_none_becomes_that_of_arrival(created: float) -> None:
    made = row_of(record(created=created), 5.0)
    assert (made.created, made.time_of_arrival) == (5.0, True)


def test_a_sender_that_tells_no_time() -> None:
    assert row_of(record(time_of_arrival=True), 5.0).time_of_arrival is True


@pytest.mark.parametrize(
    ("level", "stored"), [(None, 20), (-5, 0), (15, 15), (10**30, 2**31 - 1), ("x", 20)]
)
def test_any_level_can_be_stored(level: Any, stored: int) -> None:
    assert row_of(record(levelno=level), 1.0).level == stored


def test_what_sqlite_or_utf_8_cannot_hold_is_escaped() -> None:
    made = row_of(record(name=None, msg="a\0b\ud800é", source=5), 1.0)
    assert (made.logger, made.source, made.message) == ("None", "5", r"a\x00b\ud800é")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("5 µm\t→ ok", "5 µm\t→ ok"),
        ("non\xa0breaking", "non\xa0breaking"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\u2028c", r"a\rb\u2028c"),
        ("abc\u202edef", r"abc\u202edef"),  # the rest would be shown from right to left
    ],
)
def test_nothing_reaches_a_terminal_that_it_would_obey(text: str, safe: str) -> None:
    assert printable(text) == safe


@given(st.text())
def test_no_text_does_anything_but_being_read(text: str) -> None:
    lines = shown(Row(WHEN, WHEN, False, text, 20, text, text)).split("\n")
    for line in lines:
        assert all(c.isprintable() or c == "\t" or c.isspace() for c in line)
        assert "\r" not in line
        assert "\x1b" not in line
    assert all(line.startswith("    ") for line in lines[1:])


def test_lines_of_a_record() -> None:
    row = Row(WHEN, WHEN + 1, False, "laser", 45, "laser.lock", "lost\r\nTraceback:\n  x\n")
    assert shown(row) == (f"{STAMP} laser ERROR:laser.lock:lost\n    Traceback:\n      x\n    ")


def test_times_of_arrival_are_marked() -> None:
    row = Row(WHEN, WHEN + 1, True, "s", 20, "n", "m")
    assert shown(row) == f"{STAMP}~ s INFO:n:m"
    assert shown(row, by_arrival=True) == "2026-11-30 14:30:06.125~ s INFO:n:m"


def test_colours_go_by_the_level() -> None:
    row = Row(WHEN, WHEN, False, "s", 40, "n", "m\nmore")
    assert shown(row, coloured=True) == (
        f"\x1b[2m{STAMP}\x1b[0m \x1b[36ms\x1b[0m \x1b[31mERROR:n:m\x1b[0m\n\x1b[31m    more\x1b[0m"
    )
    assert shown(row._replace(level=20), coloured=True).endswith("\x1b[0m INFO:n:m\n    more")
