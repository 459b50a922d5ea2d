"""What a connection is between being accepted and being served. No protocol here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

__all__: list[str] = []


class Accepted(asyncio.Protocol):
    """Takes a connection until its handler has it.

    Args:
        accept: is called with the transport, and this.

    Attributes:
        early: what came before that; see `sipyco_rpc.net.workarounds.feed`.
        lost: whether the connection has ended before that.
    """

    def __init__(self, accept: Callable[[asyncio.Transport, Accepted], None]) -> None:
        self.early = b""
        self.lost = False
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        # Nothing should be read before the handler, or TLS, is there to take it.
        accepted.pause_reading()
        self._accept(accepted, self)

    def data_received(self, data: bytes) -> None:
        self.early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
