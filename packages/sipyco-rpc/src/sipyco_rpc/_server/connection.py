"""The server's end of one connection: a transport, the handshake, and what has to wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from sipyco_rpc._server.dispatcher import CallDispatcher, size_of
from sipyco_rpc._server.listing import public_method_names
from sipyco_rpc.net.sender import Sender
from sipyco_rpc.net.workarounds import abort, close
from sipyco_rpc.support.memory import MIB
from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.session import BANNER, ProtocolError

if TYPE_CHECKING:
    from sipyco_rpc._server.server import Server
    from sipyco_rpc.net.admission import ConnectionSlot
    from sipyco_rpc.wire.messages import Message

logger = logging.getLogger("sipyco.pc_rpc")

_MAX_SELECTION: Final = 64 * 1024  # bytes of the line that selects a target
_MAX_BACKLOG: Final = MIB  # bytes of further requests to take from a client that waits
_TIME_SLICE: Final = 0.005  # seconds of requests of one client before others have their turn
# Seconds for a peer to take what is still to be sent, while generators in a thread clean up. It is
# one limit for both: `stop` of a server waits for two seconds.
_CLOSE_TIMEOUT: Final = 1.0


class ServerConnection(asyncio.BufferedProtocol):
    """Reads the requests of one client, and has them answered.

    Without frames a request waits until the one before is answered. While the client does not
    take the replies, nothing more is done for it. What has to wait is bounded: beyond that
    nothing more is read.

    Args:
        server: has the targets.
        slot: is told how far the client has come.
    """

    def __init__(self, server: Server, slot: ConnectionSlot) -> None:
        self._server = server
        self._slot = slot
        self._session = server._session()
        self._incoming = self._session.incoming
        self._loop = asyncio.get_running_loop()
        self._made = False  # `connection_made` was called
        self._transport: asyncio.Transport
        self._sender: Sender
        self._peer = slot.peer
        self._closed = self._loop.create_future()
        self._ending = False  # nothing is read or answered any more
        self._at_eof = False  # the client sends nothing more
        # The next step of the handshake; it tells whether the one after it may begin.
        self._handshake: Callable[[], bool] | None = self._receive_banner
        self._calls: CallDispatcher | None = None  # once the handshake is over
        # Requests that cannot be dealt with yet.
        self._backlog: deque[Message] = deque()
        self._backlog_size = 0
        self._reading = True
        self._working = False  # in the midst of dealing with requests
        self._scheduled = False  # going on with the backlog is

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sender = Sender(self._transport)
        self._sender.on_drained = self._go_on
        self._sender.broken = lambda reason: self._fail(ProtocolError(reason))
        self._made = True
        # One call less for each read.
        self.get_buffer = self._incoming.memory  # type: ignore[method-assign]
        self._sender.begin()
        if self._ending:
            close(self._transport)
        self.buffer_updated(0)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._incoming.memory()

    def buffer_updated(self, nbytes: int) -> None:
        if self._ending:
            return
        if self._calls is None:
            self._incoming.received(nbytes)
            if self._made:  # TLS may have bytes for us before it says so
                self._work(self._advance_handshake)
            return
        self._working = True
        try:
            messages = self._incoming.take(nbytes)
            if len(messages) == 1 and not (
                self._backlog or self._calls.jobs or self._sender.backpressured
            ):
                self._calls.handle(messages[0])
            elif messages:
                self._deal_with(messages)
        except Exception as exc:  # noqa: BLE001
            self._fail(exc)
        finally:
            self._working = False
        if not self._ending and not self._backlog:
            self._sender.flush()
        else:
            self._send_replies()

    def eof_received(self) -> bool:
        self._at_eof = True
        if self._calls is None:
            self._ending = True
            if self._made:  # TLS may see the end before it says that there is a beginning
                close(self._transport)
            return False
        self._calls.drop_waiting()
        self._close_if_done()
        # It stays open to send what is under way; not with TLS, which closes both ways at once.
        return self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            logger.debug("lost the connection from %s: %s", self._peer, exc)
        self._ending = True
        self._backlog.clear()
        if self._made:
            self._sender.drop()
        if self._calls is not None:
            self._calls.close()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        if self._made:
            self._sender.pause()

    def resume_writing(self) -> None:
        if self._made:
            self._sender.resume()

    # What the server calls.

    async def serve(self) -> None:
        """Wait for the end of the connection, and of what it has begun; cancelled, end them."""
        try:
            await asyncio.wait({self._closed})  # which is not cancelled with this
            if self._calls is not None:
                await self._calls.finish(self._loop.time() + _CLOSE_TIMEOUT)
        finally:
            self._ending = True
            deadline = self._loop.time() + _CLOSE_TIMEOUT
            try:
                self._sender.flush()  # the peer takes it while the rest ends
                if self._calls is not None:
                    self._calls.close(cancel=True)
                    await self._calls.finish(deadline)
                # What is late is sent first, as long as there is somebody to take it.
                self._sender.on_drained = partial(close, self._transport)
                if not self._sender.backpressured:
                    close(self._transport)
                left = max(0, deadline - self._loop.time())
                await asyncio.wait({self._closed}, timeout=left)
            finally:
                abort(self._transport)
                self._break_cycles()

    def _break_cycles(self) -> None:
        """Break the circles, so that buffers are freed now, and not when Python comes to it."""
        self._sender.on_drained = lambda: None
        self._sender.broken = lambda reason: None
        self._handshake = None
        self._calls = None

    # The handshake.

    def _receive_banner(self) -> bool:
        if not self._session.check_banner(self._incoming.unread):
            return False
        self._slot.banner_received()
        self._incoming.skip(len(BANNER))
        self._sender.put([self._session.identification()])
        self._handshake = self._receive_selection
        return True

    def _receive_selection(self) -> bool:
        message = self._incoming.next()
        if message is None:
            if self._incoming.pending_size > _MAX_SELECTION:
                raise ProtocolError(f"the target name has more than {_MAX_SELECTION} bytes")
            return False
        line = message[1]
        if isinstance(line, LineTooLong):
            raise ProtocolError(str(line))
        name = self._session.receive_selection(bytes(line))
        self._handshake = None
        try:
            target = self._server._target(name)
            names = public_method_names(target, self._server._allowed_methods.get(name))
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001  (whatever it is, the client is told)
            self._refuse_target(name, exc)
            return False
        if self._server.builtin_terminate:
            names.add("terminate")
        self._sender.put(self._session.pack(0, self._session.methods(names)))
        self._calls = CallDispatcher(
            self._server,
            self._session,
            self._sender,
            name,
            target,
            self._replied,
            self._terminate,
        )
        self._slot.established()
        return False

    def _refuse_target(self, name: str, exc: BaseException) -> None:
        """Tell the client, if it can be told, that there is no target for it."""
        if isinstance(exc, SystemExit) and self._server.builtin_terminate:
            logger.info("stopping: making the target `%s` raised SystemExit", name)
            self._server.exit_code = exc.code
            self._terminate()
            return
        logger.error(
            "error while serving %s: the target `%s` could not be made",
            self._peer,
            name,
            exc_info=exc,
        )
        if self._session.framed:  # others would take it for the names of methods
            self._sender.put(self._session.pack(0, self._session.failure(exc)))
        self._end()

    # Requests.

    def _work(self, work: Callable[[], None]) -> None:
        """Do something that may have replies put; then send them."""
        self._working = True
        try:
            work()
        except Exception as exc:  # noqa: BLE001
            self._fail(exc)
        finally:
            self._working = False
        self._send_replies()

    def _send_replies(self) -> None:
        if self._ending:
            return
        self._sender.flush()
        if self._backlog and not self._stalled():
            self._schedule()  # it was the turn of others, or what had to be sent is gone

    def _schedule(self) -> None:
        """Go on in the next pass of the loop."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._go_on_scheduled)

    def _advance_handshake(self) -> None:
        while self._handshake is not None and self._handshake():
            pass
        if self._calls is not None:
            self._deal_with(self._incoming.take(0))

    def _deal_with(self, messages: list[Message]) -> None:
        assert self._calls is not None
        deadline = time.monotonic() + _TIME_SLICE
        for message in messages:
            if not (self._backlog or self._stalled() or time.monotonic() > deadline) or (
                # Those that wait may wait for the end of this one.
                self._calls.under_way(message[0]) and not self._ending
            ):
                self._calls.handle(message)
            else:
                self._postpone(message)

    def _stalled(self) -> bool:
        """Tell whether the next request has to wait."""
        assert self._calls is not None
        return self._ending or self._calls.busy or self._sender.backpressured

    def _postpone(self, message: Message) -> None:
        self._backlog.append(message)
        self._backlog_size += size_of(message)
        if self._reading and self._backlog_size > _MAX_BACKLOG:
            self._reading = False
            self._transport.pause_reading()

    def _go_on_scheduled(self) -> None:
        self._scheduled = False
        self._go_on()

    def _go_on(self) -> None:
        """Deal with what had to wait, as far as that can be done now."""
        if self._working or self._ending or self._calls is None:
            return
        self._work(self._deal_with_backlog)
        if self._ending:
            return
        if not self._reading and self._backlog_size <= _MAX_BACKLOG:
            self._reading = True
            self._transport.resume_reading()
        self._calls.go_on()
        self._close_if_done()

    def _deal_with_backlog(self) -> None:
        assert self._calls is not None
        deadline = time.monotonic() + _TIME_SLICE
        while self._backlog and not self._stalled() and time.monotonic() < deadline:
            message = self._backlog.popleft()
            self._backlog_size -= size_of(message)
            self._calls.handle(message)

    def _replied(self) -> None:
        """Send a reply that was put, and go on with what had to wait for it."""
        if self._working or self._ending:
            return
        assert self._calls is not None
        if self._backlog or self._at_eof:
            self._schedule()  # not here: this may be the end of a method's task
        elif self._calls.idle:
            self._sender.flush()
        else:
            self._sender.flush_soon()  # together with those that are ready at the same time

    # The end.

    def _terminate(self) -> None:
        """Close the connection, and have the server stop."""
        self._end()
        self._server._terminated.set()

    def _fail(self, exc: Exception) -> None:
        """Close the connection for a reason."""
        if isinstance(exc, (FrameError, ProtocolError)):
            self._server._log_limiter.log(
                logger, logging.WARNING, "closing the connection from %s: %s", self._peer, exc
            )
        else:
            logger.error("error while serving %s", self._peer, exc_info=exc)
        self._end()

    def _end(self) -> None:
        """Close the connection, after what can be sent at once."""
        if not self._ending:
            self._sender.flush()
        self._ending = True
        close(self._transport)

    def _close_if_done(self) -> None:
        """Close the connection of a client that sends nothing more and has been answered."""
        assert self._calls is not None
        if not self._at_eof or self._backlog:
            return
        self._work(self._calls.allow_no_more)
        if self._calls.idle and not self._sender.backpressured:
            close(self._transport)
