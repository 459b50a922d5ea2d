"""What a generator of the server gives, as an asynchronous iterator. No bytes here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteItems
from sipyco_rpc.wire.credit import Credit

if TYPE_CHECKING:
    from sipyco_rpc._client.aio.connection import AsyncioConnection


class RemoteAsyncIterator(RemoteItems, AsyncIterator[Any]):
    """The items of a generator that a remote method returned.

        async for image in await camera.acquire(100):
            ...

    The generator runs as items are asked for, a few ahead. Other calls of the client may be made
    meanwhile. What the generator raises is raised here.

    Leaving an `async with` block, `aclose`, or dropping the iterator ends the generator on the
    server. Waiting for an item may be cancelled, and begun again.
    """

    def __init__(
        self,
        connection: AsyncioConnection,
        number: int,
        what: str,
    ) -> None:
        self._ended = False
        self._connection = connection
        self._number = number
        self._what = what
        self._credit = Credit()
        self._inbox = connection.open_inbox(number)

    __reduce__ = not_copyable("its items come over a connection of this process")

    async def __anext__(self) -> Any:
        """Wait for the next item.

        Raises:
            StopAsyncIteration: there are no more.
            Exception: what the generator raised.
            TimeoutError: it took too long; one may go on to wait.
            EOFError, ConnectionError: the connection is no more.
        """
        if self._ended:
            raise StopAsyncIteration
        session = self._connection.session
        if not self._inbox.failed:
            self._connection.check_loop()
        more = self._credit.due()
        if more:
            self._connection.tell(session.allow_items(self._number, more))
            self._credit.allow(more)
            self._inbox.allowed += more
        message = await self._connection.limited(self._what, self._inbox.take())
        if message is None:
            raise StopAsyncIteration  # it was closed meanwhile
        self._credit.take(message)
        try:
            goes_on, value = session.receive_item(message)
        except BaseException:
            self._close()
            raise
        if goes_on:
            return value
        self._close(ended=True)
        raise StopAsyncIteration if value is None else value

    async def aclose(self) -> None:
        """End the generator. May be repeated."""
        if asyncio.get_running_loop() is self._connection.loop:
            self._close()
        else:
            self.__del__()
            self._ended = True

    def _close(self, *, ended: bool = False) -> None:
        if not self._ended:
            self._ended = True
            self._connection.forget(self._number, ended=ended)

    def __del__(self) -> None:
        if self._ended or self._connection.lost.done():
            return
        try:
            # The garbage collector may run in any thread.
            forget, number = self._connection.forget, self._number
            self._connection.loop.call_soon_threadsafe(lambda: forget(number, ended=False))
        except RuntimeError:
            pass  # the loop has been closed, and the connection with it

    def __repr__(self) -> str:
        return f"<items of the {self._what}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
