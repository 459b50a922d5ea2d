"""The connection of a `BestEffortClient`: a thread makes it again whenever it breaks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sipyco_rpc._client.best_effort_iterator import (
    BestEffortIterator,
    NoItems,
    generators_in,
)
from sipyco_rpc._client.blocking.iterator import RemoteIterator
from sipyco_rpc.support.backoff import backoff
from sipyco_rpc.support.process_bound import after_fork_in_child

if TYPE_CHECKING:
    from sipyco_rpc._client.blocking.channel import RequestChannel
    from sipyco_rpc._client.blocking.connection import BlockingConnection
    from sipyco_rpc.wire.session import AutoTarget

logger = logging.getLogger("sipyco.pc_rpc")

T = TypeVar("T")

_NETWORK_ERRORS: Final = (OSError, EOFError)
_ATTEMPT_TIMEOUT: Final = 5.0  # seconds, at least, for one attempt in the background
_JOIN_TIMEOUT: Final = 1.0  # seconds for an attempt in the background to notice `close`


class ReconnectingConnection:
    """One connection at a time, from the first `get` until `close`; without one, calls give None.

    Args:
        where: the host and port, for log records.
        target_name: which target to select.
        open_connection: makes a connection, within the seconds that it is given, if any.
        first_timeout: for the first attempt of a process, in seconds; None for none.
        retry: pause before the first attempt in the background, in seconds.

    Attributes:
        current: the connection; None while there is none.
        methods: the names that may be called; None before the first connection.
        properties: the names of properties; none before it.
    """

    def __init__(
        self,
        where: str,
        target_name: str | type[AutoTarget],
        open_connection: Callable[[float | None], BlockingConnection],
        first_timeout: float | None,
        retry: float,
    ) -> None:
        self.where = where
        self.current: BlockingConnection | None = None
        self.methods: frozenset[str] | None = None
        self.properties: frozenset[str] = frozenset()
        self._target_name = target_name
        self._open_connection = open_connection
        self._first_timeout = first_timeout
        self._retry = retry
        self._listing: dict[str, Any] | None = None
        # Of methods known to be generators: what such a call gives is looped over.
        self._generators: set[str] = set()
        self._lock = threading.Lock()  # guards the connection and the thread that renews it
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._threadless = False  # no thread could be started to reconnect; that was said
        self._untried = True  # this process has not tried to connect yet
        after_fork_in_child(self._after_fork)

    def get(self) -> BlockingConnection | None:
        """Return the connection, if there is one; else see that somebody tries to make one.

        The first who asks in a process connects. Later attempts are made in the background.
        """
        connection = self.current
        if connection is not None:
            return connection
        with self._lock:
            trying = self._thread is not None and self._thread.is_alive()
            if self.current is not None or self._closing.is_set() or trying:
                return self.current
            first, self._untried = self._untried, False
            if first:
                self._thread = threading.current_thread()  # others need not try
        if not first:
            self._replace(None)
            return self.current
        try:
            self._connect(self._first_timeout)
        except _NETWORK_ERRORS as exc:
            logger.warning(
                "could not connect to %s, trying again in the background: %s", self.where, exc
            )
            self._replace(None)
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None
        return self.current

    @property
    def selected_target(self) -> str | None:
        """The name of the target, or None if that is not known yet."""
        connection = self.current
        if connection is not None:
            return connection.session.selected_target
        return self._target_name if isinstance(self._target_name, str) else None

    @property
    def label(self) -> str:
        """The target, and where it is."""
        return f"`{self.selected_target}` on {self.where}"

    @property
    def listing(self) -> dict[str, Any] | None:
        """The server's listing, which is asked for once for each connection."""
        return self.list_methods() if self._listing is None else self._listing

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; errors are those of `BlockingConnection.call`, but for the network's."""
        connection = self.get()
        what = f"call of `{self.selected_target}.{name}`"
        if connection is None:
            if name not in self._generators:
                return None
            logger.warning("`%s` gives no items: there is no connection to %s", name, self.where)
            return NoItems(what)
        iterator = partial(BestEffortIterator, self._note_loss)
        try:
            result = connection.call(name, args, kwargs, iterator)
        except _NETWORK_ERRORS as exc:
            self._note_loss(connection, what, exc)
            return NoItems(what) if name in self._generators else None
        if isinstance(result, RemoteIterator):
            self._generators.add(name)
        return result

    def get_property(self, name: str) -> Any:
        """Ask for a property; give None without a connection."""
        what = f"reading `{self.selected_target}.{name}`"
        return self.ask(what, lambda connection: connection.get_property(name))

    def set_property(self, name: str, value: Any) -> None:
        """Give a property a value; do nothing without a connection."""
        what = f"setting `{self.selected_target}.{name}`"
        self.ask(what, lambda connection: connection.set_property(name, value))

    def list_methods(self) -> dict[str, Any] | None:
        """Ask for signatures and docstrings; give None without a connection."""
        listing = self.ask("listing the methods", lambda connection: connection.list_methods())
        if listing is not None:
            self._listing = listing
            self._generators.update(generators_in(listing))
        return listing

    def ask(self, what: str, question: Callable[[BlockingConnection], T]) -> T | None:
        """Ask the server something; give None without a connection.

        Args:
            what: the question, for log records.
            question: asks it.
        """
        connection = self.get()
        if connection is None:
            return None
        try:
            return question(connection)
        except _NETWORK_ERRORS as exc:
            self._note_loss(connection, what, exc)
            return None

    def close(self) -> None:
        """Close the connection, or stop trying to make one. May be repeated."""
        self._closing.set()
        with self._lock:
            connection, self.current = self.current, None
            thread, self._thread = self._thread, None
        if connection is not None:
            connection.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_TIMEOUT)

    def _connect(self, timeout: float | None) -> None:
        connection = self._open_connection(timeout)
        try:
            connection.select(self._target_name)
            connection.timeout = None
            with self._lock:
                if self._closing.is_set():
                    raise ConnectionAbortedError("the client was closed")
                self.methods = connection.session.methods
                self.properties = connection.session.properties
                self._listing = None
                self.current = connection
        except BaseException:
            connection.close()
            raise

    def _note_loss(self, connection: RequestChannel, what: str, exc: BaseException) -> None:
        """Warn of a connection that broke in a call, and have another one made.

        Raises:
            BaseException: the error, if it is none of the network: what a method raises has a
                traceback, what arguments raise breaks no connection, and a `TimeoutError` is that
                of `call_timeout`.
        """
        if (
            isinstance(exc, TimeoutError)
            or hasattr(exc, "parent_traceback")
            or connection.transport.closed is None
        ):
            raise exc
        if not self._closing.is_set():
            logger.warning("%s failed, reconnecting in the background: %s", what, exc)
            self._replace(connection)

    def _replace(self, broken: RequestChannel | None) -> None:
        """Drop a broken connection and have a new one made, unless that is under way."""
        with self._lock:
            if broken is not self.current or self._closing.is_set():
                return
            self.current = None
            failure = None
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

    def _keep_trying(self) -> None:
        for pause in backoff(self._retry):
            if self._closing.wait(pause):
                return
            try:
                self._connect(max(_ATTEMPT_TIMEOUT, self._retry))
            except Exception as exc:  # noqa: BLE001  (what the server raises may be anything)
                if self._closing.is_set():
                    return
                # The first failure was a warning; its repetitions would fill the log.
                logger.debug("could not connect to %s: %s", self.where, exc)
            else:
                logger.warning("connected to %s", self.where)
                return

    def _after_fork(self) -> None:
        closed = self._closing.is_set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        if closed:
            self._closing.set()
        self.current = self._thread = None
        self._untried = True
