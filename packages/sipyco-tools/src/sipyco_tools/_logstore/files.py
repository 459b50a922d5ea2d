"""Log files and terminals as sinks. Files are written by the standard handlers."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from logging.handlers import BaseRotatingHandler, RotatingFileHandler, TimedRotatingFileHandler
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from sipyco_tools._cli.colour import is_coloured
from sipyco_tools._logging.rows import Row, shown
from sipyco_tools._logstore.writer import SinkError

_LOOK_AT_END: Final = 1  # byte: the last one of a file that is continued


class _BySize(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> NoReturn:
        raise  # noqa: PLE0704  (it is called where an exception is handled)


class _ByDay(TimedRotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> NoReturn:
        raise  # noqa: PLE0704


class LogFile:
    """A sink that writes into a file, and begins a new one when it is large, or each day.

    The old ones are called as the standard handlers call them: `NAME.1` and so on, or
    `NAME.2026-11-30`.

    Args:
        path: the file. Its directory must be there.
        max_size: begin a new one at this size in bytes; None to begin one each midnight.
        keep: how many old ones to keep.
    """

    def __init__(self, path: Path, max_size: int | None, keep: int) -> None:
        self.path = path
        self.what = f"the file {path}"
        self.stopping = threading.Event()
        self._max_size = max_size
        self._keep = keep
        self._handler: BaseRotatingHandler | None = None

    def open(self) -> None:
        """Open it, or make it.

        Raises:
            SinkError: it cannot be opened or made now.
        """
        options: dict[str, Any] = {"encoding": "utf-8", "backupCount": self._keep}
        try:
            _end_line(self.path)
            if self._max_size is None:
                self._handler = _ByDay(self.path, when="midnight", **options)
            else:
                self._handler = _BySize(self.path, maxBytes=self._max_size, **options)
        except OSError as exc:
            self.close()
            raise SinkError(str(exc)) from exc

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows; where one could not be written whole, no part of it stays."""
        handler = self._opened()
        for count, row in enumerate(rows):
            size = _size(handler)
            try:
                handler.emit(logging.makeLogRecord({"msg": shown(row)}))
            except OSError as exc:
                self.close()  # which may write more of what waits in memory
                self._cut(size)
                raise SinkError(str(exc), count) from exc

    def tend(self) -> None:
        """Do nothing: a new file is begun by the first record that belongs into it."""

    def close(self) -> None:
        """Close it; what cannot be written has been told of."""
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.close()
            except OSError:
                pass

    def after_fork(self) -> None:
        """Leave the file to the parent; nothing waits in the memory of this process."""
        self.stopping = threading.Event()
        self._handler = None

    def _opened(self) -> BaseRotatingHandler:
        """Notice a file that was moved or removed: nobody would find what is written there."""
        handler = self._handler
        if handler is not None and handler.stream is not None:
            try:
                if os.path.samestat(os.stat(self.path), os.fstat(handler.stream.fileno())):
                    return handler
            except OSError:
                pass  # it is not there
        self.close()
        self.open()
        assert self._handler is not None
        return self._handler

    def _cut(self, size: int) -> None:
        try:
            if os.stat(self.path).st_size > size:
                os.truncate(self.path, size)
        except OSError:
            pass  # the line is ended when the file is opened again


def _size(handler: BaseRotatingHandler) -> int:
    return 0 if handler.stream is None else os.fstat(handler.stream.fileno()).st_size


def _end_line(path: Path) -> None:
    """End the last line of a file whose program was killed in the midst of it."""
    try:
        with open(path, "rb+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-_LOOK_AT_END, os.SEEK_END)
                if file.read(_LOOK_AT_END) != b"\n":
                    file.write(b"\n")
    except FileNotFoundError:
        pass  # it is about to be made


class Terminal:
    """A sink that shows records on standard output or standard error.

    Args:
        stream: where.
        what: its name.
        gone: is called when nobody reads it any more (`| head`).
    """

    def __init__(self, stream: TextIO, what: str, gone: Callable[[], None]) -> None:
        self.what = what
        self.stopping = threading.Event()
        self._of_program = stream
        self._stream = _own_stream(stream)
        self._gone = gone
        self._coloured = is_coloured(stream)

    def write(self, rows: Sequence[Row]) -> None:
        """Show rows."""
        try:
            for row in rows:
                print(shown(row, self._coloured), file=self._stream)
            self._stream.flush()
        except OSError as exc:
            if isinstance(exc, BrokenPipeError):
                self._gone()
            raise SinkError(str(exc)) from exc

    def tend(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Leave it open for the program."""
        if self._stream is not self._of_program:
            try:
                self._stream.close()
            except OSError:
                pass  # nobody reads it any more

    def after_fork(self) -> None:
        """Go on: a child writes to the same terminal."""
        self.stopping = threading.Event()


def _own_stream(stream: TextIO) -> TextIO:
    """Return a stream that leads to the same place, with a buffer and a lock of its own.

    Whoever reads a pipe may stop: the thread that writes is then held up with the lock taken, and
    would hold up the end of the program, which flushes standard output.
    """
    try:
        descriptor = os.dup(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return stream  # it is no file
    return open(descriptor, "w", encoding=stream.encoding, errors=stream.errors)
