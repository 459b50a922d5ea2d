"""What a generator of the server gives, as an asynchronous iterator. No bytes here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol, Self

from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteItems

if TYPE_CHECKING:
    from sipyco_rpc.wire.client_session import ClientSession
    from sipyco_rpc.wire.messages import Message


class AsyncItemSource(Protocol):
    """What an iterator needs of its connection."""

    session: ClientSession

    async def next_item(self, number: int, what: str) -> Message | None:
        """Wait for what a generator gives next; None if it was closed."""

    def cancel_stream(self, number: int) -> None:
        """Have the server end a generator, and drop what it gives."""

    def cancel_stream_soon(self, number: int) -> None:
        """Do so later; any thread may call this, and the garbage collector."""


class RemoteAsyncIterator(RemoteItems, AsyncIterator[Any]):
    """The items of a generator that a remote method returned.

        async for image in await camera.acquire(100):
            ...

    The generator runs as items are asked for, a few ahead. Other calls of the client may be made
    meanwhile. What the generator raises is raised here.

    Leaving an `async with` block, `aclose`, or dropping the iterator ends the generator on the
    server. Waiting for an item may be cancelled, and begun again.
    """

    def __init__(self, source: AsyncItemSource, number: int, what: str) -> None:
        self._ended = False
        self._source = source
        self._number = number
        self._what = what

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
        message = await self._source.next_item(self._number, self._what)
        if message is None:
            raise StopAsyncIteration  # it was closed meanwhile
        try:
            goes_on, value = self._source.session.receive_item(message)
        except BaseException:
            self._close()
            raise
        if goes_on:
            return value
        self._close()
        raise StopAsyncIteration if value is None else value

    async def aclose(self) -> None:
        """End the generator. May be repeated."""
        self._close()

    def _close(self) -> None:
        if not self._ended:
            self._ended = True
            self._source.cancel_stream(self._number)

    def __del__(self) -> None:
        if not self._ended:
            self._source.cancel_stream_soon(self._number)

    def __repr__(self) -> str:
        return f"<items of the {self._what}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
