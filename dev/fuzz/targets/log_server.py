"""All that a program may send to a log server."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from dev.fuzz.memory import recorded
from sipyco_tools._logging.session import BANNER, LogSession, Refused
from sipyco_tools._logging.text import safe_name
from sipyco_tools._logging.times import ANSWER

__all__ = ["one_input"]

_MAX_LINE: Final = 200  # bytes
_MAX_LINES: Final = 5  # of an entry


_OFFER: Final = ":TRACE:sipyco.logs:this program can send the times of records"
_TIME: Final = re.compile(r"([^:]*)@(\d{1,11}(?:\.\d{1,9})?)", re.ASCII)


class _Record(NamedTuple):
    source: str
    name: str
    message: str
    created: float | None


class _Logged(NamedTuple):
    records: list[_Record]
    refused: str  # why the connection is closed
    said: bytes  # to the program
    untimed: list[str]  # sources, as they are told of


def one_input(data: bytes) -> None:
    """Have it logged, in reads of several sizes: nothing is lost, and nothing invented."""
    results = [_logged(data, step) for step in (1, 3, 50, max(1, len(data)))]
    assert results.count(results[0]) == len(results), results
    logged = results[0]
    assert (
        logged.untimed
        == [record.source for record in logged.records if record.created is None][:1]
    )
    _check(data, logged)


def _logged(data: bytes, step: int) -> _Logged:
    answers: list[bytes] = []
    untimed: list[str] = []
    session = LogSession(_MAX_LINE, _MAX_LINES, answer=answers.append, untimed=untimed.append)
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
    records = []
    for record in log:
        facts = record.__dict__
        created = None if facts["time_of_arrival"] else record.created
        assert created is not None or record.created == facts["received"]
        records.append(_Record(facts["source"], record.name, record.getMessage(), created))
    return _Logged(records, refused, b"".join(answers), untimed)


def _check(data: bytes, logged: _Logged) -> None:
    """Check that the lines of the records are those that came, in order and without a gap."""
    if not data.startswith(BANNER):
        assert not logged.records
        assert not logged.said
        return
    lines = data[len(BANNER) :].split(b"\n")[:-1]
    assert logged.said in (b"", ANSWER)
    if logged.said:
        offer = lines.pop(0).decode()
        assert offer.endswith(_OFFER)
        assert offer.count(":") == 3
    position = 0
    for source, name, message, created in logged.records:
        first, *more = message.split("\n")
        assert len(more) < _MAX_LINES
        fields = lines[position].decode().split(":", 3)
        fields[0] = safe_name(fields[0])
        printed = ":".join(fields) == f"{source}:{first}"
        if created is not None:
            time = _TIME.fullmatch(fields[1])
            assert logged.said
            assert time
            assert float(time[2]) == created
        fields[2:3] = map(safe_name, fields[2:3])
        assert printed or fields[:1] + fields[2:] == [source, name, first]
        assert more == [text.decode() for text in lines[position + 1 : position + 1 + len(more)]]
        position += 1 + len(more)
    # What is left is an entry that is not complete, or the line that was refused.
    assert logged.refused or len(lines) - position < _MAX_LINES
