"""The output of a child becomes log records, whatever it is."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_tools.logging_tools import LogParser, log_with_name
from support.peers import DEADLINE
from support.records import recorded


@pytest.fixture
def records() -> Iterator[list[tuple[str, int, str, Any]]]:
    with recorded() as found:
        yield found


Records = list[tuple[str, int, str, Any]]


async def parsed(data: bytes) -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    async with asyncio.timeout(DEADLINE):
        await LogParser(lambda: "child").stream_task(stream)


def test_lines_keep_their_level_and_logger(records: Records) -> None:
    asyncio.run(
        parsed(
            b"WARNING:some.logger:one\r\n"
            b"ERROR<3>:some.logger:two\nlines\nmore\n"
            b"printed\n"
            b"bad \xff utf-8\n"
            b"no newline"
        )
    )
    assert records == [
        ("some.logger", 30, "one", "child"),
        ("some.logger", 40, "two\nlines\nmore", "child"),
        ("print", 20, "printed", "child"),
        ("print", 20, "bad \ufffd utf-8", "child"),
        ("print", 20, "no newline", "child"),
    ]


def test_nothing_of_an_entry_that_does_not_end_is_lost(records: Records) -> None:
    asyncio.run(parsed(b"ERROR<5>:n:one\ntwo"))
    asyncio.run(parsed(b"ERROR<900000000>:n:one\ntwo\n"))
    assert records == [
        ("n", 40, "one\ntwo", "child"),
        ("print", 20, "ERROR<900000000>:n:one", "child"),
        ("print", 20, "two", "child"),
    ]


def test_a_line_of_any_length_is_taken(records: Records) -> None:
    asyncio.run(parsed(b"x" * 5_000_000 + b"\nnext\n" + b"y" * 2_000_000))
    assert records == [
        (
            "print",
            20,
            "(a line of 5000000 bytes is left out: the limit is 1048576 bytes)",
            "child",
        ),
        ("print", 20, "next", "child"),
        (
            "print",
            20,
            "(a line of 2000000 bytes is left out: the limit is 1048576 bytes)",
            "child",
        ),
    ]


def test_an_entry_that_grows_too_long_is_logged_as_it_comes(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sipyco_tools._logging import session

    monkeypatch.setattr(session, "MAX_LOG_MESSAGE", 10)
    asyncio.run(parsed(b"ERROR<9>:n:aaaa\nbbbb\ncccc\nINFO:n:next\n"))
    assert records == [
        ("n", 40, "aaaa\nbbbb", "child"),
        ("print", 20, "cccc", "child"),
        ("n", 20, "next", "child"),
    ]


def test_an_output_that_breaks_off_is_told_of(records: Records) -> None:
    class Breaking(asyncio.StreamReader):
        async def read(self, n: int = -1) -> bytes:
            if self._given:
                raise ConnectionResetError("reset by the child")
            self._given = True
            return b"one\ntwo"

        _given = False

    async def main() -> None:
        await LogParser(lambda: "child").stream_task(Breaking())

    asyncio.run(main())
    assert records == [
        ("print", 20, "one", "child"),
        ("sipyco.logs", 30, "lost the output: reset by the child", "child"),
        ("print", 20, "two", "child"),
    ]


def test_errors_in_handlers_and_in_the_source_do_not_stop_it(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError("from a handler")

    async def main() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(b"one\ntwo\n")
        stream.feed_eof()

        def source() -> str:
            raise KeyError

        await LogParser(source).stream_task(stream)

    bad = Bad()
    logging.getLogger("fwd").addHandler(bad)
    try:
        asyncio.run(main())
    finally:
        logging.getLogger("fwd").removeHandler(bad)
    assert [record[2:] for record in records] == [("one", "unknown"), ("two", "unknown")]
    assert capsys.readouterr().err.count("ZeroDivisionError: from a handler") == 2


def test_lines_can_be_given_one_by_one(records: Records) -> None:
    sources = iter(["first", "second"])
    parser = LogParser(lambda: next(sources))
    parser.line_input("INFO<2>:n:a")
    parser.line_input("b")
    parser.line_input("printed")
    assert records == [("n", 20, "a\nb", "first"), ("print", 20, "printed", "second")]


FLOOD = """
import sys
for i in range(20000):
    print("INFO:n:%d" % i)
sys.stdout.write("x" * 3000000)
"""


def test_a_flood_of_a_real_child(records: Records) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FLOOD, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            await LogParser(lambda: "child").stream_task(process.stdout)
            assert await process.wait() == 0

    asyncio.run(main())
    assert len(records) == 20001
    assert records[19999] == ("n", 20, "19999", "child")
    assert "a line of 3000000 bytes" in records[-1][2]


def test_the_name_of_a_record_can_be_chosen(records: Records) -> None:
    log_with_name("a.b", logging.WARNING, "%d of %d", 1, 2, extra={"source": "s"})
    log_with_name("a.b", logging.WARNING, "100 %")
    try:
        raise ValueError("bad")
    except ValueError:
        log_with_name("a.b", logging.ERROR, "failed", exc_info=True)
    assert records == [
        ("a.b", 30, "1 of 2", "s"),
        ("a.b", 30, "100 %", None),
        ("a.b", 40, "failed", None),
    ]
    logging.getLogger("fwd").setLevel(logging.ERROR)
    log_with_name("a.b", logging.WARNING, "below the level")
    assert len(records) == 3


def test_an_exception_goes_with_a_record_of_another_name() -> None:
    failure = ValueError("bad")
    seen: list[Any] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.exc_info)  # type: ignore[method-assign]
    logger = logging.getLogger("fwd")
    logger.addHandler(handler)
    try:
        log_with_name("n", logging.ERROR, "none")
        log_with_name("n", logging.ERROR, "given", exc_info=failure)
        try:
            raise failure
        except ValueError:
            log_with_name("n", logging.ERROR, "the current one", exc_info=True)
            current = sys.exc_info()
            log_with_name("n", logging.ERROR, "a triple", exc_info=current)
    finally:
        logger.removeHandler(handler)
    assert [info and info[1] for info in seen] == [None, failure, failure, failure]
