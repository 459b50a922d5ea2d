"""All that a program may send to a log server."""

from __future__ import annotations

from typing import Final

from dev.fuzz.memory import recorded
from sipyco_tools._logging.session import BANNER, LogSession, Refused
from sipyco_tools._logging.text import safe_name

__all__ = ["one_input"]

_MAX_LINE: Final = 200  # bytes
_MAX_LINES: Final = 5  # of an entry


def one_input(data: bytes) -> None:
    """Have it logged, in reads of several sizes: nothing is lost, and nothing invented."""
    results = [_logged(data, step) for step in (1, 3, 50, max(1, len(data)))]
    assert results.count(results[0]) == len(results), results
    records, refused = results[0]
    _check(data, records, refused)


def _logged(data: bytes, step: int) -> tuple[list[tuple[str, str, str]], str]:
    """Give what is logged, and why the connection is closed."""
    session = LogSession(_MAX_LINE, _MAX_LINES)
    refused = ""
    with recorded("fwd") as log:
        try:
            for start in range(0, len(data), step):
                session.receive(data[start : start + step])
        except Refused as exc:
            refused = str(exc)
            if refused == "received an unknown banner":
                assert not BANNER.startswith(data[: len(BANNER)])
        rest = session.rest()
        assert isinstance(rest, str)
    records = [(record.__dict__["source"], record.name, record.getMessage()) for record in log]
    return records, refused


def _check(data: bytes, records: list[tuple[str, str, str]], refused: str) -> None:
    """Check that the lines of the records are those that came, in order and without a gap."""
    if not data.startswith(BANNER):
        assert not records
        return
    lines = data[len(BANNER) :].split(b"\n")[:-1]
    position = 0
    for source, name, message in records:
        first, *more = message.split("\n")
        assert len(more) < _MAX_LINES
        fields = lines[position].decode().split(":", 3)
        fields[0] = safe_name(fields[0])
        printed = ":".join(fields) == f"{source}:{first}"
        fields[2:3] = map(safe_name, fields[2:3])
        assert printed or fields[:1] + fields[2:] == [source, name, first]
        assert more == [text.decode() for text in lines[position + 1 : position + 1 + len(more)]]
        position += 1 + len(more)
    # What is left is an entry that is not complete, or the line that was refused.
    assert refused or len(lines) - position < _MAX_LINES
