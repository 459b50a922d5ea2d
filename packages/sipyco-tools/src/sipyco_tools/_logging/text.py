"""The text format of log records, written and read. No loggers here, and no sockets."""

from __future__ import annotations

import logging
from typing import Final

from sipyco_tools._limits import MAX_LINE_SENT, MAX_LINES_SENT, MAX_TEXT_SENT

TRACE: Final = 5  # below DEBUG: every message of a protocol, for example
logging.addLevelName(TRACE, "TRACE")
logging.TRACE = TRACE  # type: ignore[attr-defined]  # programs read it there


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


def level_name(level: int | None) -> str:
    """Return the name, of those that every reader of the format knows, of the next lower level.

    A record that `logging.makeLogRecord` has made may have none: then it is INFO.
    """
    if level is None:
        level = logging.INFO
    for known, name in _NAMES.items():  # from the highest on
        if level >= known:
            return name
    return "TRACE"


def safe_name(name: str | None) -> str:
    """Replace in the name of a logger or a source what would end it; there may be none."""
    return str(name).translate(_IN_NAMES)


def safe_text(text: str) -> str:
    """Escape what some readers take for the end of a line, but for `\\n`."""
    return text if text.isprintable() else text.replace("\r\n", "\n").translate(_IN_TEXTS)


def entry_text(level: int | None, name: str | None, message: str) -> str:
    """Return a record in the format of `MultilineFormatter`."""
    message = safe_text(message)
    lines = message.count("\n") + 1
    count = f"<{lines}>" if lines > 1 else ""
    return f"{level_name(level)}{count}:{safe_name(name)}:{message}"


def is_entry(text: str, name: str | None) -> bool:
    """Tell whether a text is a record of a logger in the format of `MultilineFormatter`."""
    if safe_text(text) != text:
        return False
    first, *more = text.split("\n")
    level, *_ = first.partition(":")[0].partition("<")
    found = parsed(first)
    wanted = (len(more), safe_name(name))
    return level in _LEVELS and found is not None and (found[0], found[2]) == wanted


def shortened(text: str) -> str:
    """Cut a record in the format of `MultilineFormatter` where no server would take it."""
    if len(text) <= MAX_LINE_SENT:
        return text
    level, name, message = text.split(":", 2)
    lines = message[:MAX_TEXT_SENT].split("\n")[: MAX_LINES_SENT - 1]
    kept = [line[:MAX_LINE_SENT] for line in lines]
    size = sum(map(len, kept)) + len(kept) - 1
    if size == len(message):
        return text
    kept.append(f"({len(message) - size} characters more are left out)")
    return f"{level.partition('<')[0]}<{len(kept)}>:{name}:" + "\n".join(kept)


def parsed(text: str, known: bool = False) -> tuple[int, int, str, str] | None:
    """Read the first line of a record; None if it is none.

    Args:
        text: the line.
        known: a number of lines holds whatever the level is called.
    """
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
