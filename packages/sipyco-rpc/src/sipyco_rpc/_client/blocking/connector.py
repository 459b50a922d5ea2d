"""Makes the connection of a client that reconnects, one thread at a time. No calls here."""

from __future__ import annotations

import threading
import time

from sipyco_rpc._client.attempts import ATTEMPT, SHORTEST, Attempts, is_hopeless, notify
from sipyco_rpc._client.blocking.lock import CallLock
from sipyco_rpc.net.errors import closed_by_us, timeout_error
from sipyco_rpc.support.lost import not_sent
from sipyco_rpc.support.process_bound import after_fork_in_child

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeAlias

    from sipyco_rpc._client.attempts import StateCallback
    from sipyco_rpc._client.blocking.channel import RequestChannel
    from sipyco_rpc._client.blocking.connection import BlockingConnection
    from sipyco_rpc.wire.client_session import ClientSession
    from sipyco_rpc.wire.session import AutoTarget

    # Makes a connection within seconds; calls a function with it before the handshake, and asks
    # another one, now and then, whether it is not wanted any more.
    Opening: TypeAlias = Callable[
        [float, Callable[[BlockingConnection], None], Callable[[], bool]], BlockingConnection
    ]

_ADVICE: Final = " (the next call connects again)"
_LOOK: Final = 0.05  # seconds until who waits looks whether the client was closed


class Connector:
    """One connection at a time, which is made again by who needs it when it is no more.

    There is no thread: the one that calls connects, and others wait for it.

    Args:
        where: the host and port, for error messages.
        target_name: which target to select; None for none yet.
        open_connection: makes a connection.
        patience: seconds for which a call waits for a connection.
        timeout: of operations on the socket, in seconds, or None.
        state_cb: is called, in the thread that notices it, when there is a connection and when it
            is no more.
        session_cb: is called with this object and the session of each connection, once it has
            its target.
    """

    def __init__(
        self,
        where: str,
        target_name: str | type[AutoTarget] | None,
        open_connection: Opening,
        patience: float,
        timeout: float | None,
        state_cb: StateCallback | None,
        session_cb: Callable[[Any, ClientSession], None],
    ) -> None:
        self.where = where
        self._target_name = target_name
        self._open_connection = open_connection
        self._patience = patience
        self._timeout = timeout
        self._state_cb = state_cb
        self._session_cb = session_cb
        self._attempts = Attempts()
        self._lock = CallLock()  # of the thread that connects, or calls the callback
        self._closed = False
        self._current: BlockingConnection | None = None
        self._opening: BlockingConnection | None = None
        self._latest: BlockingConnection | None = None
        after_fork_in_child(self._after_fork)

    def close(self) -> None:
        """Close the connection, and end all waiting for one. May be repeated."""
        self._closed = True
        for connection in (self._current, self._opening):
            if connection is not None:
                connection.close()

    def _note_end(self, connection: RequestChannel) -> None:
        """Say that a connection has ended, unless somebody does who connects."""
        me, lock = threading.get_ident(), self._lock
        if me in lock.holder:
            return
        try:
            if lock.try_acquire(me):
                self._drop(connection)
        finally:
            lock.release(me)
            lock.wake()

    def _drop(self, connection: RequestChannel) -> None:
        if connection is self._current and not self._closed:
            self._current = None
            reason = str(connection.transport.closed)
            self._attempts.lost(reason)
            notify(self._state_cb, False, reason)

    def _connect(
        self, what: str, started: float, until: float, hard: float | None
    ) -> BlockingConnection:
        """Give the connection; make it if there is none, or wait for the thread that does."""
        connection = self._current
        if connection is not None and connection.transport.closed is None:
            return connection
        me, lock = threading.get_ident(), self._lock
        if me in lock.holder:
            raise RuntimeError(
                f"{what}: this thread is connecting to {self.where} "
                "(neither a signal handler nor the callback of state changes can wait for that)"
            )
        try:
            if self._wait_for_turn(me, until):
                found = self._make(what, until, hard)
                if found is not None:
                    return found
        finally:
            lock.release(me)
            lock.wake()
        if self._closed:
            raise not_sent(f"{what}: {closed_by_us(self.where)}")
        attempts = self._attempts
        if hard is not None and time.monotonic() >= hard:
            details = attempts.waited_for()
            raise timeout_error(what, self.where, started, details) from attempts.failure
        raise attempts.away(what, self.where, self._patience)

    # Loops in functions of their own: CPython 3.12 to 3.14 leave the jump back out of the `try`
    # around them, and Ctrl-C there would leave the lock taken.
    def _wait_for_turn(self, me: int, until: float) -> bool:
        while not self._closed:
            now = time.monotonic()
            if self._lock.acquire(me, min(until, now + _LOOK)):
                return True
            if now >= until:
                return False
        return False

    def _make(self, what: str, until: float, hard: float | None) -> BlockingConnection | None:
        """Give the connection, after as many attempts as there is time for; None without one."""
        attempts, first = self._attempts, True
        while not self._closed:
            connection = self._current
            if connection is not None:
                if connection.transport.closed is None:
                    return connection
                self._drop(connection)
            now = time.monotonic()
            if now >= until and not (first and attempts.pause == 0):
                return None
            if attempts.pause > 0:
                time.sleep(min(attempts.pause, _LOOK, max(0.0, until - now)))
                continue
            longest = ATTEMPT if hard is None else max(0.001, min(ATTEMPT, hard - now))
            shortest = min(SHORTEST, longest)
            try:
                return self._attempt(now + min(longest, max(shortest, until - now)))
            except Exception as exc:
                if self._closed:
                    return None
                attempts.failed(exc)
                if is_hopeless(exc):
                    raise
            first = False
        return None

    def _attempt(self, deadline: float) -> BlockingConnection:
        """Make a connection, select the target, and say so."""
        seconds = deadline - time.monotonic()
        connection = self._open_connection(seconds, self._begin, lambda: self._closed)
        try:
            if self._target_name is not None:
                connection.select(self._target_name, (True, deadline - time.monotonic()))
                self._target_name = connection.session.selected_target
            connection.timeout, connection.advice = self._timeout, _ADVICE
            self._current = self._latest = connection
            if self._closed:
                raise not_sent(closed_by_us(self.where))
        except BaseException:
            self._current = None
            connection.close()
            raise
        self._opening = None
        self._attempts.succeeded()
        self._session_cb(self, connection.session)
        notify(self._state_cb, True, f"connected to {self.where}")
        return connection

    def _begin(self, connection: BlockingConnection) -> None:
        """Let `close` end the handshake of a connection."""
        self._opening = connection
        if self._closed:
            raise not_sent(closed_by_us(self.where))

    def _after_fork(self) -> None:
        self._lock.after_fork()
        self._attempts = Attempts()
        self._current = self._opening = None
