"""The text format of log records. No sockets here."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

__all__: list[str] = []

TRACE: Final = 5  # below DEBUG: every message of a protocol, for example
logging.addLevelName(TRACE, "TRACE")
logging.TRACE = TRACE  # type: ignore[attr-defined]  # programs read it there

_fwd_logger = logging.getLogger("fwd")  # of all records that come from other programs

_LEVELS: Final = {
    "CRITICAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": TRACE,
}

_NAMES: Final = {level: name for name, level in _LEVELS.items() if name != "WARN"}

# What `str.splitlines` takes for the end of a line.
_SEPARATORS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_IN_NAMES: Final = {ord(character): "_" for character in ":" + _SEPARATORS}
_IN_TEXTS: Final = {
    ord(character): repr(character)[1:-1] for character in _SEPARATORS if character != "\n"
}


def level_name(level: int) -> str:
    """Return the name, of those that every reader of the format knows, of the next lower level."""
    for known in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        if level >= known:
            return _NAMES[known]
    return "TRACE"


def safe_name(name: str) -> str:
    """Replace in the name of a logger or a source what would end it."""
    return name.translate(_IN_NAMES)


def safe_text(text: str) -> str:
    """Escape what some readers take for the end of a line, but for `\\n`."""
    return text if text.isprintable() else text.replace("\r\n", "\n").translate(_IN_TEXTS)


def entry_text(level: int, name: str, message: str) -> str:
    """Return a record in the format of `MultilineFormatter`."""
    message = safe_text(message)
    lines = message.count("\n") + 1
    count = f"<{lines}>" if lines > 1 else ""
    return f"{level_name(level)}{count}:{safe_name(name)}:{message}"


def is_entry(text: str, name: str) -> bool:
    """Tell whether a text is a record of a logger in the format of `MultilineFormatter`."""
    first, *more = text.split("\n")
    level, *_ = first.partition(":")[0].partition("<")
    parsed = _parsed(first)
    wanted = (len(more), safe_name(name))
    return level in _LEVELS and parsed is not None and (parsed[0], parsed[2]) == wanted


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
        if isinstance(handler.formatter, MultilineFormatter):
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

    Args:
        name: the logger's name in the record.
        level: its level.
        message: as for `logging.Logger.log`.
        *args: likewise.
        exc_info: likewise.
        extra: likewise.
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


def emit_entry(name: str, level: int, message: str, source: str) -> None:
    """Log what another program has logged; an error in a handler is printed, and no more."""
    try:
        log_with_name(name, level, message, extra={"source": source})
    except Exception:  # noqa: BLE001  (the records that follow may find a handler that works)
        traceback.print_exc()


def parse_log_message(msg: str) -> tuple[int, int, str, str]:
    """Read the first line of a record in the format of `MultilineFormatter`.

    Levels that programs have made up are understood as far as can be: `Level 15` and `15`, and
    names that were added here, too (`logging.addLevelName`). A name in capitals that has a number
    of lines and is not known is INFO.

    Returns:
        How many more lines the record has, its level, its logger's name, and the message so
        far. A text in another format is a message at level INFO of the logger `print`.
    """
    return _parsed(msg) or (0, logging.INFO, "print", msg)


def parse_entry(text: str) -> tuple[int, int, str, str]:
    """Read the first line of a record that is known to be one, as `parse_log_message` does.

    A number of lines holds whatever the level is called.
    """
    return _parsed(text, known=True) or (0, logging.INFO, "print", text)


def _parsed(text: str, known: bool = False) -> tuple[int, int, str, str] | None:
    head, _, rest = text.partition(":")
    name, colon, message = rest.partition(":")
    if not colon:
        return None
    word, more, counted = head, 0, False
    if head.endswith(">") and "<" in head:
        word, _, count = head[:-1].partition("<")
        if not (count.isascii() and count.isdecimal() and len(count) < 10 and int(count) > 0):
            return None
        more, counted = int(count) - 1, True
    level = _LEVELS.get(word)
    if level is None:
        level = _other_level(word, name)
    if level is None and counted and (known or word.isupper()):
        level = logging.INFO  # of a name that only the program which has logged it knows
    return None if level is None else (more, level, safe_name(name), message)


def _other_level(word: str, name: str) -> int | None:
    """Understand a level that a program has made up: `Level 15`, `15`, or a name known here."""
    if not name or name.isdecimal() or name != name.strip():
        return None  # as in `12:30:00 ready` or `Level 3: done: 5`, which was printed
    number = word.removeprefix("Level ")
    if number.isascii() and number.isdecimal() and len(number) < 4:
        return max(1, int(number))
    level = logging.getLevelNamesMapping().get(word)
    return None if level is None else max(1, level)


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
