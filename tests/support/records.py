"""What is logged in a test, with its source."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

# What a forwarder says before its first record, behind its source.
OFFER: Final = b":TRACE:sipyco.logs:this program can send the times of records\n"


class _Handler(logging.Handler):
    def __init__(self, records: list[tuple[str, int, str, Any]]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        source = getattr(record, "source", None)
        self.records.append((record.name, record.levelno, record.getMessage(), source))


@contextmanager
def recorded(logger: str = "fwd", level: int = 1) -> Iterator[list[tuple[str, int, str, Any]]]:
    """Give the list of what a logger gets from now on: name, level, message and source."""
    records: list[tuple[str, int, str, Any]] = []
    handler, target = _Handler(records), logging.getLogger(logger)
    before, propagate = target.level, target.propagate
    target.addHandler(handler)
    target.setLevel(level)
    target.propagate = False
    try:
        yield records
    finally:
        target.removeHandler(handler)
        target.setLevel(before)
        target.propagate = propagate
