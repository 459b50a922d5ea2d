"""The blocking shell around a `ClientSession`: a socket, and threads that wait. No values here."""

from __future__ import annotations

import threading
import time

from sipyco_rpc._client.blocking.lock import CallLock
from sipyco_rpc._client.blocking.transport import SocketTransport
from sipyco_rpc.net.errors import closed_by_us, protocol_violation, timeout_error
from sipyco_rpc.support.lost import ConnectionLost, not_sent
from sipyco_rpc.support.process_bound import after_fork_in_child, belongs_to_parent
from sipyco_rpc.wire.client_session import ClientSession
from sipyco_rpc.wire.frames import FrameError

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any, Final, NoReturn

    from sipyco_rpc._client.timeouts import Limit
    from sipyco_rpc.support.memory import Piece
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import OutgoingMessage

_CLOSE_TIMEOUT: Final = 1.0  # seconds for a call in another thread to notice that it is over
_ITEM_TIMEOUT: Final = 0.1  # seconds until who waits for an item looks whether it was closed


class RequestChannel:
    """A connection on which threads take turns to send a request and wait for its reply.

    Contract: a reply belongs to its call. Where a request was sent in part, or received bytes may
    have been lost, the connection is closed.

    Args:
        sock: connected, with TLS or without.
        where: the other end, for error messages.
        timeout: for every socket operation, in seconds; None for none.
        max_line: longest reply to accept, in bytes.

    Attributes:
        timeout: of socket operations, from the next request on.
        advice: what to do when there is no connection any more, at the end of errors.
    """

    def __init__(
        self, sock: socket.socket, where: str, timeout: float | None, max_line: int
    ) -> None:
        self.session = ClientSession(max_line)
        self.where = where
        self.timeout = timeout
        self.advice = ""
        self.lock = CallLock()
        self.transport = SocketTransport(sock, where, self.session)
        after_fork_in_child(self._after_fork)

    def exchange(
        self, what: str, limit: Limit, make: Callable[..., OutgoingMessage], *arguments: Any
    ) -> Message:
        """Send a request and wait for its reply.

        Args:
            what: the request, for error messages.
            limit: whether a limit for this request as a whole holds, and its seconds.
            make: gives the request when it is its turn; see `kept` of the session.
            *arguments: what it is called with.

        Raises:
            TimeoutError: an operation took longer than `timeout`, or all of it than the limit.
            ConnectionLost: the connection is no more, and why.
        """
        started = time.monotonic()
        timeout, deadline = self.timeout, None
        if limit[0]:
            timeout = None
            deadline = None if limit[1] is None else started + limit[1]
        me, lock, session = threading.get_ident(), self.lock, self.session
        holder, release = lock.holder, lock.release
        if me in holder:
            self._refuse_reentry(what)
        message = None
        try:
            with lock.guard:
                if not holder and not lock.waiting:
                    holder.add(me)
            if me not in holder or self.transport.closed is not None:
                if me not in holder:
                    # Others may go on: what was given now is what is sent.
                    make, arguments = session.kept(make, arguments)
                self._acquire(what, me, started, deadline)
            number, pieces = make(*arguments)
            try:
                try:
                    if session.framed and not (
                        session.replies
                        or session.streams
                        or session.ignored_ids
                        or session.pending_cancels
                        or session.control_frames
                    ):
                        self.transport.send(pieces, timeout, deadline, False)
                    else:
                        self._send(pieces, timeout, deadline)
                finally:
                    if not pieces:
                        session.requests_sent += 1
                replies = session.replies
                if not replies:
                    self.transport.receive_some(timeout, deadline)
                if not replies or replies[0][0] != number:
                    self._await_reply(number, timeout, deadline)
                message = replies[0]
                replies.popleft()
                return message
            except (TimeoutError, KeyboardInterrupt) as exc:
                if not pieces:
                    # What has come may be the beginning of a generator.
                    session.cancel_call(number, reply_pending=message is None)
                    self._try_to_send_control_frames()
                if isinstance(exc, KeyboardInterrupt):
                    raise
                raise timeout_error(what, self.where, started) from exc
            except (ConnectionLost, FrameError) as exc:
                self._raise_end(what, exc)
        finally:
            release(me)
            if lock.waiting or session.pending_cancels:
                try:
                    self._flush_cancels()
                except KeyboardInterrupt:
                    if message is not None:
                        self.cancel_call(number)
                    raise

    # In a function of its own, as are all loops of whoever has the lock: CPython 3.12 to 3.14
    # leave the jump back out of the `try` around it, and Ctrl-C there would leave the lock taken.
    def _await_reply(self, number: int, timeout: float | None, deadline: float | None) -> None:
        """Receive until a reply is the next to be taken."""
        while not self.session.has_reply((number,)):
            self.transport.receive_some(timeout, deadline)

    def next_item(self, number: int, what: str, limit: Limit) -> Message | None:
        """Wait for what a generator gives next; errors are those of `exchange`.

        Args:
            number: of the call that returned the generator.
            what: as for `exchange`.
            limit: as for `exchange`.

        Returns:
            The message; None if the generator was closed meanwhile.
        """
        started = time.monotonic()
        timeout = None if limit[0] else self.timeout
        deadline = None if limit[1] is None else started + limit[1]
        me, lock = threading.get_ident(), self.lock
        if me in lock.holder:
            self._refuse_reentry(what)
        try:
            self._acquire(what, me, started, deadline)
            try:
                return self._receive_item(number, timeout, deadline)
            except TimeoutError as exc:
                raise timeout_error(what, self.where, started) from exc
            except (ConnectionLost, FrameError) as exc:
                self._raise_end(what, exc)
        finally:
            lock.release(me)
            if lock.waiting or self.session.pending_cancels:
                self._flush_cancels()

    def _receive_item(
        self, number: int, timeout: float | None, deadline: float | None
    ) -> Message | None:
        session = self.session
        if session.allow_items(number):
            self._send([], timeout, deadline)
        received = True
        while (queue := session.streams.get(number)) is not None:
            if queue:
                return queue.take()
            session.check_unasked()
            if session.pending_cancels or session.control_frames:
                self._try_to_send_control_frames()
            if self.transport.closed is not None:
                raise ConnectionLost(self.transport.closed)
            if received and timeout is not None:  # which is for each part of a large item
                deadline = time.monotonic() + timeout  # there is one of the two at most
            limit = _ITEM_TIMEOUT
            if deadline is not None:
                limit = min(limit, deadline - time.monotonic())
                if limit <= 0:
                    raise TimeoutError
            try:
                self.transport.receive_some(limit, None)
                received = True
            except TimeoutError:
                received = False  # time to look whether it was closed
        return None

    def cancel_stream(self, number: int) -> None:
        """Have the server end a generator; never waits, as the garbage collector may call it."""
        self.session.cancel_stream(number)
        self._flush_cancels()

    def cancel_call(self, number: int) -> None:
        """Have the server end a call whose reply was lost by Ctrl-C: it may be a generator."""
        self.session.cancel_call(number, reply_pending=False)
        self._flush_cancels()

    def _flush_cancels(self) -> None:
        """Have cancellations sent, by whoever has the lock, and wake who waits for the lock."""
        me, lock = threading.get_ident(), self.lock
        lock.wake()
        if me in lock.holder:
            return
        # Another thread may have more just before the release.
        while self.session.pending_cancels and self.transport.closed is None:
            try:
                if not lock.try_acquire(me):
                    return
                self._try_to_send_control_frames()
            finally:
                lock.release(me)
                lock.wake()

    def close(self) -> None:
        """Close the connection; a call in another thread ends with an error. May be repeated."""
        transport = self.transport
        if transport.closed is None:
            self.advice = ""
            transport.closed = closed_by_us(self.where)
        transport.wake()
        me, lock = threading.get_ident(), self.lock
        if me in lock.holder:
            transport.close()
            return
        # The thread in a call must have let go of the descriptor, or it might use its successor.
        try:
            lock.acquire(me, time.monotonic() + _CLOSE_TIMEOUT)
            transport.close()
        finally:
            lock.release(me)
            lock.wake()

    def _after_fork(self) -> None:
        self.lock.after_fork()
        self.advice = ""
        advice = "make another client in this process"
        self.transport.leave(belongs_to_parent(f"the connection to {self.where}", advice))

    def _refuse_reentry(self, what: str) -> NoReturn:
        """Raise what a call raises in the middle of another one of the same thread."""
        self._check_open(what)
        raise RuntimeError(
            f"{what}: this thread is in another call on {self.where} "
            "(a signal handler cannot call in the middle of a call)"
        )

    def _acquire(self, what: str, me: int, started: float, deadline: float | None) -> None:
        """Wait until this thread has the lock; errors are those of `exchange`."""
        if me not in self.lock.holder and not self.lock.acquire(me, deadline):
            raise timeout_error(f"{what}, waiting for another thread's call", self.where, started)
        self._check_open(what)

    def _check_open(self, what: str) -> None:
        if self.transport.closed is not None:
            raise not_sent(f"{what}: {self.transport.closed}{self.advice}")

    def _send(self, pieces: list[Piece], timeout: float | None, deadline: float | None) -> None:
        """Send a message, and before it what the server has yet to be told."""
        session, send = self.session, self.transport.send
        session.check_unasked()
        session.collect_cancels()
        # What the server sends meanwhile may keep it from receiving.
        listening = session.replies_pending > 0
        if session.control_frames:
            frames: list[Piece] = [bytes(session.control_frames)]
            try:
                send(frames, timeout, deadline, listening)
            finally:
                if not frames:
                    session.control_frames.clear()
        if pieces:
            send(pieces, timeout, deadline, listening)

    def _try_to_send_control_frames(self) -> None:
        """Send what the server has yet to be told, as far as that can be sent at once."""
        if self.transport.closed is None:
            self.session.collect_cancels()
            self.transport.try_to_send(self.session.control_frames)

    def _raise_end(self, what: str, exc: ConnectionLost | FrameError) -> NoReturn:
        if isinstance(exc, FrameError):
            self.transport.fail(protocol_violation(self.where, exc))
            raise ConnectionLost(f"{what}: {self.transport.closed}{self.advice}") from exc
        raise ConnectionLost(f"{what}: {exc}{self.advice}") from exc.__cause__
