"""A blocking connection that is made again whenever it breaks: a thread, with back-off."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from sipyco_rpc.support.backoff import backoff
from sipyco_rpc.support.process_bound import after_fork_in_child

if TYPE_CHECKING:
    from sipyco_rpc._client.blocking.connection import BlockingConnection

logger = logging.getLogger("sipyco.pc_rpc")

NETWORK_ERRORS: Final = (OSError, EOFError)
_ATTEMPT_TIMEOUT: Final = 5.0  # seconds, at least, for one attempt in the background
_JOIN_TIMEOUT: Final = 1.0  # seconds for an attempt in the background to notice `close`


class ReconnectingConnection:
    """Keeps one connection to a server, from `connect` until `close`.

    A derived class says how to make it, in `open`.

    Args:
        where: the host and port, for log records.
        first_timeout: for an attempt that a caller waits for, in seconds; None for none.
        retry: pause before the first attempt in the background, in seconds.

    Attributes:
        current: the connection; None while there is none.
        closing: set once there is to be none any more.
        lock: guards the connection and the thread that renews it.
    """

    def __init__(self, where: str, first_timeout: float | None, retry: float) -> None:
        self.where = where
        self.current: BlockingConnection | None = None
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._first_timeout = first_timeout
        self._retry = retry
        self._thread: threading.Thread | None = None
        self._threadless = False  # no thread could be started to reconnect; that was said
        self._forked = False  # the next caller connects: this process has not done so
        after_fork_in_child(self._after_fork)

    def open(self, timeout: float | None) -> BlockingConnection:
        """Make a connection.

        Args:
            timeout: for all of it, in seconds; None for none.

        Raises:
            OSError, EOFError: there is none for now.
        """
        raise NotImplementedError

    def connect(self) -> None:
        """Connect; if the network does not let us, go on trying in the background."""
        try:
            self._connect(self._first_timeout)
        except NETWORK_ERRORS as exc:
            logger.warning(
                "could not connect to %s, trying again in the background: %s", self.where, exc
            )
            self._replace(None)

    def get(self) -> BlockingConnection | None:
        """Return the connection, if there is one; else see that somebody tries to make one."""
        connection = self.current
        if connection is not None:
            return connection
        with self.lock:
            thread, forked = self._thread, self._forked
            trying = thread is not None and thread.is_alive()
            if self.current is not None or self.closing.is_set() or trying:
                return self.current
            if forked:
                self._thread = threading.current_thread()  # others need not try
                self._forked = False
        if not forked:
            self._replace(None)
            return self.current
        try:
            self.connect()
        finally:
            with self.lock:
                if self._thread is threading.current_thread():
                    self._thread = None
        return self.current

    def note_loss(self, connection: BlockingConnection, what: str, exc: BaseException) -> None:
        """Warn of a connection that broke, and have another one made.

        Args:
            connection: on which something failed.
            what: failed, such as "listing the methods".
            exc: is raised again if it is none of the network: what a method raises has a
                traceback, what the arguments raise breaks no connection, and a `TimeoutError` is
                that of `call_timeout`.
        """
        if (
            isinstance(exc, TimeoutError)
            or hasattr(exc, "parent_traceback")
            or connection.wire.closed is None
        ):
            raise exc
        if not self.closing.is_set():
            logger.warning("%s failed, reconnecting in the background: %s", what, exc)
            self._replace(connection)

    def _replace(self, broken: BlockingConnection | None) -> None:
        """Drop a broken connection and have a new one made, unless that is under way."""
        with self.lock:
            if broken is not self.current or self.closing.is_set():
                return
            self.current = None
            failure: RuntimeError | None = None
            try:
                thread = threading.Thread(
                    target=self._keep_trying, name=f"reconnect to {self.where}", daemon=True
                )
                thread.start()
                self._thread = thread
            except RuntimeError as exc:
                failure = exc
            said, self._threadless = self._threadless, failure is not None
        if failure is not None and not said:
            logger.warning(
                "no thread can be started to reconnect to %s, trying again at the next call: %s",
                self.where,
                failure,
            )
        if broken is not None:
            broken.close()

    def close(self) -> None:
        """Close the connection, or stop trying to make one. May be repeated."""
        self.closing.set()
        with self.lock:
            connection, self.current = self.current, None
            thread, self._thread = self._thread, None
        if connection is not None:
            connection.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_TIMEOUT)

    def _connect(self, timeout: float | None) -> None:
        connection = self.open(timeout)
        try:
            with self.lock:
                if self.closing.is_set():
                    raise ConnectionAbortedError("the client was closed")
                self.current = connection
        except BaseException:
            connection.close()
            raise

    def _keep_trying(self) -> None:
        for pause in backoff(self._retry):
            if self.closing.wait(pause):
                return
            try:
                self._connect(max(_ATTEMPT_TIMEOUT, self._retry))
            except Exception as exc:  # noqa: BLE001  (what the server raises may be anything)
                if self.closing.is_set():
                    return
                # The first failure was a warning; its repetitions would fill the log.
                logger.debug("could not connect to %s: %s", self.where, exc)
            else:
                logger.warning("connected to %s", self.where)
                return

    def _after_fork(self) -> None:
        closed = self.closing.is_set()
        self.lock = threading.Lock()
        self.closing = threading.Event()
        if closed:
            self.closing.set()
        self.current = self._thread = None
        self._forked = True
