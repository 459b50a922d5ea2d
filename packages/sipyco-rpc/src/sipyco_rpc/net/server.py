"""A TCP server to derive from: it accepts, optionally with TLS, and closes what it accepted."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from sipyco_rpc._compat import prepare_tracebacks
from sipyco_rpc.net.accepting import CLOSE_TIMEOUT, SILENT, Accepting, abort, close, feed, secured
from sipyco_rpc.net.admission import HANDSHAKE_TIMEOUT, Admission
from sipyco_rpc.net.keepalive import set_keepalive
from sipyco_rpc.net.listening import (
    checked_addresses,
    open_to_others,
    stop_accepting,
    unresolved,
    usable,
)
from sipyco_rpc.net.tls import server_ssl_contexts
from sipyco_rpc.support.log_limiter import LogLimiter
from sipyco_rpc.support.process_bound import after_fork_in_child, leave_descriptor, not_copyable

if TYPE_CHECKING:
    import ssl

    from sipyco_rpc.net.admission import ConnectionSlot
    from sipyco_rpc.net.tls import SimpleSSLConfig

__all__ = [
    "HANDSHAKE_TIMEOUT",
    "AsyncioServer",
    "LogLimiter",
    "abort",
    "close",
    "close_writer",
]

logger = logging.getLogger("sipyco.tools")

_STOP_TIMEOUT: Final = 2.0  # seconds for handlers to end after they have been cancelled
_PASSES: Final = 5  # of the loop, until it has dealt with what was accepted or closed just now


class _Streams(asyncio.StreamReaderProtocol):
    """asyncio's streams, which tell their reader."""

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self.reader = reader


class AsyncioServer:
    """A TCP server whose subclasses say what to do with a connection.

    Override `_handle_connection_cr`. When it returns or raises, its connection is closed; what
    it raises is logged. With `async with`, the server is stopped at the end.

    A class derived from this one has to protect its handlers itself from peers that say nothing:
    nobody else knows what they should say. `handshake_timeout` is for TLS only there, and each
    connection keeps its place from then on.

    Args:
        max_connections: most connections at a time; by default 512, or half of the descriptors
            that the process may have, for all servers of the loop together. One more takes the
            place of the one that has waited longest without saying what it wants; if there is
            none, it is closed.
        handshake_timeout: seconds for a peer's TLS handshake, and until it has said what it is.

    Attributes:
        server: the `asyncio.Server` while it runs; `server.sockets` tells the bound ports.

    Raises:
        ValueError: with such limits nobody could be served.
    """

    # What this server lets others do, for a warning.
    _offers: ClassVar[str] = "use it"

    # Whether peers have to say what they want, for which a handler calls `_settled`.
    _asks: ClassVar[bool] = False

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.server: asyncio.Server | None = None
        self.__started_in: asyncio.AbstractEventLoop | None = None
        self.__limits = max_connections, handshake_timeout
        AsyncioServer._begin_anew(self)
        after_fork_in_child(self._after_fork)

    __reduce__ = not_copyable("it listens in this process; make one where it is needed")

    def _begin_anew(self) -> None:
        """Forget what belongs to an event loop: the next start is in another one.

        A class derived from this one makes what is its own in its `__init__` itself.
        """
        self._accepting = False
        self._admission = Admission(*self.__limits)
        self._log_limiter = LogLimiter()  # about what peers say, of all kinds
        self._handlers: dict[asyncio.Task[None], ConnectionSlot] = {}
        # The handlers that a `stop` has cancelled and waits for. What a task says of itself does
        # not tell: before Python 3.13, a failed TaskGroup may leave it as if it were cancelled.
        self._cancelled: set[asyncio.Task[None]] = set()

    def _after_fork(self) -> asyncio.AbstractEventLoop | None:
        for sock in () if self.server is None else self.server.sockets:
            leave_descriptor(sock)
        for visitor in self._handlers.values():
            leave_descriptor(visitor.transport)
        loop, self.__started_in, self.server = self.__started_in, None, None
        self._begin_anew()
        return loop

    def _prepare_start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Get ready to be started, perhaps once more."""
        before = self.__started_in
        if self.server is not None:
            if before is None or not before.is_closed():
                raise RuntimeError("the server has been started already")
            # Its loop has ended without `stop`.
            server, self.server = self.server, None
            try:
                server.close()
            except RuntimeError:
                pass  # uvloop has closed the sockets with the loop
        if before not in (None, loop):
            self._admission.flush()
            self._log_limiter.flush()
            self._begin_anew()
        self.__started_in = loop

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
        """Begin to listen. A server that was stopped may be started again, in any event loop.

        Args:
            host: address, or a list of them; None for all. An IPv6 address of a list is left
                out with a warning where the host has no IPv6.
            port: TCP port; 0 for any that is free.
            ssl_config: for TLS.
            local_cert: path of our certificate, a PEM file, for TLS. Not with `ssl_config`.
            local_key: path of its private key.
            peer_cert: path of the certificates to trust.

        Raises:
            OSError: an address cannot be listened on, or a certificate not be used.
            RuntimeError: it runs already.
            ValueError: a host or the port cannot be one, or there is no host.
        """
        loop = asyncio.get_running_loop()
        self._prepare_start(loop)
        host, port = checked_addresses(host, port)
        contexts = server_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)
        prepare_tracebacks()
        accept = partial(self._accept, contexts)
        self._accepting = True
        try:
            self.server = await loop.create_server(
                lambda: Accepting(accept), usable(host) if isinstance(host, list) else host, port
            )
        except socket.gaierror as exc:
            raise await unresolved(host, port, exc) from exc
        if contexts() is None:
            for address in open_to_others(self.server.sockets):
                logger.warning(
                    "listening on %s without TLS: whoever can reach this computer can %s",
                    address,
                    self._offers,
                )

    async def stop(self) -> None:
        """Stop listening and close all connections, in bounded time. May be repeated.

        What has been said to a peer is sent, if the peer takes it in one second.
        """
        server, self.server = self.server, None
        self._accepting = False
        if server is not None:
            stop_accepting(server)
            try:
                await _let_pass()
            finally:
                server.close()
        me = asyncio.current_task()
        handlers = {task for task in self._handlers if task is not me}
        for task in handlers - self._cancelled:
            task.cancel()
        self._cancelled |= handlers
        if handlers:
            _, resisting = await asyncio.wait(handlers, timeout=_STOP_TIMEOUT)
            resisting &= self._cancelled  # without those that another `stop` has told of
            self._cancelled -= resisting  # the next `stop` tries again
            for task in resisting:
                logger.warning("%r does not end; closing its connection", task.get_name())
                abort(self._handlers[task].transport)
        self._admission.flush()
        self._log_limiter.flush()
        if server is not None:
            await _let_pass()

    def _accept(
        self,
        contexts: Callable[[], ssl.SSLContext | None],
        transport: asyncio.Transport,
        accepting: Accepting,
    ) -> None:
        if not self._accepting:
            transport.abort()  # accepted while `stop` closed the door
            return
        address = transport.get_extra_info("peername")
        peer = f"{address[0]} port {address[1]}" if address else "a client"
        context = contexts()
        visitor = self._admission.admit(transport, peer)
        if visitor is None:
            return
        task = asyncio.get_running_loop().create_task(
            self._run_handler(visitor, accepting, context), name=f"connection from {peer}"
        )
        self._handlers[task] = visitor
        task.add_done_callback(self._handler_done)

    def _handler_done(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before it has begun closes nothing.
        visitor = self._handlers.pop(task, None)
        if visitor is not None:  # of this process
            visitor.left()
        self._cancelled.discard(task)

    async def _run_handler(
        self, visitor: ConnectionSlot, accepting: Accepting, context: ssl.SSLContext | None
    ) -> None:
        if accepting.lost or visitor.transport.is_closing():
            return  # an end that came now would be told to `accepting`, and not to TLS
        transport, peer = visitor.transport, visitor.peer
        protocol: Any = self._new_protocol(visitor)
        try:
            set_keepalive(transport.get_extra_info("socket"))
            transport.pause_reading()
            if context is None:
                transport.set_protocol(protocol)
                protocol.connection_made(transport)
                feed(protocol, accepting.early)
                transport.resume_reading()
            else:
                visitor.handshake = asyncio.current_task()
                try:
                    transport = await secured(transport, protocol, context, accepting.early)
                finally:
                    visitor.handshake = None
                protocol.connection_made(transport)
        except OSError as exc:  # ssl.SSLError, and a peer that has gone away, among them
            transport.abort()
            if context is None:
                logger.debug("lost the connection from %s: %s", peer, exc)
            elif not visitor.turned_out:
                self._log_limiter.log(
                    logger,
                    logging.WARNING,
                    "TLS handshake with %s failed: %s",
                    peer,
                    str(exc) or SILENT,
                )
            return
        except BaseException:
            transport.abort()
            raise
        if not self._asks:
            visitor.established()
        try:
            await self._serve(transport, protocol, peer)
        except (ConnectionError, EOFError) as exc:
            logger.debug("lost the connection from %s: %s", peer, exc)
        except Exception:
            if visitor in self._handlers.values():  # not one that a fork has left behind
                logger.exception("error while serving %s", peer)

    def _settled(self) -> None:
        """Take note, in a handler, that its peer has said what it wants."""
        self._visitor().established()

    def _carrier(self) -> asyncio.Transport:
        """Return, in a handler, its TCP connection, beneath TLS if there is any."""
        return self._visitor().transport

    def _visitor(self) -> ConnectionSlot:
        task = asyncio.current_task()
        assert task is not None
        return self._handlers[task]

    def _new_protocol(self, visitor: ConnectionSlot) -> asyncio.BaseProtocol:
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
            reader: what it sends.
            writer: what it is sent; it is closed afterwards.
        """
        raise NotImplementedError("override `_handle_connection_cr`")


async def _let_pass() -> None:
    """Let the loop make connections that it accepted, and close sockets that were aborted."""
    for _ in range(_PASSES):
        await asyncio.sleep(0)


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close a connection, in bounded time: what the peer does not take in one second is dropped.

    Args:
        writer: its stream.
    """
    me = asyncio.current_task()
    assert me is not None
    requests = 0
    close(writer.transport)
    try:
        await asyncio.sleep(0)  # a cancellation that is due comes here
        requests = me.cancelling()
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await writer.wait_closed()
    except (OSError, EOFError):
        pass  # it is closed all the same; TimeoutError is an OSError
    except asyncio.CancelledError:
        if me.cancelling() > requests:
            raise
        # Another task was cancelled while it closed the same stream, which has one future for all.
    finally:
        abort(writer.transport)
