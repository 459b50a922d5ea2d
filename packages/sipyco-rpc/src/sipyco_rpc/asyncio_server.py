"""A TCP server to derive from: it accepts, optionally with TLS, and closes what it accepted."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self, cast

from sipyco_rpc.keepalive import set_keepalive
from sipyco_rpc.tls import server_ssl_context

if TYPE_CHECKING:
    import ssl

    from sipyco_rpc.tls import SimpleSSLConfig

__all__ = ["AsyncioServer", "abort", "close_writer"]

logger = logging.getLogger("sipyco.tools")

_STOP_PATIENCE: Final = 2.0  # seconds for handlers to end after they have been cancelled
_CLOSE_PATIENCE: Final = 1.0  # seconds for a peer to take what is still to be sent
_PASSES: Final = 5  # of the loop, until it has dealt with what was accepted or closed just now
_HANDSHAKE_TIMEOUT: Final = 10.0  # seconds for a peer's TLS handshake

# What an exception without a text means in a handshake: no reason was sent.
_SILENT: Final = "the other side closed the connection (does it trust our certificate?)"

# What a host without IPv6 answers when it is to listen on `::1`.
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def _usable(hosts: list[str]) -> list[str]:
    """Leave out the IPv6 addresses that this host cannot have, with a warning for each."""
    usable = []
    for host in hosts:
        if ":" in host:
            try:
                socket.create_server((host, 0), family=socket.AF_INET6).close()
            except OSError as exc:
                if exc.errno not in _NO_SUCH_ADDRESS:
                    raise
                logger.warning("not listening on %s: this host has no such address", host)
                continue
        usable.append(host)
    return usable or hosts


class _Accepting(asyncio.Protocol):
    """What a connection is before its handler has it.

    Attributes:
        early: what came before that, in loops that read all the same.
        lost: whether the connection has ended before that.
    """

    def __init__(self, server: AsyncioServer, context: ssl.SSLContext | None) -> None:
        self.early = b""
        self.lost = False
        self._server = server
        self._context = context

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        # Nothing should be read before the streams, or TLS, are there to take it.
        accepted.pause_reading()
        self._server._accept(accepted, self, self._context)

    def data_received(self, data: bytes) -> None:
        # uvloop begins to read after `connection_made`, whatever that has said.
        self.early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class _Streams(asyncio.StreamReaderProtocol):
    """asyncio's streams, which tell their reader."""

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self.reader = reader


class AsyncioServer:
    """A TCP server whose subclasses say what to do with a connection.

    Override `_handle_connection_cr`. When it returns or raises, its connection is closed; what
    it raises is logged. With `async with`, the server is stopped at the end.

    Attributes:
        server: the `asyncio.Server` while it runs; `server.sockets` tells the bound ports.
    """

    def __init__(self) -> None:
        self.server: asyncio.Server | None = None
        self._accepting = False
        self._handlers: dict[asyncio.Task[None], asyncio.Transport] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(
        self,
        host: str | Sequence[str] | None,
        port: int,
        ssl_config: SimpleSSLConfig | None = None,
        *,
        local_cert: str | None = None,
        local_key: str | None = None,
        peer_cert: str | None = None,
    ) -> None:
        """Begin to listen.

        Args:
            host: address, or a list of them; None for all. An IPv6 address of a list is left
                out with a warning where the host has no IPv6.
            port: TCP port; 0 for any that is free.
            ssl_config: for TLS.
            local_cert, local_key, peer_cert: paths of PEM files for TLS. Not with `ssl_config`.

        Raises:
            OSError: an address cannot be listened on, or a certificate not be used.
            RuntimeError: it runs already.
        """
        if self.server is not None:
            raise RuntimeError("the server has been started already")
        context = server_ssl_context(ssl_config, local_cert, local_key, peer_cert)
        if host is not None and not isinstance(host, str):
            host = _usable(list(host))
        loop = asyncio.get_running_loop()
        self._accepting = True
        self.server = await loop.create_server(lambda: _Accepting(self, context), host, port)

    async def stop(self) -> None:
        """Stop listening and close all connections, in bounded time. May be repeated."""
        server, self.server = self.server, None
        self._accepting = False
        if server is not None:
            _stop_accepting(server)
            await _let_pass()
            server.close()
        me = asyncio.current_task()
        handlers = {task for task in self._handlers if task is not me}
        for task in handlers:
            task.cancel()
        if handlers:
            _, resisting = await asyncio.wait(handlers, timeout=_STOP_PATIENCE)
            for task in resisting:
                logger.warning("%r does not end; closing its connection", task.get_name())
                abort(self._handlers[task])
        if server is not None:
            await _let_pass()

    def _accept(
        self,
        transport: asyncio.Transport,
        accepting: _Accepting,
        context: ssl.SSLContext | None,
    ) -> None:
        if not self._accepting:
            transport.abort()  # accepted while `stop` closed the door
            return
        address = transport.get_extra_info("peername")
        peer = f"{address[0]} port {address[1]}" if address else "a client"
        task = asyncio.get_running_loop().create_task(
            self._run_handler(transport, accepting, context, peer), name=f"connection from {peer}"
        )
        self._handlers[task] = transport
        task.add_done_callback(self._handler_done)

    def _handler_done(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before it has begun closes nothing.
        abort(self._handlers.pop(task))

    async def _run_handler(
        self,
        transport: asyncio.Transport,
        accepting: _Accepting,
        context: ssl.SSLContext | None,
        peer: str,
    ) -> None:
        if accepting.lost:
            return
        protocol: Any = self._new_protocol()
        try:
            set_keepalive(transport.get_extra_info("socket"))
            transport.pause_reading()
            if context is None:
                transport.set_protocol(protocol)
                protocol.connection_made(transport)
                _feed(protocol, accepting.early)
                transport.resume_reading()
            else:
                transport = await _secured(transport, protocol, context, accepting.early)
                protocol.connection_made(transport)
        except OSError as exc:  # ssl.SSLError, and a peer that has gone away, among them
            transport.abort()
            logger.warning("TLS handshake with %s failed: %s", peer, str(exc) or _SILENT)
            return
        except BaseException:
            transport.abort()
            raise
        try:
            await self._serve(transport, protocol, peer)
        except (ConnectionError, EOFError) as exc:
            logger.debug("lost the connection from %s: %s", peer, exc)
        except Exception:
            logger.exception("error while serving %s", peer)

    def _new_protocol(self) -> asyncio.BaseProtocol:
        """Make what takes the bytes of a connection; see `_serve`."""
        loop = asyncio.get_running_loop()
        return _Streams(asyncio.StreamReader(loop=loop), loop=loop)

    async def _serve(
        self, transport: asyncio.Transport, protocol: asyncio.BaseProtocol, peer: str
    ) -> None:
        """Serve one connection, and close it.

        Args:
            transport: the connection.
            protocol: from `_new_protocol`.
            peer: the other end, for log records.
        """
        assert isinstance(protocol, _Streams)
        loop = asyncio.get_running_loop()
        writer = asyncio.StreamWriter(transport, protocol, protocol.reader, loop)
        try:
            await self._handle_connection_cr(protocol.reader, writer)
        finally:
            await close_writer(writer)

    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection.

        Args:
            reader, writer: its streams; they are closed afterwards.
        """
        raise NotImplementedError("override `_handle_connection_cr`")


async def _secured(
    transport: asyncio.Transport, protocol: Any, context: ssl.SSLContext, early: bytes
) -> asyncio.Transport:
    """Have TLS on a connection, of which some bytes may have been read already."""
    loop = asyncio.get_running_loop()
    handshake = asyncio.ensure_future(
        loop.start_tls(
            transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=_HANDSHAKE_TIMEOUT,
            ssl_shutdown_timeout=_CLOSE_PATIENCE,
        )
    )
    if early:
        # It begins now, and is ready for them in the next pass.
        loop.call_soon(lambda: loop.call_soon(_feed_handshake, transport, early))
    secured = await handshake
    if secured is None:  # what asyncio gives where the other side left in the same moment
        raise ConnectionResetError("the connection was lost right after it")
    return secured


def _feed_handshake(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        _feed(transport.get_protocol(), data)


def _feed(protocol: Any, data: bytes) -> None:
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


def _stop_accepting(server: asyncio.Server) -> None:
    """Leave new connections to the system, before the server is closed.

    asyncio loses the socket of a connection that it has accepted when the server is closed in the
    very next pass of the loop.
    """
    for sock in server.sockets:
        try:
            server.get_loop().remove_reader(sock.fileno())
        except (NotImplementedError, RuntimeError, ValueError):
            pass  # a loop that does not accept by readers: Windows' has none


async def _let_pass() -> None:
    """Let the loop make connections that it accepted, and close sockets that were aborted."""
    for _ in range(_PASSES):
        await asyncio.sleep(0)


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close a connection, in bounded time: what the peer does not take in one second is dropped.

    Args:
        writer: its stream.
    """
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_PATIENCE):
            await writer.wait_closed()
    except (OSError, EOFError):
        pass  # it is closed all the same; TimeoutError is an OSError
    finally:
        abort(writer.transport)


def abort(transport: asyncio.WriteTransport) -> None:
    """Abort a connection; it may have ended already.

    Args:
        transport: of the connection.
    """
    try:
        transport.abort()
    except AttributeError:
        pass  # asyncio's own, where the transport has closed after it had sent what was left
