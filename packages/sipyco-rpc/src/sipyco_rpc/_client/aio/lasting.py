"""A connection of the asyncio client that a task makes again when it has broken. No bytes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from sipyco_rpc._client.aio.connector import AsyncioConnector
from sipyco_rpc._client.aio.limit import limited
from sipyco_rpc._client.argument_copies import captured
from sipyco_rpc.support.lost import ConnectionLost

if TYPE_CHECKING:
    from sipyco_rpc._client.aio.connection import AsyncioConnection
    from sipyco_rpc.wire.client_session import ClientSession
    from sipyco_rpc.wire.session import AutoTarget

_PASSES: Final = 10  # of the loop, until it has read an end that has come: TLS takes several


class LastingAsyncioConnection(AsyncioConnector):
    """A connection whose calls wait for the next one when it is no more."""

    async def connect(self) -> None:
        """Wait for the first connection.

        Raises:
            Exception: of the last attempt to connect.
        """
        try:
            await self.limited("connecting", self._first())
        except BaseException:
            self.close()
            raise

    async def _first(self) -> None:
        try:
            await self._connected("connecting", time.monotonic())
        except ConnectionLost as exc:
            if self._latest is None:
                # As a client without `reconnect` does.
                raise self._attempts.failure or exc from None

    @property
    def _known(self) -> AsyncioConnection:
        """The connection, or the one that there was before."""
        assert self._latest is not None  # no client has this object before
        return self._latest

    @property
    def session(self) -> ClientSession:
        """The conversation, or the one that there was before."""
        return self._known.session

    @property
    def listing(self) -> dict[str, Any] | None:
        """What the server said of its methods, or None before that."""
        return self._known.listing

    @property
    def local_host(self) -> str:
        """The address of this end of the connection, also when that is closed."""
        return self._known.local_host

    @property
    def is_ready(self) -> bool:
        """Whether a request that is made now is sent before anything else can be done."""
        return self._current is not None and self._current.is_ready

    async def select(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target, which is selected again by each connection."""

        async def select(connection: AsyncioConnection) -> None:
            await connection.select(target_name)
            self._target_name = connection.session.selected_target
            self._session_cb(self, connection.session)

        await self.ask("selecting the target", select)

    async def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; errors are those of `AsyncioConnection.call`.

        Raises:
            ConnectionLost: there was no connection in time, or it was lost during the call.
            AttributeError: the server has come back without the method.
        """
        ready = self.is_ready
        if not ready:
            # It has to wait, and the caller goes on: what it has given now is what is sent.
            args, kwargs = captured((args, kwargs), {})

        async def call(connection: AsyncioConnection) -> Any:
            session = connection.session
            if name not in session.methods:
                raise AttributeError(f"`{session.selected_target}` has no method `{name}`")
            return await connection.call(name, args, kwargs)

        return await self.ask(f"call of `{self.session.selected_target}.{name}`", call, ready)

    async def list_methods(self) -> dict[str, Any]:
        """Ask for signatures and docstrings; errors are those of `call`."""

        async def list_methods(connection: AsyncioConnection) -> dict[str, Any]:
            return await connection.list_methods()

        listing: dict[str, Any] = await self.ask("listing the methods", list_methods)
        return listing

    async def limited(self, what: str, work: Any) -> Any:
        """Do something in the time that a call may take; errors are those of `limited`."""
        return await limited(
            what, self.where, self._timeout, self._key, work, self._attempts.waited_for
        )

    async def ask(
        self, what: str, act: Callable[[AsyncioConnection], Awaitable[Any]], ready: bool = False
    ) -> Any:
        """Do something with a connection; again if nothing of it was sent.

        Args:
            what: what is done, for error messages.
            act: does it.
            ready: it is done at once, if the connection has not broken; what cannot be noticed
                without waiting is noticed later.
        """
        connection = self._current
        if connection is not None:
            if not ready:
                await _let_read()
            if connection.is_open:
                try:
                    return await act(connection)
                except ConnectionLost as exc:
                    if exc.sent or self._closed or connection.is_open:
                        raise
        return await self.limited(what, self._do_later(what, act))

    async def _do_later(
        self, what: str, act: Callable[[AsyncioConnection], Awaitable[Any]]
    ) -> Any:
        started = time.monotonic()
        while True:
            connection = await self._connected(what, started)
            try:
                return await act(connection)
            except ConnectionLost as exc:
                over = time.monotonic() >= started + self._patience
                if over or exc.sent or self._closed or connection.is_open:
                    raise
                await asyncio.sleep(0)  # the end is noted in the next pass


async def _let_read() -> None:
    """Let the loop read what has come: perhaps the end."""
    for _ in range(_PASSES):
        await asyncio.sleep(0)
