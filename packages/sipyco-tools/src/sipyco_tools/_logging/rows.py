"""Log records as they are stored and shown. No files here."""

from __future__ import annotations

import json
import logging
import math
import unicodedata
from datetime import datetime
from typing import Final, NamedTuple

from sipyco_tools._cli.colour import paint
from sipyco_tools._logging.text import level_name

LATEST: Final = 253402214400.0  # the last day of 9999: after it, Python has no date everywhere
_MAX_LEVEL: Final = 2**31 - 1  # any database can hold it
_OVERHEAD: Final = 300  # bytes of memory that a row takes beside its texts, roughly

_STYLES: Final = {
    "CRITICAL": "bold red",
    "ERROR": "red",
    "WARNING": "yellow",
    "DEBUG": "dim",
    "TRACE": "dim",
}


class Row(NamedTuple):
    """A log record, as it is stored.

    Attributes:
        created: when it was made, in seconds since 1970, by the clock of the program that made it.
        received: when it came here, by the clock of this computer.
        time_of_arrival: the sender did not tell when it was made: `created` is when it came.
        source: the program.
        level: as a number.
        logger: its name.
        message: the text, with its traceback if there is one.
    """

    created: float
    received: float
    time_of_arrival: bool
    source: str
    level: int
    logger: str
    message: str

    @property
    def size(self) -> int:
        """How much memory it takes, roughly."""
        return len(self.message) + len(self.logger) + len(self.source) + _OVERHEAD


_message_formatter: Final = logging.Formatter("%(message)s")


def row_of(record: logging.LogRecord, received: float, source: str = "") -> Row:
    """Make a row of a log record, whatever it holds.

    Args:
        record: one of this program, or one that the log server has received.
        received: when that was.
        source: of a record that has none.
    """
    created = record.created
    arrival = bool(getattr(record, "time_of_arrival", False))
    if not (math.isfinite(created) and 0 <= created < LATEST):
        created, arrival = received, True
    level = record.levelno if isinstance(record.levelno, int) else logging.INFO
    return Row(
        created,
        received,
        arrival,
        storable(str(getattr(record, "source", source))),
        max(0, min(level, _MAX_LEVEL)),
        storable(str(record.name)),
        storable(_message_formatter.format(record)),
    )


def storable(text: str) -> str:
    """Escape NUL, behind which SQLite finds nothing, and what cannot be written as UTF-8."""
    text = text.replace("\0", r"\x00")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """Escape what a terminal would obey, or could deceive a reader; tabs and spaces stay."""
    if text.isprintable():
        return text
    return "".join([c if _is_harmless(c) else ascii(c)[1:-1] for c in text])


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character == "\t" or unicodedata.category(character) == "Zs"


def local_time(seconds: float) -> str:
    """Say a time as clocks on the wall show it, to the millisecond."""
    return datetime.fromtimestamp(seconds).isoformat(" ", "milliseconds")


def shown(row: Row, coloured: bool = False, by_arrival: bool = False) -> str:
    """Return the text that a person reads: a line, and one more for each further line of it.

    Further lines are indented, so that no message can pass for the beginning of another record.

    Args:
        row: what to show.
        coloured: for a terminal.
        by_arrival: show when it came, not when it was made.
    """
    level = level_name(row.level)
    first, *more = row.message.replace("\r\n", "\n").split("\n")
    when = local_time(row.received if by_arrival else row.created)
    if row.time_of_arrival or by_arrival:
        when += "~"
    source, name = printable(row.source), printable(row.logger)
    head = f"{level}:{name}" if name else level
    lines = [f"{head}:{printable(first)}", *(f"    {printable(line)}" for line in more)]
    if coloured:
        when, source = paint(when, "dim"), paint(source, "cyan")
        style = _STYLES.get(level)
        lines = [paint(line, style) for line in lines] if style else lines
    return "\n".join([f"{when} {source} {lines[0]}", *lines[1:]])


def json_line(row: Row) -> str:
    """Return a record as a JSON object in one line, in ASCII."""
    when = datetime.fromtimestamp(row.created).astimezone()
    return json.dumps(
        {
            "time": when.isoformat(timespec="milliseconds"),
            "source": row.source,
            "level": level_name(row.level),
            "logger": row.logger,
            "message": row.message,
            "levelno": row.level,
            "created": row.created,
            "received": row.received,
            "time_of_arrival": row.time_of_arrival,
        }
    )
