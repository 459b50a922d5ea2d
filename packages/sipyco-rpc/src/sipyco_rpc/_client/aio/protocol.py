"""The life of a connection of the asyncio client, from TCP to its end. No calls here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from sipyco_rpc._compat import release
from sipyco_rpc.limits import CLOSE_TIMEOUT
from sipyco_rpc.net.errors import closed_by_us, lost_earlier, lost_error
from sipyco_rpc.net.sender import Sender
from sipyco_rpc.net.workarounds import abort_tls
from sipyco_rpc.support.lost import ConnectionLost
from sipyco_rpc.support.process_bound import (
    after_fork_in_child,
    belongs_to_parent,
    leave_descriptor,
)

if TYPE_CHECKING:
    from sipyco_rpc.wire.messages import MessageReader


class ConnectionProtocol(asyncio.BufferedProtocol):
    """A transport of the event loop, why it has ended, and how it is closed.

    Args:
        where: the other end, for error messages.
        incoming: has the memory for what comes.

    Attributes:
        sock: the socket, or None for what has none; it is the transport's.
        lost: done when the connection has ended.
        advice: what to do when it has, at the end of errors.
        reason: why it has.
    """

    def __init__(self, where: str, incoming: MessageReader) -> None:
        self.where = where
        self.advice = self.reason = ""
        self.sock: socket.socket | None = None
        self.loop = asyncio.get_running_loop()
        self.lost = self.loop.create_future()
        self.transport: asyncio.Transport | None = None
        self._socket_name: Any = None
        self._sender: Sender
        self._incoming = incoming
        self._writable = asyncio.Event()
        self._writable.set()
        # Why there is no connection any more: as the error of those who wait as it ends, and of
        # calls from now on.
        self._ended: Callable[[], ConnectionLost] | None = None
        self._closed: Callable[[], ConnectionLost] | None = None
        after_fork_in_child(self._after_fork)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        self._sender = Sender(self.transport)
        self._sender.on_drained = self._writable.set
        self._sender.broken = self._abort
        self._sender.begin()
        # TLS does not know it any more when it is closed.
        self._socket_name = transport.get_extra_info("sockname")
        # One call less for each read.
        self.get_buffer = self._incoming.memory  # type: ignore[method-assign]

    @property
    def local_host(self) -> str:
        """The address of this end of the connection, also when that is closed."""
        address: str = self._socket_name[0]
        return address

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as the loop knows."""
        return self._closed is None

    @property
    def is_ready(self) -> bool:
        """Whether a request would be sent at once, and nothing has come that was not read yet."""
        if self._closed is not None or self._sender.backpressured or self.sock is None:
            return False
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            pass  # the loop is about to notice that it is lost
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._incoming.memory()

    def _abort(self, reason: str) -> None:
        self.reason = reason
        self._end(lambda: ConnectionLost(f"{reason}{self.advice}"))
        if self.transport is not None:
            self.transport.abort()

    def eof_received(self) -> None:
        assert self.transport is not None
        abort_tls(self.transport)  # what is still to be sent is of no use

    def connection_lost(self, exc: Exception | None) -> None:
        known, unread, later = self._closed, self._incoming.pending, lost_earlier(self.where, exc)
        self.reason = self.reason or later
        self._end(lambda: ConnectionLost(f"{lost_error(self.where, exc, unread)}{self.advice}"))
        self._closed = known or (lambda: ConnectionLost(f"{later}{self.advice}"))
        self._writable.set()
        self._sender.drop()
        if not self.lost.done():
            self.lost.set_result(None)

    def _end(self, error: Callable[[], ConnectionLost]) -> None:
        self._ended = self._ended or error
        self._closed = self._closed or error
        self._fail_waiting(error)

    def _fail_waiting(self, error: Callable[[], ConnectionLost]) -> None:
        raise NotImplementedError

    def _after_fork(self) -> asyncio.AbstractEventLoop:
        reason = belongs_to_parent(
            f"the connection to {self.where}", "make another client in this process"
        )
        self._closed = self._closed or (lambda: ConnectionLost(reason))
        self._ended = self._ended or self._closed
        # Nothing is to be done in the loop any more, nor waited for.
        self.lost = self.loop.create_future()
        self.lost.set_result(None)
        leave_descriptor(self.transport)
        return self.loop

    def check_loop(self) -> None:
        """Refuse to be used in another event loop than the one that has connected.

        Raises:
            RuntimeError: this is another one. Nothing has been sent.
        """
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(
                f"the client of {self.where} was connected in another event loop: "
                "use it there, or make another client in this one"
            )

    def pause_writing(self) -> None:
        self._sender.pause()

    def resume_writing(self) -> None:
        self._sender.resume()

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection, whatever the state of its loop.

        Args:
            at_once: leave out the farewells of TLS.
        """
        self._end(lambda: ConnectionLost(closed_by_us(self.where)))
        self._writable.set()
        if self.transport is None or self.lost.done():
            return
        if self.loop.is_closed():
            release(self.transport, self.sock)
        elif at_once or self.transport.get_extra_info("sslcontext") is not None:
            # TLS would wait for the farewell of the other side, perhaps for longer than the loop.
            self.transport.abort()
        else:
            self.transport.close()
        if not self.loop.is_running() and not self.loop.is_closed():
            self._close_in_stopped_loop()

    def _close_in_stopped_loop(self) -> None:
        """Let the loop close the socket now: it may never run again."""
        assert self.transport is not None
        self.transport.abort()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.loop.run_until_complete(asyncio.wait([self.lost], timeout=CLOSE_TIMEOUT))
        # Where another loop runs in this thread this one cannot, until that has ended.

    async def wait_closed(self) -> None:
        """Wait until the connection is closed; what does not close in time is aborted."""
        if self.loop is not asyncio.get_running_loop() or self.transport is None:
            return
        await asyncio.wait([self.lost], timeout=CLOSE_TIMEOUT)
        if not self.lost.done():
            self.transport.abort()
            await asyncio.wait([self.lost])
