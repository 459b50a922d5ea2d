"""After each test: what was left open, or failed in an event loop, shows now, and in that test."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator

import pytest

from support.peers import until


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    gc.collect()  # the values of the last test's fixtures
    gc.freeze()  # what is there already need not be looked at; it takes longer than most tests
    errors = _Kept()
    logging.getLogger("asyncio").addHandler(errors)
    yield
    until(lambda: not any(t for t in set(threading.enumerate()) - before if not t.daemon))
    gc.collect()  # a socket that nobody closed warns, and warnings are errors
    logging.getLogger("asyncio").removeHandler(errors)
    assert errors.texts == []
