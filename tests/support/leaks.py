"""After each test: what was left open shows now, and in the test that left it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from support.peers import until


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    gc.freeze()  # what is there already need not be looked at; it takes longer than most tests
    yield
    until(lambda: not any(t for t in set(threading.enumerate()) - before if not t.daemon))
    gc.collect()  # a socket that nobody closed warns, and warnings are errors
