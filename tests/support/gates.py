"""Targets whose methods a test holds up, and lets go on when it wants to."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from support.peers import DEADLINE


class GatedTarget:
    """Methods that tell when they have begun, and return when they are released.

    Attributes:
        entered: is set when a method has begun.
        released: the test sets it to let them go on.
    """

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def echo(self, x: Any = None) -> Any:
        return x

    def block(self) -> str:
        """Hold up the thread that it runs in."""
        self._enter()
        return "released"

    async def wait(self) -> str:
        """Wait in the event loop, which goes on."""
        self.entered.set()
        while not self.released.is_set():
            await asyncio.sleep(0.002)
        return "waited"

    def _enter(self) -> None:
        self.entered.set()
        assert self.released.wait(DEADLINE)
