"""A property of a target as an attribute of the asyncio client. No transport here."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, NoReturn

from sipyco_rpc._client.argument_copies import captured
from sipyco_rpc.support.process_bound import not_copyable

if TYPE_CHECKING:
    from sipyco_rpc._client.aio.connection import AsyncioConnection
    from sipyco_rpc._client.aio.lasting import LastingAsyncioConnection


class RemoteProperty(Awaitable[Any]):
    """A property of the target: `await` gives its value, each time that of the moment.

        voltage = await psu.voltage
        await psu.voltage.set(12)

    Args:
        name: of the property.
        connection: asks for it.
    """

    def __init__(
        self, name: str, connection: AsyncioConnection | LastingAsyncioConnection
    ) -> None:
        self.__name__ = name
        self._connection = connection

    __reduce__ = not_copyable(
        "it is read by a client of this process; make one where it is needed"
    )

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.get().__await__()

    async def get(self) -> Any:
        """Read the property; errors are those of a call, and what its getter raises."""
        return await self._ask("reading", "get_property", self.__name__)

    async def set(self, value: Any) -> None:
        """Set the property; errors are those of a call, and what its setter raises."""
        ready = self._connection.is_ready
        if not ready:
            # It may have to wait, and the caller goes on: what it has given now is what is sent.
            value = captured(value, {})
        await self._ask("setting", "set_property", self.__name__, value, ready=ready)

    async def _ask(self, what: str, request: str, *arguments: Any, ready: bool = False) -> Any:
        what = f"{what} {self._of}"

        async def ask(connection: AsyncioConnection) -> Any:
            session = connection.session
            body = getattr(session, request)(*arguments)
            message = await connection.limited(what, connection.exchange(session.request, body))
            return session.receive_value(message)

        return await self._connection.ask(what, ask, ready)

    @property
    def _of(self) -> str:
        return f"`{self._connection.session.selected_target}.{self.__name__}`"

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        listing = self._connection.listing
        properties = None if listing is None else listing.get("properties")
        # A listing is a peer's word; help must not fail on it.
        found = properties.get(self.__name__) if isinstance(properties, dict) else None
        docstring = found.get("docstring") if isinstance(found, dict) else None
        return docstring if isinstance(docstring, str) else None

    def __bool__(self) -> NoReturn:
        raise TypeError(f"the value of {self._of} is what `await` gives")  # not: it is true

    def __repr__(self) -> str:
        return f"<remote property {self._of} on {self._connection.where}, to be awaited>"
