"""A socket of the blocking clients: pieces out, messages in. Nothing of threads here."""

from __future__ import annotations

import selectors
import socket
import time

from sipyco_rpc.net.connect import Selector
from sipyco_rpc.net.errors import (
    closed_by_us,
    is_tls_error,
    lost_earlier,
    lost_error,
    protocol_violation,
    would_block,
)
from sipyco_rpc.net.workarounds import clear_tls_errors
from sipyco_rpc.support.lost import ConnectionLost
from sipyco_rpc.wire.frames import FrameError

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final, NoReturn

    from sipyco_rpc.support.memory import Piece
    from sipyco_rpc.wire.client_session import ClientSession

_MOST_PIECES: Final = 64  # in one system call; the systems' limits are above
_ALERT_TIMEOUT: Final = 1.0  # seconds to wait for the reason of a connection that is lost
# A byte that no text in UTF-8 has: where it is still there, nothing was received.
_UNTOUCHED: Final = 0xFF

_HAS_SENDMSG: Final = hasattr(socket.socket, "sendmsg")  # Windows has none


class SocketTransport:
    """The socket of one connection. Only the thread that has the lock may use it.

    Where a message was sent in part, or received bytes may have been lost (by Ctrl-C), the socket
    is closed: nobody could tell any more where the next message begins.

    Args:
        sock: connected, with TLS or without.
        where: the other end, for error messages.
        session: takes what is received.

    Attributes:
        closed: why there is no connection any more, or None.
    """

    def __init__(self, sock: socket.socket, where: str, session: ClientSession) -> None:
        self.closed: str | None = None
        self._socket_name = sock.getsockname()  # once it is closed nobody knows
        self._socket = sock
        self._where = where
        self._incoming = session.incoming
        self._session = session
        self._tls = type(sock) is not socket.socket
        self._timeout = sock.gettimeout()  # that of the socket now
        self._selector: selectors.BaseSelector | None = None  # of who looks for an end

    @property
    def local_host(self) -> str:
        """The address of this end of the connection, also when that is closed."""
        address: str = self._socket_name[0]
        return address

    def send(
        self, pieces: list[Piece], timeout: float | None, deadline: float | None, listening: bool
    ) -> None:
        """Send a message.

        Args:
            pieces: the message; it is empty afterwards.
            timeout: for each operation on the socket, in seconds, or None.
            deadline: for all of them, by `time.monotonic`, or None.
            listening: also receive what comes meanwhile. The other side may have so much to send
                that it takes nothing before that is received.

        Raises:
            TimeoutError: it took too long. If some of it has been sent, the connection is closed;
                otherwise the pieces are as they were.
            ConnectionLost: there is no connection any more.
        """
        if deadline is not None or timeout != self._timeout:
            self._limit_operation(timeout, deadline)
        count, first = len(pieces), pieces[0]
        try:
            if count == 1 and not listening:
                sent = self._socket.send(pieces[0])
                if sent == len(pieces[0]):
                    pieces.clear()
                    return
                pieces[0] = memoryview(pieces[0])[sent:]
                self._limit_operation(timeout, deadline)
            while True:
                if not listening:
                    self._send_some(pieces)
                else:
                    self._send_or_receive(pieces, timeout, deadline)
                if not pieces:
                    return
                self._limit_operation(timeout, deadline)
        except ConnectionLost:
            raise  # as something was received, or it is closed
        except OSError as exc:
            if not isinstance(exc, TimeoutError) or exc.errno is not None:
                self._lost(exc)
            # With TLS, what could not be sent at once has begun all the same.
            if self._tls or len(pieces) < count or pieces[0] is not first:
                self._fail_in_part()
            raise
        except BaseException as exc:  # Ctrl-C
            if not pieces:
                raise  # all of it was sent
            if isinstance(exc, ValueError):
                self._check_closed(exc)
            self._fail_in_part()
            raise

    def try_to_send(self, data: bytearray) -> None:
        """Send what can be sent without waiting, and remove it from the data."""
        try:
            self._set_timeout(0)
            del data[: self._socket.send(data)]
        except ConnectionLost:
            pass  # closed by another thread
        except OSError as exc:
            if not would_block(exc):
                self.fail(lost_earlier(self._where, exc))
        except BaseException:  # Ctrl-C
            self._fail_in_part()
            raise

    def receive_some(self, timeout: float | None, deadline: float | None) -> None:
        """Wait for bytes, and have the session sort the messages that are complete by then.

        Raises:
            TimeoutError: nothing came in time.
            ConnectionLost: there is no connection any more, or none that keeps to the rules.
        """
        if deadline is not None or timeout != self._timeout:
            self._limit_operation(timeout, deadline)
        incoming = self._incoming
        raw = incoming.body is not None and incoming.memory_is_raw
        memory = incoming.memory()
        memory[0] = _UNTOUCHED
        try:
            size = self._socket.recv_into(memory)
            self._session.receive(size)
        except FrameError as exc:
            self.refuse(exc)
        except OSError as exc:
            if isinstance(exc, TimeoutError) and exc.errno is None:
                raise  # ours; one with a number is the network's (keepalive)
            if would_block(exc):
                return  # it was not to be waited for
            self._lost(exc)
        except MemoryError as exc:
            self.fail(closed_by_us(self._where, "there was not enough memory"))
            raise MemoryError(
                f"not enough memory to receive from {self._where}; the connection was closed"
            ) from exc
        except BaseException as exc:  # Ctrl-C: keep the connection if nothing can have been lost
            if isinstance(exc, ValueError):
                self._check_closed(exc)
            if raw or memory[0] != _UNTOUCHED:
                self.fail(closed_by_us(self._where, "a reply was interrupted"))
            raise
        if size == 0:
            if self.closed is not None:
                raise ConnectionLost(self.closed)
            self.fail(lost_earlier(self._where, None))
            raise lost_error(self._where, None, incoming.pending)

    def readable(self) -> bool:
        """Tell whether something has come that was not received: perhaps the end."""
        try:
            if self._selector is None:
                (selector := Selector()).register(self._socket, selectors.EVENT_READ)
                self._selector = selector  # to be kept: it has no descriptor of its own
            return bool(self._selector.select(0)) and self.closed is None
        except (OSError, ValueError):
            return False  # closed by another thread

    def wake(self) -> None:
        """Make a thread that is waiting for the socket notice that it is over."""
        try:
            # Not that of a socket with TLS: a thread in `send` would go on without it.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            pass  # it was not connected any more

    def fail(self, reason: str) -> None:
        """Give the connection up, in the thread that used it last."""
        self.leave(reason)
        if self._tls:
            clear_tls_errors()

    def leave(self, reason: str) -> None:
        """Close the connection for a reason, without asking OpenSSL for anything.

        In a process that was forked, a lock of OpenSSL may be held by a thread of the parent.
        """
        if self.closed is None:
            self.closed = reason
        self.close()

    def close(self) -> None:
        """Close the socket. May be repeated.

        That alone says nothing to the other side, with TLS either.
        """
        self._socket.close()

    def _send_some(self, pieces: list[Piece]) -> None:
        """Send as much as goes at once, and remove it."""
        if len(pieces) > 1 and _HAS_SENDMSG and not self._tls:
            sent = self._socket.sendmsg(pieces[:_MOST_PIECES])
        else:
            sent = self._socket.send(pieces[0])
        while pieces and sent >= len(pieces[0]):
            sent -= len(pieces[0])
            del pieces[0]
        if sent:
            pieces[0] = memoryview(pieces[0])[sent:]

    def _send_or_receive(
        self, pieces: list[Piece], timeout: float | None, deadline: float | None
    ) -> None:
        """Send as much as goes at once; if nothing does, wait, and perhaps receive."""
        self._set_timeout(0)
        try:
            self._send_some(pieces)
            return
        except OSError as exc:
            if not would_block(exc):
                raise
        self._limit_operation(timeout, deadline)
        with Selector() as selector:
            selector.register(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
            ready = selector.select(self._timeout)
        if not ready:
            raise TimeoutError
        if ready[0][1] & selectors.EVENT_READ:
            self.receive_some(0, None)
            try:
                self._session.drop_late()
            except FrameError as exc:
                self.refuse(exc)

    def _limit_operation(self, timeout: float | None, deadline: float | None) -> None:
        if deadline is not None:
            timeout = deadline - time.monotonic()
            if timeout <= 0:
                raise TimeoutError
        if self._timeout != timeout:
            self._set_timeout(timeout)

    def _set_timeout(self, timeout: float | None) -> None:
        self._timeout = timeout
        try:
            self._socket.settimeout(timeout)
        except OSError as exc:
            self._check_closed(exc)
            raise

    def refuse(self, exc: FrameError) -> NoReturn:
        """Give the connection up, as the other side does not keep to the rules."""
        self.fail(protocol_violation(self._where, exc))
        raise ConnectionLost(self.closed) from exc

    def _fail_in_part(self) -> None:
        self.fail(closed_by_us(self._where, "a request was sent in part"))

    def _check_closed(self, exc: Exception) -> None:
        """Raise why the connection is closed, if another thread has done that.

        What the system says then differs: with TLS, with its version, with the moment. With a
        descriptor of -1 even a `ValueError` may come.
        """
        if self.closed is not None:
            if self._tls:
                clear_tls_errors()
            raise ConnectionLost(self.closed) from exc

    def _lost(self, exc: OSError) -> NoReturn:
        """Raise what fits a connection that broke while sending or receiving."""
        self._check_closed(exc)
        reason: BaseException = exc
        if self._tls and isinstance(exc, ConnectionError):
            # The refusal of a certificate may wait to be read behind the failure to send.
            try:
                self._set_timeout(_ALERT_TIMEOUT)
                self._socket.recv(1)
            except OSError as alert:
                reason = alert if is_tls_error(alert) else exc
        self.fail(lost_earlier(self._where, reason))
        raise lost_error(self._where, reason) from reason
