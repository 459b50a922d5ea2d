"""Levels, names and texts that programs have made up: what is written, and what is read.

A reader that does not find the number of lines takes the rest of a record for something else.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_tools.logging_tools import (
    LogForwarder,
    LogParser,
    MultilineFormatter,
    Server,
    multiline_log_config,
    parse_log_message,
)
from support.feeds import RawPeer, comes_true, serving
from support.peers import DEADLINE, HOST
from support.records import recorded

SEPARATORS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
BANNER = b"ARTIQ logging\n"


@pytest.fixture
def notice() -> Iterator[int]:
    """Add the level that many programs add."""
    logging.addLevelName(25, "NOTICE")
    yield 25
    del logging._nameToLevel["NOTICE"], logging._levelToName[25]


def made(message: str, level: int = logging.ERROR, name: str = "n", **extra: Any) -> Any:
    return logging.Logger(name).makeRecord(name, level, "", 0, message, (), None, extra=extra)


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (1, "TRACE:n:m"),
        (5, "TRACE:n:m"),
        (9, "TRACE:n:m"),
        (10, "DEBUG:n:m"),
        (15, "DEBUG:n:m"),
        (20, "INFO:n:m"),
        (25, "INFO:n:m"),
        (33, "WARNING:n:m"),
        (45, "ERROR:n:m"),
        (50, "CRITICAL:n:m"),
        (1000, "CRITICAL:n:m"),
    ],
)
def test_each_level_is_written_as_one_that_every_reader_knows(
    level: int, text: str, notice: int
) -> None:
    assert MultilineFormatter().format(made("m", level)) == text
    assert MultilineFormatter().format(made("m\nm", level)) == text.replace(":", "<2>:", 1) + "\nm"


def test_a_renamed_level_is_written_under_the_name_that_every_reader_knows() -> None:
    logging.addLevelName(logging.WARNING, "\x1b[33mwarning\x1b[0m")
    try:
        assert MultilineFormatter().format(made("m", logging.WARNING)) == "WARNING:n:m"
    finally:
        logging.addLevelName(logging.WARNING, "WARNING")


def test_a_record_that_was_made_of_less_than_all_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = logging.makeLogRecord({"msg": "ready"})  # as of one that came over a network
    assert MultilineFormatter().format(record) == "INFO:None:ready"
    forwarder = LogForwarder(HOST, 1066)
    forwarder.emit(record)
    entry = forwarder._queue.take()
    assert entry is not None
    assert entry.text.split(b":", 1)[1] == b"INFO:None:ready\n"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("separator", SEPARATORS)
def test_no_reader_finds_other_lines_in_what_is_written(separator: str) -> None:
    record = made(f"a{separator}ERROR:x:y", name=f"n{separator}ERROR:x")
    text = MultilineFormatter().format(record)
    lines = text.splitlines()
    assert len(lines) == text.count("\n") + 1 == (2 if separator == "\n" else 1)
    assert lines[0].startswith(f"ERROR{'<2>' * (len(lines) - 1)}:n_ERROR_x:a")
    assert [*lines[1:]] == ["ERROR:x:y"] * (separator == "\n")


def test_what_is_escaped_in_a_text_can_be_read() -> None:
    text = MultilineFormatter().format(made("a\rb\r\nc\u2028d\x85"))
    assert text == "ERROR<2>:n:a\\rb\nc\\u2028d\\x85"


def test_a_traceback_follows_its_message() -> None:
    try:
        raise ZeroDivisionError("by\r\nhand")
    except ZeroDivisionError:
        record = logging.Logger("n").makeRecord("n", 33, "", 0, "m", (), None)
        import sys

        record.exc_info = sys.exc_info()
    lines = MultilineFormatter().format(record).splitlines()
    assert lines[0] == f"WARNING<{len(lines)}>:n:m"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-2:] == ["ZeroDivisionError: by", "hand"]


def test_the_output_of_a_program_that_is_set_up_so(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    error = io.StringIO()
    monkeypatch.setattr("sys.stderr", error)
    multiline_log_config(1)
    logging.getLogger("a:b\rc").log(15, "one\rtwo\nthree")
    assert error.getvalue() == "DEBUG<2>:a_b_c:one\\rtwo\nthree\n"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("WARN<2>:n:m", (1, 30, "n", "m")),
        ("Level 15:n:m", (0, 15, "n", "m")),
        ("Level 15<2>:n:m", (1, 15, "n", "m")),
        ("Level 0:n:m", (0, 1, "n", "m")),
        ("15:n:m", (0, 15, "n", "m")),
        ("15<3>:n:m", (2, 15, "n", "m")),
        ("NOTICE<2>:n:m", (1, 20, "n", "m")),
        ("FATAL:n:m", (0, 50, "n", "m")),
        ("INFO:a\rb\u2028c:m", (0, 20, "a_b_c", "m")),
        # What was printed.
        ("NOTICE:n:m", (0, 20, "print", "NOTICE:n:m")),
        ("12:30:45 ready", (0, 20, "print", "12:30:45 ready")),
        ("Level 3: done: 5", (0, 20, "print", "Level 3: done: 5")),
        ("Level x:n:m", (0, 20, "print", "Level x:n:m")),
        ("1000:n:m", (0, 20, "print", "1000:n:m")),
        ("std::vector<3>:n:m", (0, 20, "print", "std::vector<3>:n:m")),
        ("vector<3>:n:m", (0, 20, "print", "vector<3>:n:m")),
        ("NOTICE<0>:n:m", (0, 20, "print", "NOTICE<0>:n:m")),
        ("NOTICE<2>:m", (0, 20, "print", "NOTICE<2>:m")),
    ],
)
def test_what_is_read(text: str, parsed: tuple[int, int, str, str]) -> None:
    assert parse_log_message(text) == parsed


def test_a_level_that_was_added_here_is_read(notice: int) -> None:
    assert parse_log_message("NOTICE:n:m") == (0, notice, "n", "m")
    assert parse_log_message("NOTICE<2>:n:m") == (1, notice, "n", "m")


def test_what_was_written_is_read_as_one_record_whatever_it_was() -> None:
    with recorded() as records:
        parser = LogParser(lambda: "child")
        text = MultilineFormatter().format(made(f"m{SEPARATORS}m", 15, f"n{SEPARATORS}:n"))
        for line in text.splitlines():
            parser.line_input(line)
        parser.line_input("INFO:n:next")
    assert [record[0] for record in records] == ["n" + "_" * 11 + "n", "n"]
    assert records[0][1:] == (
        10,
        "m\n\\r\\x0b\\x0c\\x1c\\x1d\\x1e\\x85\\u2028\\u2029m",
        "child",
    )


def test_records_of_older_programs_are_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    said = (
        b"s:Level 15<2>:n:a\nb\n"
        b"s:NOTICE<2>:n:c\nd\n"
        b"s:Notice<2>:n:e\nf\n"
        b"s\x0b\xc2\x85t:INFO:n\rm:g\n"
        b"s:INFO:n:last\n"
    )

    async def main() -> None:
        with recorded() as records:
            async with serving(Server()) as port:
                with RawPeer(port, BANNER + said):
                    await comes_true(lambda: any(text == "last" for _, _, text, _ in records))
        assert records == [
            ("n", 15, "a\nb", "s"),
            ("n", 20, "c\nd", "s"),
            ("n", 20, "e\nf", "s"),
            ("n_m", 20, "g", "s__t"),
            ("n", 20, "last", "s"),
        ]

    asyncio.run(main())
    assert caplog.messages == []


FORMATTERS = {
    "ours": None,
    "without the number of lines": logging.Formatter("%(levelname)s:%(name)s:%(message)s"),
    "with the time": logging.Formatter("%(asctime)s %(levelname)s %(message)s", "12:30:45"),
    "the message alone": logging.Formatter("%(message)s"),
}


@pytest.mark.parametrize("formatter", FORMATTERS.values(), ids=FORMATTERS)
def test_every_record_arrives_with_its_level_and_name(
    formatter: logging.Formatter | None, notice: int, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.Logger("a:b\nERROR:c:d")
    caplog.set_level(logging.WARNING)

    async def main() -> None:
        with recorded() as records:
            async with asyncio.timeout(DEADLINE), serving(Server()) as port:
                forwarder = LogForwarder(HOST, port)
                forwarder._source = "program"
                if formatter is not None:
                    forwarder.setFormatter(formatter)
                logger.addHandler(forwarder)
                forwarder.start()
                for number in range(25):
                    logger.log(15, "first %d\nsecond", number)
                    logger.log(notice, "one line %d", number)
                    logger.error("x:y\rERROR:z", extra={"source": "a:b\r\u2028c"})
                    logger.info("ERROR:x:y")
                await comes_true(lambda: len(records) == 100)
                await forwarder.stop()
        names = {name for name, _, _, _ in records}
        texts = [text for _, _, text, _ in records]
        assert [level for _, level, _, _ in records[:4]] == [10, 20, 40, 20]
        assert {source for _, _, _, source in records} == {"program", "a_b__c"}
        assert "first 24\nsecond" in "\n".join(texts)
        if formatter is None or formatter is FORMATTERS["the message alone"]:
            assert names == {"a_b_ERROR_c_d"}
            assert texts[-4:] == ["first 24\nsecond", "one line 24", "x:y\\rERROR:z", "ERROR:x:y"]

    asyncio.run(main())
    assert caplog.messages == []
