"""The asyncio client: calls of many tasks pipelined on one connection. No bytes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Self

from sipyco_rpc._client.aio.closing import Closing
from sipyco_rpc._client.aio.connection import AsyncioConnection
from sipyco_rpc._client.aio.remote_property import RemoteProperty
from sipyco_rpc._client.remote_method import (
    attribute_error,
    check_deletion,
    check_setting,
    documented,
    is_own,
    no_attribute,
)
from sipyco_rpc._client.signatures import signature_of
from sipyco_rpc._client.status import ask_status_async, ping_async
from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.net.errors import timeout_error
from sipyco_rpc.net.keepalive import async_protocol, async_socket
from sipyco_rpc.net.tls import client_ssl_context
from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteTarget
from sipyco_rpc.support.validation import checked_timeout, format_address
from sipyco_rpc.wire.session import AutoTarget

if TYPE_CHECKING:
    from sipyco_rpc.net.tls import SimpleSSLConfig


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
    """

    # Every attribute is name-mangled, so that none hides a remote method. A derived class may
    # set its own before `__init__`.
    __valid_methods: frozenset[str] = frozenset()

    def __init__(self, timeout: float | None = None, *, max_line: int = MAX_LINE) -> None:
        self.__timeout = checked_timeout(timeout)
        self.__max_line = max_line
        self.__key = object()
        self.__connection: AsyncioConnection | None = None

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
        context = client_ssl_context(ssl_config, local_cert, local_key, peer_cert)
        where = format_address(host, port)
        started = time.monotonic()
        sock = await async_socket(host, port, self.__timeout)
        limit = None if self.__timeout is None else started + self.__timeout - time.monotonic()
        try:
            async with asyncio.timeout(limit):
                connection = await async_protocol(
                    lambda: AsyncioConnection(where, self.__max_line, self.__timeout, self.__key),
                    sock,
                    host,
                    port,
                    context,
                )
                connection.sock = sock
                try:
                    session = connection.session
                    session.receive_identification(await connection.exchange(session.hello))
                    self.__connection = connection
                    if target_name is not None:
                        await self.__select(connection, target_name)
                except BaseException:
                    self.__connection = None
                    connection.close(at_once=True)
                    await connection.wait_closed()
                    raise
        except TimeoutError as exc:
            raise timeout_error("connecting", where, started) from exc

    async def __select(
        self, connection: AsyncioConnection, target_name: str | type[AutoTarget]
    ) -> None:
        session = connection.session
        session.receive_methods(await connection.exchange(session.select, target_name))
        self.__valid_methods = session.methods
        self._RemoteTarget__properties = session.properties

    def __connected(self) -> AsyncioConnection:
        if self.__connection is None:
            raise ConnectionError("not connected; see `connect_rpc`")
        return self.__connection

    async def select_rpc_target(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target, once, after connecting with `target_name=None`; see `Client`."""
        connection = self.__connected()
        await connection.limited("selecting the target", self.__select(connection, target_name))

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
        for name in self.__valid_methods:
            if not is_own(self, name):
                self.__dict__.pop(name, None)  # made without knowing the listing
        return listing

    async def get_rpc_status(self) -> dict[str, Any]:
        """Ask the server what it knows of itself; see `Client.get_rpc_status`."""
        return await ask_status_async(self.__selected())

    async def ping_rpc(self) -> float:
        """Measure how long a request and its answer take, in seconds; see `Client.ping_rpc`."""
        return await ping_async(self.__selected())

    def __selected(self) -> AsyncioConnection:
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
    name: str, connection: AsyncioConnection
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
