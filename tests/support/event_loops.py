"""The event loops that tests of asyncio's side run in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

every_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes a loop of this kind; skip the test where it is not installed."""
    if name == "asyncio":
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return factory
