"""Log files: rotated by the standard handlers, and whole whatever the disk does."""

from __future__ import annotations

import errno
import io
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from sipyco_tools._logging.rows import Row, shown
from sipyco_tools._logstore.files import LogFile, Terminal
from sipyco_tools._logstore.writer import SinkError

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows keeps open files where they are")


def row(number: int) -> Row:
    return Row(1e9 + number, 1e9 + number, False, "laser", 30, "n", f"message {number}\nmore")


def text(numbers: Iterable[int]) -> str:
    return "".join(f"{shown(row(number))}\n" for number in numbers)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lab.log"


def opened(path: Path, max_size: int | None = 10**6, keep: int = 2) -> LogFile:
    file = LogFile(path, max_size, keep)
    file.open()
    return file


def test_rows_are_written_as_people_read_them(path: Path) -> None:
    file = opened(path)
    file.write([row(1), row(2)])
    assert path.read_text() == text([1, 2])
    file.close()
    file.close()
    file = opened(path)
    file.write([row(3)])
    file.tend()
    file.close()
    assert path.read_text() == text([1, 2, 3])


def test_a_new_file_is_begun_at_a_size_and_some_old_ones_are_kept(path: Path) -> None:
    file = opened(path, max_size=len(text([1, 2])) + 10)
    file.write([row(number) for number in range(1, 10)])
    file.close()
    names = sorted(os.listdir(path.parent))
    assert names == ["lab.log", "lab.log.1", "lab.log.2"]
    assert path.read_text() == text([9])
    assert path.with_name("lab.log.1").read_text() == text([7, 8])
    assert path.with_name("lab.log.2").read_text() == text([5, 6])


def test_a_new_file_is_begun_each_day(path: Path) -> None:
    path.write_text(text([1]))
    yesterday = time.time() - 86400
    os.utime(path, (yesterday, yesterday))
    file = opened(path, max_size=None)
    file.write([row(2)])
    file.close()
    day = time.strftime("%Y-%m-%d", time.localtime(yesterday))
    assert path.read_text() == text([2])
    assert path.with_name(f"lab.log.{day}").read_text() == text([1])


def test_the_line_of_a_program_that_was_killed_is_ended(path: Path) -> None:
    path.write_text("half of a li")
    file = opened(path)
    file.write([row(1)])
    file.close()
    assert path.read_text() == "half of a li\n" + text([1])


@POSIX
def test_a_file_that_was_moved_away_is_made_anew(path: Path) -> None:
    file = opened(path)
    file.write([row(1)])
    path.rename(path.with_name("kept"))  # as logrotate does
    file.write([row(2)])
    path.unlink()
    file.write([row(3)])
    file.close()
    assert path.with_name("kept").read_text() == text([1])
    assert path.read_text() == text([3])


@POSIX
def test_a_directory_that_is_gone_is_said_and_used_when_it_is_back(path: Path) -> None:
    file = opened(path)
    shutil.rmtree(path.parent)
    with pytest.raises(SinkError, match="No such file or directory"):
        file.write([row(1)])
    path.parent.mkdir()
    file.write([row(1)])
    file.close()
    assert path.read_text() == text([1])


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such limit")
def test_a_full_disk_leaves_no_half_of_a_record_and_says_what_was_written(path: Path) -> None:
    import resource
    import signal

    file = opened(path)
    file.write([row(1)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    room = len(text([1, 2, 3])) + 10  # for a part of the fourth
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(SinkError, match="File too large") as raised:
            file.write([row(number) for number in range(2, 7)])
        with pytest.raises(SinkError, match="File too large") as again:
            file.write([row(number) for number in range(4, 7)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert raised.value.written == 2
    assert again.value.written == 0
    assert path.read_text() == text([1, 2, 3])
    file.write([row(number) for number in range(4, 7)])
    file.close()
    assert path.read_text() == text(range(1, 7))


def test_one_that_cannot_be_opened_is_said(path: Path) -> None:
    path.mkdir()
    with pytest.raises(SinkError, match=r"lab\.log"):
        LogFile(path, None, 1).open()


@POSIX
def test_a_child_opens_it_itself(path: Path) -> None:
    file = opened(path)
    file.write([row(1)])
    handler = file._handler
    file.after_fork()
    file.write([row(2)])
    assert file._handler is not handler
    file.close()
    assert handler is not None
    handler.close()
    assert path.read_text() == text([1, 2])


def test_a_terminal_shows_what_comes() -> None:
    stream, gone = io.StringIO(), list[str]()
    terminal = Terminal(stream, "standard output", lambda: gone.append("gone"))
    terminal.write([row(1), row(2)])
    terminal.tend()
    terminal.after_fork()
    terminal.close()
    assert stream.getvalue() == text([1, 2])
    assert gone == []


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_who_does_not_look_any_more_is_told_from_other_failures(number: int) -> None:
    class Stream(io.StringIO):
        def flush(self) -> None:
            raise OSError(number, os.strerror(number))

    gone: list[str] = []
    terminal = Terminal(Stream(), "standard output", lambda: gone.append("gone"))
    with pytest.raises(SinkError, match=os.strerror(number)):
        terminal.write([row(1)])
    assert gone == ["gone"] * (number == errno.EPIPE)
