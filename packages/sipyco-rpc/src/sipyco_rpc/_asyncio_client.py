"""The asyncio client: calls of many tasks pipelined on one connection. No bytes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sipyco_rpc._asyncio_connection import AsyncioConnection, Closing
from sipyco_rpc._asyncio_stream import RemoteAsyncIterator
from sipyco_rpc._calls import connect_error, limit_of, place, timeout_error
from sipyco_rpc._client_session import Stream
from sipyco_rpc._remote_method import documented
from sipyco_rpc._session import AutoTarget
from sipyco_rpc._signatures import ANY, signature_from
from sipyco_rpc.framing import MAX_LINE
from sipyco_rpc.tls import client_ssl_context

if TYPE_CHECKING:
    import ssl

    from sipyco_rpc.tls import SimpleSSLConfig

T = TypeVar("T")


class AsyncioClient:
    """A connection to an RPC server whose methods are coroutine functions.

        async with AsyncioClient() as lda:
            await lda.connect_rpc("::1", 3253)
            await lda.set_attenuation(5)

    What a generator of the server gives comes as an asynchronous iterator, item by item:
    `async for image in await camera.acquire(100)`.

    Calls from many tasks at once share the connection: they are sent as they come, none waits
    for the reply to another. A call that times out or is cancelled never spoils the next one.
    Signatures of methods (`help`, the tab key) are known after `get_rpc_method_list`.

    Args:
        timeout: for connecting with its handshake, and for each call, in seconds; None for
            none. See `call_timeout` for a limit to single calls.
        max_line: longest reply to accept, in bytes; longer ones raise `LineTooLong`.
    """

    def __init__(self, timeout: float | None = None, *, max_line: int = MAX_LINE) -> None:
        # Every attribute is name-mangled, so that none hides a remote method.
        self.__timeout = timeout
        self.__max_line = max_line
        self.__connection: AsyncioConnection | None = None
        self.__valid_methods: frozenset[str] = frozenset()
        self.__listing: Mapping[str, Any] | None = None

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
        where = place(host, port)
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.__timeout):
                connection = await self.__open(host, port, context, where)
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

    async def __open(
        self, host: str, port: int, context: ssl.SSLContext | None, where: str
    ) -> AsyncioConnection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: AsyncioConnection(where, self.__max_line),
                host,
                port,
                ssl=context,
                server_hostname=host if context is not None else None,
            )
        except TimeoutError:
            raise
        except OSError as exc:
            if context is not None and not str(exc):
                raise type(exc)(
                    f"{where} closed the connection during the TLS handshake (does it use TLS?)"
                ) from exc
            raise connect_error(exc, where) from exc
        return connection

    async def __select(
        self, connection: AsyncioConnection, target_name: str | type[AutoTarget]
    ) -> None:
        session = connection.session
        session.receive_methods(await connection.exchange(session.select, target_name))
        self.__valid_methods = session.methods

    def __connected(self) -> AsyncioConnection:
        if self.__connection is None:
            raise ConnectionError("not connected; see `connect_rpc`")
        return self.__connection

    async def select_rpc_target(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target, once, after connecting with `target_name=None`; see `Client`."""
        connection = self.__connected()
        await self.__limited(
            "selecting the target", connection, self.__select(connection, target_name)
        )

    def get_selected_target(self) -> str | None:
        """Return the name of the selected target, or None."""
        return self.__connected().session.selected_target

    def get_rpc_id(self) -> tuple[list[str], str | None]:
        """Return what the server said of itself: the names of its targets, its description."""
        session = self.__connected().session
        return session.target_names, session.description

    def get_local_host(self) -> str:
        """Return the address of the local end of the connection."""
        transport = self.__connected().transport
        assert transport is not None
        address: str = transport.get_extra_info("sockname")[0]
        return address

    async def get_rpc_method_list(self) -> dict[str, Any]:
        """Ask the server for signatures and docstrings; see `Client.get_rpc_method_list`."""
        connection = self.__connected()
        session = connection.session
        if session.selected_target is None:
            raise ValueError("no target is selected; see `select_rpc_target`")
        message = await self.__limited(
            "listing the methods",
            connection,
            connection.exchange(session.request, session.list_methods()),
        )
        listing = session.receive_listing(message)
        self.__listing = listing
        return listing

    def close_rpc(self) -> Coroutine[Any, Any, None]:
        """Close the connection, at once; calls that wait end with an error. May be repeated.

        Returns:
            A coroutine that ends when the connection is closed, in bounded time. It need not be
            awaited.
        """
        connection = self.__connection
        if connection is not None:
            connection.close()
        return Closing(connection)

    async def __limited(
        self, what: str, connection: AsyncioConnection, work: Coroutine[Any, Any, T]
    ) -> T:
        has_limit, seconds = limit_of(self)
        if not has_limit:
            seconds = self.__timeout
        if seconds is None:
            return await work
        started = time.monotonic()
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as exc:
            if not limit.expired():
                raise  # the remote method's own
            raise timeout_error(what, connection.where, started) from exc

    async def __call_method(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        connection = self.__connected()
        session = connection.session
        body = session.call(name, args, kwargs)
        exchange = connection.exchange(session.request, body)
        if limit_of(self)[0] or self.__timeout is not None:
            what = f"call of `{session.selected_target}.{name}`"
            message = await self.__limited(what, connection, exchange)
        else:
            message = await exchange
        result = session.receive_reply(message)
        if result is not Stream:
            return result
        what = f"call of `{session.selected_target}.{name}`"
        return RemoteAsyncIterator(
            connection, message[0], what, lambda work: self.__limited(what, connection, work)
        )

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__connection is None:
            raise AttributeError(f"not connected, so there is no method `{name}`")
        if name not in self.__valid_methods:
            raise AttributeError(f"`{self.get_selected_target()}` has no method `{name}`")

        async def method(*args: Any, **kwargs: Any) -> Any:
            return await self.__call_method(name, args, kwargs)

        method.__name__ = method.__qualname__ = name
        method.__signature__ = ANY  # type: ignore[attr-defined]
        if self.__listing is not None:
            self.__document(method)
        return method

    def __document(self, method: Any) -> None:
        assert self.__listing is not None
        found = documented(self.__listing, method.__name__)
        if found is None:
            return
        argspec, method.__doc__ = found
        try:
            method.__signature__ = signature_from(argspec)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # a listing is a peer's word; help must not fail on it

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__valid_methods})

    def __repr__(self) -> str:
        if self.__connection is None:
            return "<AsyncioClient, not connected>"
        return f"<AsyncioClient of `{self.get_selected_target()}` on {self.__connection.where}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close_rpc()
