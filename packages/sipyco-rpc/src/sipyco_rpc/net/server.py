"""A TCP server to derive from, with the streams of asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sipyco_rpc.net.listener import ConnectionHandler, Listener
from sipyco_rpc.net.workarounds import close_writer

if TYPE_CHECKING:
    from sipyco_rpc.net.admission import ConnectionSlot

__all__ = ["AsyncioServer"]


class AsyncioServer(Listener):
    """A TCP server whose subclasses say what to do with a connection.

    Override `_handle_connection_cr`. When it returns or raises, its connection is closed; what
    it raises is logged. With `async with`, the server is stopped at the end.

    A class derived from this one has to protect its handlers itself from peers that say nothing:
    nobody else knows what they should say. A connection is established at once, and
    `handshake_timeout` is for TLS only, unless `_serve_streams` is overridden instead.

    Args:
        max_connections: most connections at a time; by default 512, or half of the descriptors
            that the process may have, for all servers of the loop together. One more takes the
            place of the oldest that is not established, that is whose peer has not said yet what
            it wants; if there is none, it is closed.
        handshake_timeout: seconds for a peer's TLS handshake, and until its banner has come.

    Attributes:
        server: the `asyncio.Server` while it runs; `server.sockets` tells the bound ports.

    Raises:
        ValueError: with such limits nobody could be served.
    """

    def _new_handler(self, slot: ConnectionSlot) -> ConnectionHandler:
        return _StreamHandler(self, slot)

    async def _serve_streams(
        self, slot: ConnectionSlot, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection, which may lose its slot to another until it is established."""
        slot.established()
        await self._handle_connection_cr(reader, writer)

    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection.

        Args:
            reader: what it sends.
            writer: what it is sent; it is closed afterwards.
        """
        raise NotImplementedError("override `_handle_connection_cr`")


class _StreamHandler(asyncio.StreamReaderProtocol):
    """Serves a connection by its streams."""

    # Its attributes are name-mangled: asyncio's class has private ones.

    def __init__(self, server: AsyncioServer, slot: ConnectionSlot) -> None:
        self.__loop = asyncio.get_running_loop()
        self.__reader = asyncio.StreamReader(loop=self.__loop)
        super().__init__(self.__reader, loop=self.__loop)
        self.__server = server
        self.__slot = slot
        self.__transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.__transport = transport
        super().connection_made(transport)

    def eof_received(self) -> bool:
        stays_open = bool(super().eof_received())
        # TLS may see the end before it says that there is a beginning.
        return stays_open and self.__transport is not None

    async def serve(self) -> None:
        transport, reader = self.__transport, self.__reader
        writer = asyncio.StreamWriter(transport, self, reader, self.__loop)  # type: ignore[arg-type]
        try:
            await self.__server._serve_streams(self.__slot, reader, writer)
        finally:
            await close_writer(writer)
