"""The time at which a record was made, as it travels. No sockets here.

A server that knows times answers a program that can send them, and says nothing otherwise: older
programs do not read, and would have their connection reset by what they leave unread.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from sipyco_tools._logging.text import TRACE, safe_name

# The first entry of a connection, which servers without times take for what it says.
_OFFER: Final = TRACE, "sipyco.logs", "this program can send the times of records"

ANSWER: Final = b"times\n"

# The year 3000: on some systems there is no date for what comes after it.
_END_OF_TIME: Final = 32_503_680_000.0

_TIME: Final = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?", re.ASCII)


def offer(source: str) -> bytes:
    """Return the entry by which a program says that it can send times."""
    _, name, message = _OFFER
    return f"{safe_name(source)}:TRACE:{name}:{message}\n".encode("utf-8", "backslashreplace")


def is_offer(level: int, name: str, message: str) -> bool:
    """Tell whether this is the message of such an entry."""
    return (level, name, message) == _OFFER


def valid_time(seconds: Any) -> float | None:
    """Return the time of a record (seconds since 1970) as it can be sent, if it can be."""
    if isinstance(seconds, (int, float)) and 0 <= seconds < _END_OF_TIME:
        return float(seconds)
    return None


def with_time(entry: bytes, created: float) -> bytes:
    """Add the time to an entry, behind the level in its first line."""
    source, level, rest = entry.split(b":", 2)
    return b"%b:%b@%.6f:%b" % (source, level, created, rest)


def split_time(text: str) -> tuple[str, float | None]:
    """Take the time out of the first line of an entry, without its source.

    Returns:
        The line as `MultilineFormatter` writes it, and the time, if there is one that can be.
    """
    head, colon, rest = text.partition(":")
    level, at, digits = head.rpartition("@")
    if not at:
        return text, None
    created = float(digits) if _TIME.fullmatch(digits) else None
    return level + colon + rest, valid_time(created)


def set_times(record: logging.LogRecord, received: float, created: float | None) -> None:
    """Give a record the time at which it was made elsewhere, if that is known.

    Args:
        record: was made here just now.
        received: when it arrived.
        created: when it was made.
    """
    record.received = received
    record.time_of_arrival = created is None
    if created is None:
        created = received
    record.relativeCreated += (created - record.created) * 1000
    record.created = created
    record.msecs = float(int(created % 1 * 1000))
