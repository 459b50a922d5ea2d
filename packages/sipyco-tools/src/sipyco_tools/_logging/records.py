"""Log records in this process: formatted, filtered, and logged for others. No sockets here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sipyco_tools._logging.text import TRACE as TRACE
from sipyco_tools._logging.text import entry_text, parsed

_fwd_logger = logging.getLogger("fwd")  # of all records that come from other programs


class MultilineFormatter(logging.Formatter):
    """Format records so that a reader of the text can tell where each one ends.

    A record of several lines has their number behind its level:

        ERROR<2>:some.logger:first line
        second line

    The level is the next lower one of CRITICAL, ERROR, WARNING, INFO, DEBUG and TRACE, which all
    readers know. In names, colons and line breaks are replaced; in texts, what else than a newline
    may be taken for a line break is escaped.
    """

    def __init__(self) -> None:
        super().__init__("%(levelname)s:%(name)s:%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record, without a newline at its end."""
        return entry_text(record.levelno, record.name, super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return what comes before a traceback: the message alone."""
        return record.message


def multiline_log_config(level: int) -> None:
    """Write the records of all loggers to standard error, with `MultilineFormatter`.

    A second call changes the level, and does not double the output.

    Args:
        level: the least level to write.
    """
    root = logging.getLogger()
    root.setLevel(level)
    for handler in root.handlers:
        # A forwarder has such a formatter, too.
        if isinstance(handler, logging.StreamHandler) and isinstance(
            handler.formatter, MultilineFormatter
        ):
            return
    handler = logging.StreamHandler()
    handler.setFormatter(MultilineFormatter())
    root.addHandler(handler)


def log_with_name(
    name: str,
    level: int,
    message: str,
    *args: Any,
    exc_info: Any = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Log a message under the name of a logger elsewhere, by the logger `fwd`.

    Behind the name, the arguments are those of `logging.Logger.log`.
    """
    if not _fwd_logger.isEnabledFor(level):
        return
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    elif exc_info and not isinstance(exc_info, tuple):
        exc_info = sys.exc_info()
    record = _fwd_logger.makeRecord(
        name, level, "(forwarded)", 0, message, args, exc_info or None, extra=extra
    )
    _fwd_logger.handle(record)


def parse_log_message(msg: str) -> tuple[int, int, str, str]:
    """Read the first line of a record in the format of `MultilineFormatter`.

    Levels that programs have made up are understood as far as can be: `Level 15` and `15`, and
    names that were added here, too (`logging.addLevelName`). A name in capitals that has a number
    of lines and is not known is INFO.

    Returns:
        How many more lines the record has, its level, its logger's name, and the message so
        far. A text in another format is a message at level INFO of the logger `print`.
    """
    return parsed(msg) or (0, logging.INFO, "print", msg)


class SourceFilter(logging.Filter):
    """Mark the records of this program with its name, and drop those below its level.

    Records that have a `source` already come from other programs, and all pass.

    Args:
        local_level: the least level of this program's records.
        local_source: the `source` to give them.
    """

    def __init__(self, local_level: int, local_source: str) -> None:
        super().__init__()
        self.local_level = local_level
        self.local_source = local_source

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record passes, and give it a `source` if it has none."""
        source = record.__dict__.setdefault("source", self.local_source)
        return bool(source != self.local_source or record.levelno >= self.local_level)


def program_name() -> str:
    """Return the name of the program's file, or of the package that is run by `python -m`."""
    path = Path(sys.argv[0] if sys.argv else "")
    return (path.parent.name if path.stem == "__main__" else path.stem) or "python"
