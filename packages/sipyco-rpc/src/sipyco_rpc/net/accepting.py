"""A connection before its handler has it: what is read too early, and TLS. No protocol here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import ssl

__all__: list[str] = []

CLOSE_TIMEOUT: Final = 1.0  # seconds for a peer to take what is still to be sent

_NEVER: Final = 1e6  # seconds; the clock of the visitor ends a handshake

# What an exception without a text means in a handshake: no reason was sent.
SILENT: Final = "the other side closed the connection (does it trust our certificate?)"


class Accepting(asyncio.Protocol):
    """What a connection is before its handler has it.

    Args:
        accept: is called with the transport, and this.

    Attributes:
        early: what came before that, in loops that read all the same.
        lost: whether the connection has ended before that.
    """

    def __init__(self, accept: Callable[[asyncio.Transport, Accepting], None]) -> None:
        self.early = b""
        self.lost = False
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        # Nothing should be read before the streams, or TLS, are there to take it.
        accepted.pause_reading()
        self._accept(accepted, self)

    def data_received(self, data: bytes) -> None:
        # uvloop begins to read after `connection_made`, whatever that has said.
        self.early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


async def secured(
    transport: asyncio.Transport, protocol: Any, context: ssl.SSLContext, early: bytes
) -> asyncio.Transport:
    """Have TLS on a connection, of which some bytes may have been read already.

    Raises:
        OSError: the handshake failed (`ssl.SSLError`), or the connection was lost.
    """
    loop = asyncio.get_running_loop()
    _close_for_good(transport)
    handshake = asyncio.ensure_future(
        loop.start_tls(
            transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=_NEVER,
            ssl_shutdown_timeout=CLOSE_TIMEOUT,
        )
    )
    if early:
        # It begins now, and is ready for them in the next pass.
        loop.call_soon(lambda: loop.call_soon(_feed_handshake, transport, early))
    transport_with_tls = await handshake
    if transport_with_tls is None:  # what asyncio gives where either side left in that moment
        raise ConnectionResetError("the connection was lost right after it")
    return transport_with_tls


def _close_for_good(transport: asyncio.Transport) -> None:
    """Have a transport that is closed under TLS drop what it has not sent.

    TLS closes it when the peer has said that it is done, and takes no more. Since Python 3.12 a
    transport of asyncio that is closed with something to send spins, for ever, if TLS writes more
    as that is gone.
    """
    close = transport.close

    def close_or_abort() -> None:
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            close()

    try:
        transport.close = close_or_abort  # type: ignore[method-assign]
    except AttributeError:
        pass  # uvloop's: it has a TLS of its own


def _feed_handshake(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        feed(transport.get_protocol(), data)


def feed(protocol: Any, data: bytes) -> None:
    """Give bytes to a protocol as a transport does."""
    if hasattr(protocol, "data_received"):
        if data:
            protocol.data_received(data)
        return
    while data:
        memory = memoryview(protocol.get_buffer(len(data)))
        size = min(len(memory), len(data))
        memory[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def close(transport: asyncio.WriteTransport) -> None:
    """End a connection when what was written has been sent; it may be ending already."""
    # asyncio's TLS does not know its own connection any more when it is closed once more.
    if not transport.is_closing():
        transport.close()


def abort(transport: asyncio.WriteTransport) -> None:
    """End a connection at once; it may have ended already."""
    try:
        transport.abort()
    except AttributeError:
        # asyncio's transport has no loop any more if it was closed while it had something to send,
        # and has got rid of that.
        pass
