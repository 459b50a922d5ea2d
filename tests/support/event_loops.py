"""The event loops that tests of asyncio's side run in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest

LOOPS: Final = ("asyncio", "uvloop")  # modules that have `new_event_loop`

every_loop = pytest.mark.parametrize("loop", LOOPS)


def loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes a loop of this kind; skip the test where it is not installed."""
    module: Any = pytest.importorskip(loop, reason="it is not installed")
    factory: Callable[[], asyncio.AbstractEventLoop] = module.new_event_loop
    return factory
