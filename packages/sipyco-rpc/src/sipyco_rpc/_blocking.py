"""A connection of the blocking clients: a socket and a `ClientSession`. No proxies here."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sipyco_rpc import keepalive
from sipyco_rpc._calls import connect_error, place, timeout_error
from sipyco_rpc.framing import MAX_LINE, LineReader, LineTooLong
from sipyco_rpc.protocol import AutoTarget, ClientSession

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

_RECEIVE_SIZE: Final = 256 * 1024  # what one system call may bring; more gains nothing
_TURN_PATIENCE: Final = 0.05  # seconds until a thread looks again whether it is its turn
_CLOSE_PATIENCE: Final = 1.0  # seconds for a call in another thread to notice that it is over
# A byte that no line in UTF-8 begins with: where it is still there, nothing was received.
_UNTOUCHED: Final = 0xFF


class BlockingConnection:
    """One connection of a blocking client, safe to use from several threads.

    Contract: a reply belongs to its call. Requests and replies are counted; the replies that
    abandoned calls are still owed are dropped as they come. Where a request was sent in part,
    or received bytes may have been lost, the connection is closed instead.

    Args:
        host, port: where to connect to.
        timeout: for connecting and for every socket operation, in seconds; None for none.
        ssl_context: for TLS, or None.
        max_line: longest reply to accept, in bytes.

    Raises:
        OSError: no connection could be made.
        IncompatibleServer: the other side is not an RPC server.
        EOFError: it closed the connection before it had greeted.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timeout: float | None,
        ssl_context: ssl.SSLContext | None,
        max_line: int = MAX_LINE,
    ) -> None:
        self.session = ClientSession()
        self.where = place(host, port)
        self._timeout = timeout
        self._lines = LineReader(max_line)
        self._buffer = bytearray(_RECEIVE_SIZE)
        # Complete replies that nobody has taken yet.
        self._ready: deque[bytes | LineTooLong] = deque()
        # How many lines were asked for and taken: the handshake's lines count as well.
        self._asked = 0
        self._answered = 0
        # The thread whose turn it is. Ctrl-C may strike at any call of a function, so the turn is
        # given back by an assignment, which nothing can interrupt; `_freed` only spares waiting.
        self._owner: int | None = None
        self._guard = threading.Lock()
        self._freed = threading.Event()
        # Why there is no connection any more.
        self._closed: str | None = None
        self._tls = ssl_context is not None
        self._socket: socket.socket
        started = time.monotonic()
        what = "connecting"
        try:
            self._socket = keepalive.create_connection(host, port, timeout)
            try:
                if ssl_context is not None:
                    what = "the TLS handshake"
                    self._socket = ssl_context.wrap_socket(
                        self._socket, server_hostname=host, do_handshake_on_connect=False
                    )
                    self._socket.do_handshake()
            except BaseException:
                self._socket.close()
                raise
        except TimeoutError as exc:
            raise timeout_error(what, self.where, started) from exc
        except OSError as exc:
            raise connect_error(exc, self.where) from exc
        try:
            self.exchange(
                "the handshake",
                lambda _: self.session.hello(),
                self.session.receive_identification,
            )
        except BaseException:
            self.close()
            raise

    @property
    def local_host(self) -> str:
        """The address of this end of the connection."""
        address: str = self._socket.getsockname()[0]
        return address

    def set_timeout(self, timeout: float | None) -> None:
        """Set the timeout of socket operations from the next request on."""
        self._timeout = timeout

    def select(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target and learn its methods."""
        self.exchange(
            "selecting the target",
            lambda session: session.select(target_name),
            self.session.receive_methods,
        )

    def call(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        limited: tuple[bool, float | None] = (False, None),
    ) -> Any:
        """Call a method; see `exchange` for the rest."""
        request = self.session.call(name, args, kwargs)
        what = f"call of `{self.session.selected_target}.{name}`"
        return self.exchange(what, lambda _: request, self.session.receive_reply, limited)

    def exchange(
        self,
        what: str,
        outgoing: Callable[[ClientSession], bytes],
        receive: Callable[[bytes], T],
        limited: tuple[bool, float | None] = (False, None),
    ) -> T:
        """Send a request and wait for its reply.

        Args:
            what: the request, for error messages.
            outgoing: gives the bytes to send.
            receive: makes the result from the reply.
            limited: whether a limit for this request as a whole holds, and its seconds.

        Raises:
            TimeoutError: an operation took longer than `timeout`, or all of it than the limit.
            EOFError: the other side closed the connection.
            ConnectionError: the connection is no more, and why.
            LineTooLong: the reply was; it was dropped, and the connection goes on.
        """
        started = time.monotonic()
        has_limit, seconds = limited
        deadline = started + seconds if has_limit and seconds is not None else None
        me = threading.get_ident()
        if self._owner == me:
            raise RuntimeError(
                f"{what}: this thread is in another call on {self.where} "
                "(a signal handler cannot call in the middle of a call)"
            )
        try:
            if not self._take_turn(me, deadline):
                raise timeout_error(
                    f"{what}, waiting for another thread's call", self.where, started
                )
            if self._closed is not None:
                raise ConnectionResetError(f"{what}: {self._closed}")
            request = outgoing(self.session)
            try:
                self._send(request, deadline, has_limit)
                line = self._receive(deadline, has_limit)
            except TimeoutError as exc:
                raise timeout_error(what, self.where, started) from exc
            except EOFError as exc:
                raise EOFError(f"{what}: {exc}") from exc
            if isinstance(line, LineTooLong):
                raise line
            return receive(line)
        finally:
            if self._owner == me:
                self._owner = None
            self._freed.set()

    def _take_turn(self, me: int, deadline: float | None) -> bool:
        """Wait until no thread is in a call; tell whether the turn is ours in time."""
        while True:
            with self._guard:
                if self._owner is None:
                    self._owner = me
                    return True
                self._freed.clear()
            patience = _TURN_PATIENCE
            if deadline is not None:
                patience = min(patience, deadline - time.monotonic())
                if patience <= 0:
                    return False
            self._freed.wait(patience)

    def close(self) -> None:
        """Close the connection; a call in another thread ends with an error. May be repeated."""
        if self._closed is None:
            self._closed = f"the connection to {self.where} was closed by this program"
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that is receiving
        except OSError:
            pass  # it was not connected any more
        me = threading.get_ident()
        if self._owner == me:
            self._socket.close()
            return
        # The thread in a call must have let go of the descriptor, or it might use its successor.
        try:
            self._take_turn(me, time.monotonic() + _CLOSE_PATIENCE)
            self._socket.close()
        finally:
            if self._owner == me:
                self._owner = None
            self._freed.set()

    def _fail(self, reason: str) -> None:
        """Give the connection up, from inside a call."""
        if self._closed is None:
            self._closed = reason
        self._socket.close()

    def _patience(self, deadline: float | None, has_limit: bool) -> None:
        """Set the timeout of the next socket operation."""
        if deadline is not None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._socket.settimeout(remaining)
        else:
            timeout = None if has_limit else self._timeout
            if self._socket.gettimeout() != timeout:
                self._socket.settimeout(timeout)

    def _send(self, request: bytes, deadline: float | None, has_limit: bool) -> None:
        if self._asked == self._answered and (self._ready or self._lines.pending_size):
            # It would pass for the reply to this request.
            self._fail(f"{self.where} sent a line that nobody had asked for")
            raise ConnectionAbortedError(self._closed)
        self._patience(deadline, has_limit)
        view = memoryview(request)
        self._asked += 1
        try:
            while view:
                view = view[self._socket.send(view) :]
                if view:
                    self._patience(deadline, has_limit)
        except OSError as exc:
            if not isinstance(exc, TimeoutError) or exc.errno is not None:
                self._lost(exc)
            self._fail(f"the connection to {self.where} was closed: a request was sent in part")
            raise
        except BaseException:  # Ctrl-C
            if not view:
                raise  # all of it was sent
            self._fail(f"the connection to {self.where} was closed: a request was sent in part")
            raise

    def _lost(self, exc: OSError) -> None:
        """Raise what fits a connection that broke while sending or receiving."""
        reason: BaseException = exc
        if self._tls and isinstance(exc, ConnectionError):
            # The refusal of a certificate may wait to be read behind the failure to send.
            try:
                self._socket.settimeout(_CLOSE_PATIENCE)
                self._socket.recv(1)
            except OSError as alert:
                reason = alert
        self._fail(f"the connection to {self.where} was lost earlier: {reason}")
        if type(reason).__module__ == "ssl":
            raise ConnectionResetError(
                f"the other side ended the TLS connection to {self.where}: {reason}"
            ) from reason
        if isinstance(exc, (ConnectionError, TimeoutError)):
            raise EOFError(f"the connection to {self.where} was lost: {exc}") from exc

    def _receive(self, deadline: float | None, has_limit: bool) -> bytes | LineTooLong:
        """Wait for the line that answers the latest request, dropping those before it."""
        while True:
            while self._ready:
                # Without a call in between: Ctrl-C must find the line both taken and counted.
                line = self._ready[0]
                self._answered += 1
                del self._ready[0]
                if self._answered == self._asked:
                    return line
            self._patience(deadline, has_limit)
            self._receive_some()

    def _receive_some(self) -> None:
        buffer = self._buffer
        buffer[0] = _UNTOUCHED
        try:
            size = self._socket.recv_into(buffer)
            self._ready += self._lines.feed(memoryview(buffer)[:size])
        except OSError as exc:
            if isinstance(exc, TimeoutError) and exc.errno is None:
                raise  # ours; one with a number is the network's (keepalive)
            self._lost(exc)
            self._fail(f"the connection to {self.where} was lost earlier: {exc}")
            raise
        except BaseException:  # Ctrl-C: keep the connection if nothing can have been lost
            if buffer[0] != _UNTOUCHED:
                self._fail(f"the connection to {self.where} was closed: a reply was interrupted")
            raise
        if size == 0:
            if self._closed is not None:
                raise EOFError(self._closed)
            hint = " (it seems to expect TLS)" if self._lines.pending[:1] == b"\x15" else ""
            self._fail(f"the connection to {self.where} was closed by the other side earlier")
            raise EOFError(
                f"the other side closed the connection to {self.where} before a full line{hint}"
            )
