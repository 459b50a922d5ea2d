"""Closing a connection of the asyncio client, whatever the state of its loop. No bytes here."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    from sipyco_rpc._client.aio.lasting import LastingAsyncioConnection
    from sipyco_rpc._client.aio.protocol import ConnectionProtocol

    Closable: TypeAlias = ConnectionProtocol | LastingAsyncioConnection


class Closing(Coroutine[Any, Any, None]):
    """What `close_rpc` returns: a coroutine that closes a connection when it is awaited.

    Old programs do not await it. Where nobody has, it closes the connection as it is dropped.

    Args:
        connection: gives the connection to close, or None; it is asked when it is to be closed.
    """

    def __init__(self, connection: Callable[[], Closable | None]) -> None:
        self._connection = connection
        self._thread = threading.get_ident()
        self._closing: Coroutine[Any, Any, None] | None = None

    def _begin(self) -> Coroutine[Any, Any, None]:
        if self._closing is None:
            self._thread = threading.get_ident()
            self._closing = self._close_and_wait()
        return self._closing

    def __await__(self) -> Generator[Any, Any, None]:
        return self._begin().__await__()

    def send(self, value: Any) -> Any:
        return self._begin().send(value)

    def throw(self, *exc_info: Any) -> Any:
        if self._closing is None:
            # A task that was cancelled before it has begun: the connection is closed all the same.
            self._close_now()
        return self._begin().throw(*exc_info)

    def close(self) -> None:
        if self._closing is not None:
            self._closing.close()

    def __del__(self) -> None:
        if self._closing is None and not sys.is_finalizing():
            try:
                self._close_now()
            except Exception:  # noqa: BLE001  (nobody could take it)
                pass

    async def _close_and_wait(self) -> None:
        connection = self._close_now()
        if connection is not None:
            await connection.wait_closed()

    def _close_now(self) -> Closable | None:
        """Close the connection, or have its loop do so where that runs elsewhere; return it."""
        connection = self._connection()
        if connection is None:
            return None
        loop = connection.loop
        elsewhere = loop.is_running() and loop is not _running_loop()
        if elsewhere or (threading.get_ident() != self._thread and not loop.is_closed()):
            try:
                loop.call_soon_threadsafe(connection.close)
                return connection
            except RuntimeError:
                pass  # the loop was closed just now
        connection.close()
        return connection


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
