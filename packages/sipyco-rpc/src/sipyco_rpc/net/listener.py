"""Accepts TCP connections, with TLS or without, and has each served by a handler.

`sipyco_rpc.net.server` has the base class for programs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from sipyco_rpc._compat import prepare_tracebacks
from sipyco_rpc.limits import HANDSHAKE_TIMEOUT, STOP_TIMEOUT
from sipyco_rpc.net.admission import Admission
from sipyco_rpc.net.keepalive import set_keepalive
from sipyco_rpc.net.listening import (
    Accepted,
    bound,
    checked_addresses,
    describe_listening,
    listen,
    not_listening,
    usable,
    warn_if_exposed,
)
from sipyco_rpc.net.tls import server_ssl_contexts
from sipyco_rpc.net.tls_errors import refusal
from sipyco_rpc.net.workarounds import abort, feed, let_pass, start_tls, stop_accepting
from sipyco_rpc.support.log_limiter import LogLimiter
from sipyco_rpc.support.notices import log_anyway
from sipyco_rpc.support.process_bound import after_fork_in_child, leave_descriptor, not_copyable
from sipyco_rpc.support.validation import format_address

if TYPE_CHECKING:
    import ssl

    from sipyco_rpc.net.admission import ConnectionSlot
    from sipyco_rpc.net.tls import SimpleSSLConfig

__all__ = ["ConnectionHandler", "Listener"]

logger = logging.getLogger("sipyco.tools")


class ConnectionHandler(Protocol):
    """A protocol of asyncio (`Protocol` or `BufferedProtocol`) that serves its connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, with TLS if there is any. Bytes may have come before."""

    async def serve(self) -> None:
        """Serve the connection, and close it, also when this is cancelled."""


class Listener:
    """Accepts connections; a class derived from it makes their handlers with `_new_handler`.

    A handler is served in a task of its own. When that has ended, its connection is closed; what
    it raises is logged. With `async with`, the listener is stopped at the end.

    Args:
        max_connections: see `AsyncioServer`.
        handshake_timeout: see `AsyncioServer`.

    Attributes:
        server: the `asyncio.Server` while it runs; `server.sockets` tells the bound ports.

    Raises:
        ValueError: with such limits nobody could be served.
    """

    # What whoever can connect is let do, for a warning.
    _offers: ClassVar[str] = "use it"
    _logger: ClassVar[logging.Logger] = logger  # of what it says about itself

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.server: asyncio.Server | None = None
        self.__started_in: asyncio.AbstractEventLoop | None = None
        self.__limits = max_connections, handshake_timeout
        Listener._begin_anew(self)
        after_fork_in_child(self._after_fork)

    __reduce__ = not_copyable("it listens in this process; make one where it is needed")

    def _new_handler(self, slot: ConnectionSlot) -> ConnectionHandler:
        """Make the handler of a connection.

        Args:
            slot: its place; to be told when the banner has come, and when it is established.
        """
        raise NotImplementedError

    def _activity(self) -> str:
        """Say what it does, for the record that it does so."""
        return "listening"

    def _listening(self, text: str) -> None:
        """Say that it is ready."""
        log_anyway(self._logger, logging.INFO, "%s", text)

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
        for slot in self._handlers.values():
            leave_descriptor(slot.transport)
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
            self._flush_logs()
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
            host = usable(host) if isinstance(host, list) else host
            self.server = bound(await listen(lambda: Accepted(accept), host, port), host)
        except OSError as exc:
            raise await not_listening(host, port, exc) from exc
        tls = contexts() is not None
        if not tls:
            warn_if_exposed(self.server.sockets, self._offers)
        self._listening(f"{self._activity()} on {describe_listening(self.server.sockets, tls)}")

    async def stop(self) -> None:
        """Stop listening and close all connections, in bounded time. May be repeated.

        What has been said to a peer is sent, if the peer takes it in one second.
        """
        server, self.server = self.server, None
        self._accepting = False
        if server is not None:
            stop_accepting(server)
            try:
                await let_pass()
            finally:
                server.close()
        me = asyncio.current_task()
        handlers = {task for task in self._handlers if task is not me}
        for task in handlers - self._cancelled:
            task.cancel()
        self._cancelled |= handlers
        if handlers:
            _, resisting = await asyncio.wait(handlers, timeout=STOP_TIMEOUT)
            resisting &= self._cancelled  # without those that another `stop` has told of
            self._cancelled -= resisting  # the next `stop` tries again
            for task in resisting:
                text = "%r does not end; closing its connection"
                self._log_limiter.log(logger, logging.WARNING, text, task.get_name())
                abort(self._handlers[task].transport)
        self._flush_logs()
        if server is not None:
            await let_pass()

    def _flush_logs(self) -> None:
        self._admission.flush()
        self._log_limiter.flush()

    def _accept(
        self,
        contexts: Callable[[], ssl.SSLContext | None],
        transport: asyncio.Transport,
        accepted: Accepted,
    ) -> None:
        if not self._accepting:
            transport.abort()  # accepted while `stop` closed the door
            return
        address = transport.get_extra_info("peername")
        peer = format_address(*address[:2]) if address else "a client"
        context = contexts()
        slot = self._admission.admit(transport, peer)
        if slot is None:
            return
        task = asyncio.get_running_loop().create_task(
            self._run_handler(slot, accepted, context), name=f"connection from {peer}"
        )
        self._handlers[task] = slot
        task.add_done_callback(self._handler_done)
        self._logger.debug("connection from %s", peer)

    def _handler_done(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before it has begun closes nothing.
        slot = self._handlers.pop(task, None)
        if slot is not None:  # of this process
            slot.release()
            self._logger.debug("the connection from %s has ended", slot.peer)
        self._cancelled.discard(task)

    async def _run_handler(
        self, slot: ConnectionSlot, accepted: Accepted, context: ssl.SSLContext | None
    ) -> None:
        transport, peer = slot.transport, slot.peer
        if accepted.lost or transport.is_closing():
            return  # an end that came now would be told to `accepted`, and not to TLS
        handler: Any = self._new_handler(slot)
        try:
            set_keepalive(transport.get_extra_info("socket"))
            transport.pause_reading()
            if context is None:
                transport.set_protocol(handler)
                handler.connection_made(transport)
                feed(handler, accepted.early)
                transport.resume_reading()
            else:
                slot.handshake = asyncio.current_task()  # the clock of the slot ends it
                secured = await start_tls(transport, handler, context, early=accepted.early)
                handler.connection_made(secured)
        except OSError as exc:  # ssl.SSLError, and a peer that has gone away, among them
            transport.abort()
            if context is None:
                logger.debug("lost the connection from %s: %s", peer, exc)
            elif not slot.evicted:
                text = "TLS handshake with %s failed: %s"
                self._log_limiter.log(logger, logging.WARNING, text, peer, refusal(exc))
            return
        except BaseException:
            transport.abort()
            raise
        finally:
            slot.handshake = None
        try:
            await handler.serve()
        except (ConnectionError, EOFError) as exc:
            logger.debug("lost the connection from %s: %s", peer, exc)
        except Exception:
            if slot in self._handlers.values():  # not one that a fork has left behind
                logger.exception("error while serving %s", peer)
