"""The server's end of one connection: a transport, and what moves between it and the session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from sipyco_rpc._server.dispatcher import CallDispatcher
from sipyco_rpc._server.replies import Replies
from sipyco_rpc._server.request_queue import RequestQueue
from sipyco_rpc._server.status import ConnectionReport
from sipyco_rpc.net.sender import Sender
from sipyco_rpc.net.workarounds import abort, close
from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.server_handshake import BannerReceived
from sipyco_rpc.wire.session import ProtocolError

if TYPE_CHECKING:
    from sipyco_rpc._server.service import Service
    from sipyco_rpc.net.admission import ConnectionSlot
    from sipyco_rpc.wire.server_session import ServerSession

logger = logging.getLogger("sipyco.pc_rpc")

# Seconds for a peer to take what is still to be sent, while generators in a thread clean up. It is
# one limit for both: `stop` of a server waits for two seconds.
_CLOSE_TIMEOUT: Final = 1.0


class ServerConnection(asyncio.BufferedProtocol):
    """Reads the requests of one client, and has them answered.

    Args:
        session: the conversation.
        slot: is told how far the client has come.
        service: what the server does for connections.

    Attributes:
        report: what there is to tell of it.
    """

    def __init__(self, session: ServerSession, slot: ConnectionSlot, service: Service) -> None:
        self.report = ConnectionReport(slot.peer, session)
        self._session = session
        self._incoming = session.incoming
        self._slot = slot
        self._service = service
        self._made = False  # `connection_made` was called
        self._transport: asyncio.Transport
        self._sender: Sender
        self._closed = asyncio.get_running_loop().create_future()
        self._ending = False  # nothing is read or answered any more
        self._working = False  # in the midst of handling requests
        self._calls: CallDispatcher | None = None  # once the handshake is over
        self._queue: RequestQueue | None = None  # likewise

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sender = Sender(self._transport)
        self.report.made(self._transport, self._sender)
        self._sender.on_drained = self._resume
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
        self.report.received += nbytes
        calls, queue = self._calls, self._queue
        if calls is None or queue is None:
            self._incoming.received(nbytes)
            if self._made:  # TLS may have bytes for us before it says so
                self._work(self._advance_handshake)
            return
        self._working = True
        try:
            messages = self._incoming.take(nbytes)
            if len(messages) == 1 and not (
                queue.waiting or calls.jobs or self._sender.backpressured
            ):
                calls.handle(messages[0])  # as nearly always
            elif messages:
                queue.process(messages)
        except Exception as exc:  # noqa: BLE001
            self._fail(exc)
        finally:
            self._working = False
        if queue.waiting:
            self._send_replies()
        elif not self._ending:
            self._sender.flush()

    def eof_received(self) -> bool:
        if self._calls is None or self._queue is None:
            self._ending = True
            if self._made:  # TLS may see the end before it says that there is a beginning
                close(self._transport)
            return False
        self._calls.drop_waiting()
        self._close_if_done(self._calls, self._queue)
        # It stays open to send what is under way; not with TLS, which closes both ways at once.
        return self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            logger.debug("lost the connection from %s: %s", self._slot.peer, exc)
        self._stop_answering()
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
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait({self._closed})  # which is not cancelled with this
            if self._calls is not None:
                await self._calls.finish(loop.time() + _CLOSE_TIMEOUT)
        finally:
            self._stop_answering()
            deadline = loop.time() + _CLOSE_TIMEOUT
            try:
                self._sender.flush()  # the peer takes it while the rest ends
                if self._calls is not None:
                    self._calls.close(cancel=True)
                    await self._calls.finish(deadline)
                # What is late is sent first, as long as there is somebody to take it.
                self._sender.on_drained = partial(close, self._transport)
                if not self._sender.backpressured:
                    close(self._transport)
                await asyncio.wait({self._closed}, timeout=max(0, deadline - loop.time()))
            finally:
                abort(self._transport)
                # No cycles are left: buffers are freed now, and not when Python comes to it.
                self._sender.on_drained = lambda: None
                self._sender.broken = lambda reason: None
                self._calls = self._queue = None
                self.report.ended()

    # The handshake.

    def _advance_handshake(self) -> None:
        while (event := self._session.next_event()) is not None:
            if isinstance(event, BannerReceived):
                self._slot.banner_received()
                self._sender.put([event.reply])
            else:
                self._select(event.name)

    def _select(self, name: str) -> None:
        try:
            target = self._service.make_target(name)
            names = target.method_names()
            properties = target.property_names() if self._session.has_properties else ()
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001  (whatever it is, the client is told)
            self._refuse_target(name, exc)
            return
        self._sender.put(self._session.accept(names, properties))
        replies = Replies(
            self._service,
            self._slot.peer,
            name,
            self._session,
            self._sender,
            on_put=self._reply_put,
            end=self._end,
        )
        self._calls = CallDispatcher(target, replies, self._service.status)
        self._queue = RequestQueue(
            self._session, self._sender, self._transport, self._calls.handle, self._resume
        )
        self.report.established(self._calls, self._queue)
        self._slot.established()
        self._queue.process(self._incoming.take(0))

    def _refuse_target(self, name: str, exc: BaseException) -> None:
        """Tell the client, if it can be told, that there is no target for it."""
        if not self._service.exits(exc, f"making the target `{name}`"):
            if reply := self._session.refuse(exc):
                self._sender.put(reply)
            self._service.error_log.not_made(name, self._slot.peer, exc)
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
        if not self._ending:
            self._sender.flush()
            if self._queue is not None and self._queue.ready:
                self._queue.schedule()  # it was the turn of others, or what had to be sent is gone

    def _resume(self) -> None:
        """Handle what had to wait, as far as that can be done now."""
        calls, queue = self._calls, self._queue
        if self._ending or calls is None or queue is None:
            return
        self._work(queue.process_waiting)
        if not self._ending:
            queue.resume_reading()
            for generator in list(calls.generators.giving.values()):
                generator.resume()
            self._close_if_done(calls, queue)

    def _reply_put(self) -> None:
        """Send a reply that was put, and go on with what had to wait for it."""
        calls, queue = self._calls, self._queue
        if self._working or self._ending or calls is None or queue is None:
            return
        if queue.waiting or calls.replies.client_left:
            queue.schedule()  # not here: this may be the end of a method's task
        elif calls.idle:
            self._sender.flush()
        else:
            self._sender.flush_soon()  # together with those that are ready at the same time

    # The end.

    def _fail(self, exc: Exception) -> None:
        """Close the connection for a reason."""
        if isinstance(exc, (FrameError, ProtocolError)):
            self._service.log_limiter.log(
                logger, logging.WARNING, "closing the connection from %s: %s", self._slot.peer, exc
            )
        else:
            logger.error("error while serving %s", self._slot.peer, exc_info=exc)
        self._end()

    def _end(self) -> None:
        """Close the connection, after what can be sent at once."""
        if not self._ending:
            self._sender.flush()
        self._stop_answering()
        close(self._transport)

    def _stop_answering(self) -> None:
        self._ending = True
        if self._calls is not None:
            self._calls.replies.open = False
        if self._queue is not None:
            self._queue.close()

    def _close_if_done(self, calls: CallDispatcher, queue: RequestQueue) -> None:
        """Close the connection of a client that sends nothing more and has been answered."""
        if calls.replies.client_left and not queue.waiting:
            self._work(calls.end_after_last)
            if calls.idle and not self._sender.backpressured:
                close(self._transport)
