"""The asyncio client: calls of many tasks pipelined on one connection. No bytes here."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import ref

from sipyco_rpc._client.aio.closing import Closing
from sipyco_rpc._client.aio.opening import open_connection
from sipyco_rpc._client.aio.remote_property import RemoteProperty
from sipyco_rpc._client.attempts import checked_reconnect
from sipyco_rpc._client.remote_method import (
    attribute_error,
    check_deletion,
    check_setting,
    documented,
    forget_methods,
    is_own,
    no_attribute,
)
from sipyco_rpc._client.signatures import signature_of
from sipyco_rpc._client.status import ASKING, PING, ask_status_async, ping_async
from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.net.tls import client_ssl_context, client_ssl_contexts
from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteTarget
from sipyco_rpc.support.validation import checked_timeout, format_address
from sipyco_rpc.wire.session import AutoTarget

if TYPE_CHECKING:
    from sipyco_rpc._client.aio.connection import AsyncioConnection
    from sipyco_rpc._client.aio.lasting import LastingAsyncioConnection
    from sipyco_rpc._client.attempts import StateCallback
    from sipyco_rpc.net.tls import SimpleSSLConfig
    from sipyco_rpc.wire.client_session import ClientSession

_ADVICE: Final = " (make a new `AsyncioClient`, or use `AsyncioClient(reconnect=…)`)"


class AsyncioClient(RemoteTarget):
    """A connection to an RPC server whose methods are coroutine functions.

        async with AsyncioClient() as lda:
            await lda.connect_rpc("::1", 3253)
            await lda.set_attenuation(5)

    What a generator of the server gives comes as an asynchronous iterator, item by item:
    `async for image in await camera.acquire(100)`.

    Calls from many tasks at once share the connection: they are sent as they come, none waits
    for the reply to another. A call that times out or is cancelled never spoils the next one.
    Signatures of methods (`help`, the tab key) are known after `get_rpc_method_list`.

    Properties that the server offers are read by `await psu.voltage` and set by
    `await psu.voltage.set(12)`. Attributes cannot be set otherwise, but for those of a class that
    is derived from this one.

    Args:
        timeout: for connecting with its handshake, and for each call, in seconds; None for
            none. See `call_timeout` for a limit to single calls.
        max_line: longest reply to accept, in bytes; longer ones raise `LineTooLong`.
        reconnect: seconds for which `connect_rpc`, and later a call, wait for a server that is
            away; True for 10, 0 for one attempt. A connection that is lost is made again in the
            background. None: the client is of no use then. No call waits longer than `timeout` or
            `call_timeout`, and none is sent twice: one that was under way raises `ConnectionLost`.
        state_cb: with `reconnect`, a function, or a coroutine function, that is called in the
            event loop with a bool (whether there is a connection) and a text (why) as that
            changes. What it raises is logged.
    """

    # Every attribute is name-mangled, so that none hides a remote method. A derived class may
    # set its own before `__init__`.
    __valid_methods: frozenset[str] = frozenset()
    # No annotation, which `get_type_hints` could not look up where programs find this class.
    __connection = None  # type: AsyncioConnection | LastingAsyncioConnection | None

    def __init__(
        self,
        timeout: float | None = None,
        *,
        max_line: int = MAX_LINE,
        reconnect: float | None = None,
        state_cb: StateCallback | None = None,
    ) -> None:
        self.__timeout = checked_timeout(timeout)
        self.__max_line = max_line
        self.__patience = checked_reconnect(reconnect, state_cb)
        self.__state_cb = state_cb
        self.__key = object()

    __reduce__ = not_copyable("it is a connection of this process; make one where it is needed")

    async def connect_rpc(
        self,
        host: str,
        port: int,
        target_name: str | type[AutoTarget] | None = AutoTarget,
        ssl_config: SimpleSSLConfig | None = None,
        *,
        local_cert: str | None = None,
        local_key: str | None = None,
        peer_cert: str | None = None,
    ) -> None:
        """Connect to a server; parameters and errors are those of `Client`.

        Raises:
            RuntimeError: it is connected already.
        """
        if self.__connection is not None:
            raise RuntimeError(f"already connected to {self.__connection.where}")
        address, tls = (host, port), (ssl_config, local_cert, local_key, peer_cert)
        if self.__patience is not None:
            try:
                self.__connection = await self.__lasting(address, target_name, tls)
            except BaseException:
                self.__connection = None
                raise
            return
        connection = await open_connection(
            address,
            target_name,
            self.__timeout,
            client_ssl_context(*tls),
            self.__max_line,
            self.__timeout,
            self.__key,
        )
        connection.advice = _ADVICE
        self.__learn(connection.session)
        self.__connection = connection

    def __learn(self, session: ClientSession) -> None:
        gone = self.__valid_methods - session.methods
        self.__valid_methods = session.methods
        self._RemoteTarget__properties = session.properties
        forget_methods(self, gone)  # of the target before: they could hide its properties

    async def __lasting(
        self, address: tuple[str, int], target_name: str | type[AutoTarget] | None, tls: Any
    ) -> LastingAsyncioConnection:
        from sipyco_rpc._client.aio.lasting import LastingAsyncioConnection

        patience, timeout, max_line, key = (
            self.__patience,
            self.__timeout,
            self.__max_line,
            self.__key,
        )
        assert patience is not None
        contexts, this = client_ssl_contexts(*tls), ref(self)

        def open_one(
            target_name: str | type[AutoTarget] | None, seconds: float
        ) -> Coroutine[Any, Any, AsyncioConnection]:
            return open_connection(
                address, target_name, seconds, contexts(), max_line, timeout, key
            )

        def learn(connection: LastingAsyncioConnection, session: ClientSession) -> None:
            client = this()
            if client is not None:
                client.__connection = connection  # `state_cb` may call methods
                client.__learn(session)

        where, state_cb = format_address(*address), self.__state_cb
        connection = LastingAsyncioConnection(
            where, target_name, open_one, patience, timeout, key, state_cb, learn
        )
        await connection.connect()
        return connection

    def __connected(self) -> AsyncioConnection | LastingAsyncioConnection:
        if self.__connection is None:
            raise ConnectionError("not connected; see `connect_rpc`")
        return self.__connection

    async def select_rpc_target(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target, once, after connecting with `target_name=None`; see `Client`."""
        connection = self.__connected()
        await connection.limited("selecting the target", connection.select(target_name))
        self.__learn(connection.session)

    def get_selected_target(self) -> str | None:
        """Return the name of the selected target, or None."""
        return self.__connected().session.selected_target

    def get_rpc_id(self) -> tuple[list[str], str | None]:
        """Return what the server said of itself: the names of its targets, its description."""
        session = self.__connected().session
        return session.target_names, session.description

    def get_local_host(self) -> str:
        """Return the address of the local end of the connection."""
        return self.__connected().local_host

    async def get_rpc_method_list(self) -> dict[str, Any]:
        """Ask the server for signatures and docstrings; see `Client.get_rpc_method_list`."""
        listing = await self.__selected().list_methods()
        forget_methods(self, self.__valid_methods)  # made without knowing the listing
        return listing

    async def get_rpc_status(self) -> dict[str, Any]:
        """Ask the server what it knows of itself; see `Client.get_rpc_status`."""
        status: dict[str, Any] = await self.__selected().ask(ASKING, ask_status_async)
        return status

    async def ping_rpc(self) -> float:
        """Measure how long a request and its answer take, in seconds; see `Client.ping_rpc`."""
        seconds: float = await self.__selected().ask(PING, ping_async)
        return seconds

    def __selected(self) -> AsyncioConnection | LastingAsyncioConnection:
        connection = self.__connected()
        if connection.session.selected_target is None:
            raise ValueError("no target is selected; see `select_rpc_target`")
        return connection

    def close_rpc(self) -> Coroutine[Any, Any, None]:
        """Close the connection; calls that wait end with an error. May be repeated.

        Returns:
            A coroutine that closes it, in bounded time. It may be made early and awaited late.
            When it is dropped without having been awaited, the connection is closed then.
        """
        return Closing(lambda: self.__connection)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_AsyncioClient__")):
            raise AttributeError(name)
        if self.__connection is None:
            text = f"not connected, so there is no method `{name}`"
            raise attribute_error(text, name, self)
        if name in self.__valid_methods:
            method = self.__dict__[name] = _coroutine_function(name, self.__connection)
            return method
        if name in self._RemoteTarget__properties:
            return RemoteProperty(name, self.__connection)
        raise no_attribute(self, name, self.__valid_methods)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._RemoteTarget__properties and not is_own(self, name):
            text = f"`{name}` is set by `await client.{name}.set(…)`"
            raise attribute_error(text, name, self)
        if not name.startswith("_"):
            check_setting(self, name, value, AsyncioClient, self.__valid_methods)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        check_deletion(self, name, self.__valid_methods)
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = self.__valid_methods | self._RemoteTarget__properties
        return sorted(names.union(super().__dir__()))

    def __repr__(self) -> str:
        if self.__connection is None:
            return "<AsyncioClient, not connected>"
        return f"<AsyncioClient of `{self.get_selected_target()}` on {self.__connection.where}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close_rpc()


def _coroutine_function(
    name: str, connection: AsyncioConnection | LastingAsyncioConnection
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Make a remote method an `async def`, with its signature and docstring if they are known."""
    call = connection.call

    async def method(*args: Any, **kwargs: Any) -> Any:
        return await call(name, args, kwargs)

    method.__name__ = method.__qualname__ = name
    found = None if connection.listing is None else documented(connection.listing, name)
    if found is not None:
        method.__doc__ = found[1]
    method.__signature__ = signature_of(found)  # type: ignore[attr-defined]
    method.is_remote = True  # type: ignore[attr-defined]
    return method
