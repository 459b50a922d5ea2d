"""Lines for the person who runs a program: written whatever its logging shows. No sockets here."""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Iterator
from typing import Final, TextIO

from sipyco_rpc.support.quoting import short_message

__all__ = ["announce", "log_anyway", "say"]


def log_anyway(logger: logging.Logger, level: int, message: str, *args: object) -> None:
    """Log a record; where a handler of the program raises, what serves it goes on.

    So does that of Python itself where `sys.stderr` is closed.

    Args:
        logger: its logger.
        level: its level.
        message: as for `Logger.log`.
        *args: as for `Logger.log`.
    """
    try:
        logger.log(level, message, *args, stacklevel=2)
    except Exception as exc:  # noqa: BLE001  (a handler is the program's own)
        _say_failed(message % args, exc)


_PATIENCE: Final = 1.0  # seconds; somebody who reads slowly has read something by then


def announce(logger: logging.Logger, message: str, *args: object) -> None:
    """Log a line at INFO, and see to it that it is shown to whoever starts the program.

    Where the program writes its log to standard error, and that leaves out such records, it has
    this one all the same; where no handler takes it, it is written there as it is. It is shown
    once. Standard output never has it: programs parse that. In a program that has warnings
    silenced, as `-q` does, it is not written at all.

    Args:
        logger: its logger.
        message: as for `Logger.info`.
        *args: as for `Logger.info`.
    """
    try:
        _announce(logger, message, *args)
    except Exception as exc:  # noqa: BLE001  (as above)
        _say_failed(message % args, exc)


def _announce(logger: logging.Logger, message: str, *args: object) -> None:
    logged = _shows(logger, logging.INFO)
    if logged:
        logger.info(message, *args, stacklevel=3)
    elif not _shows(logger, logging.WARNING):
        return
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, message, args, None)
    for handler in _handlers(logger):
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            if not (logged and _takes(handler, record)) and _takes_warnings(handler, record):
                _write(handler, record)  # in the format that the program has there
            return
    if not logged:
        say(record.getMessage(), sys.stderr)


def _say_failed(text: str, exc: Exception) -> None:
    failure = f"{type(exc).__name__}: {short_message(exc)}"
    say(f"{text} (the log has failed: {failure})", sys.stderr)


def say(text: str, file: TextIO | None) -> None:
    """Print a line, also in a signal handler, which may have interrupted another that is printed.

    It is left out where nobody reads: a pipe that is full would hold up the program for ever.

    Args:
        text: the line.
        file: where to; None, as `sys.stderr` may be, for nowhere.
    """
    if file is None:
        return  # `print` would take standard output for it
    if not _takes_more(file):
        return
    try:
        print(
            f"{text}\n", end="", file=file, flush=True
        )  # as one, for other threads print as well
    except RuntimeError:
        # A "reentrant call" of the buffer, which has to be passed by.
        try:
            os.write(file.fileno(), f"{text}\n".encode())
        except (OSError, ValueError):
            pass
    except (OSError, ValueError):
        pass  # nobody reads it any more, or it is closed: that is no reason not to go on


def _takes_more(file: TextIO) -> bool:
    """Wait a moment until something can be written; tell whether it can."""
    try:
        return bool(select.select((), (file,), (), _PATIENCE)[1])
    except (OSError, TypeError, ValueError):
        return True  # it has no descriptor, or Windows cannot wait for it


def _shows(logger: logging.Logger, level: int) -> bool:
    """Tell whether a record of a logger would be written anywhere."""
    if not logger.isEnabledFor(level):
        return False
    handlers = list(_handlers(logger))
    if not handlers and logging.lastResort is not None:
        handlers = [logging.lastResort]
    return any(
        handler.level <= level and not isinstance(handler, logging.NullHandler)
        for handler in handlers
    )


def _takes(handler: logging.Handler, record: logging.LogRecord) -> bool:
    return handler.level <= record.levelno and bool(handler.filter(record))


def _takes_warnings(handler: logging.Handler, record: logging.LogRecord) -> bool:
    warning = logging.LogRecord(record.name, logging.WARNING, "", 0, record.msg, record.args, None)
    return _takes(handler, warning)


def _write(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Have a handler write a record that its level or its filters would leave out."""
    handler.acquire()
    try:
        handler.emit(record)
    finally:
        handler.release()


def _handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Give the handlers that a logger's records reach."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None
