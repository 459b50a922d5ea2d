"""The client that outlives its server: network errors become warnings. No bytes here."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from sipyco_rpc._client.best_effort_iterator import Items, generators_in
from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc._client.remote_method import RemoteMethod, documented
from sipyco_rpc._client.timeouts import limit_of
from sipyco_rpc._client.unawaited_calls import finish_fired, under_way
from sipyco_rpc.net.tls import client_ssl_contexts
from sipyco_rpc.support.process_bound import after_fork_in_child, not_copyable
from sipyco_rpc.support.relay import RemoteTarget
from sipyco_rpc.support.validation import (
    check_host,
    checked_pause,
    checked_port,
    checked_timeout,
    format_address,
)
from sipyco_rpc.wire.client_session import GENERATOR
from sipyco_rpc.wire.lines import MAX_LINE
from sipyco_rpc.wire.session import AutoTarget

if TYPE_CHECKING:
    from sipyco_rpc._client.remote_method import Documentation
    from sipyco_rpc.net.tls import SimpleSSLConfig
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import Body

logger = logging.getLogger("sipyco.pc_rpc")

_NETWORK_ERRORS: Final = (OSError, EOFError)
_GROWTH: Final = 1.5  # each pause between two attempts to the next
_LONGEST: Final = 12.0  # times `retry`: a server that was away for a weekend is found in a minute
_JITTER: Final = 0.2  # of a pause: the clients of one dead server must not all knock at once
_RECONNECT_TIMEOUT: Final = 5.0  # seconds, at least, for one attempt in the background
_JOIN_TIMEOUT: Final = 1.0  # seconds for an attempt in the background to notice `close_rpc`


class _Methods(NamedTuple):
    """What a remote method needs of its client."""

    label: str
    call: Callable[[str, tuple[Any, ...], dict[str, Any]], Any]
    document: Callable[[str], Documentation]


class BestEffortClient(RemoteTarget):
    """A client that never raises a network error: for what is nice to have, not needed.

    The constructor tries once to connect; if that fails, it warns and goes on trying in the
    background. A call while there is no connection returns None at once. A call whose
    connection breaks warns, returns None, and reconnecting begins. Exceptions of the remote
    method, and of arguments that cannot be sent, are raised.

    The items of a generator end when the connection breaks, with a warning. Where there is none, a
    method that is known to be a generator gives no items, with a warning: once it has been called,
    or has been seen in a listing with an annotation that says so (`-> Iterator[…]`). Before that
    nobody can tell, and it returns None as others do: `for item in client.method() or ():`.

    Until the first connection the names of the methods are not known, and any public name is
    taken for one.

    Args:
        host: name or address of the server.
        port: TCP port of the server.
        target_name: which of the server's targets to call, or `AutoTarget`.
        firstcon_timeout: for the constructor's attempt, in seconds.
        retry: pause before the first new attempt, in seconds; later pauses grow, with jitter,
            up to 12 times as long.
        ssl_config: for TLS, as for `Client`.
        local_cert: for TLS, as for `Client`.
        local_key: for TLS, as for `Client`.
        peer_cert: for TLS, as for `Client`.
        max_line: longest reply to accept, in bytes.

    Raises:
        IncompatibleServer, ValueError: the server is there, but the target is not, or TLS is
            not set up, or an argument makes no sense: trying again would not help.
    """

    def __init__(
        self,
        host: str,
        port: int,
        target_name: str | type[AutoTarget],
        firstcon_timeout: float | None = 1.0,
        retry: float = 5.0,
        ssl_config: SimpleSSLConfig | None = None,
        *,
        local_cert: str | None = None,
        local_key: str | None = None,
        peer_cert: str | None = None,
        max_line: int = MAX_LINE,
    ) -> None:
        # Every attribute is name-mangled, so that none hides a remote method.
        check_host(host)
        self.__host = host
        self.__port = checked_port(port)
        self.__where = format_address(host, port)
        self.__target_name = target_name
        self.__retry = checked_pause(retry, "retry")
        firstcon_timeout = checked_timeout(firstcon_timeout, "firstcon_timeout")
        self.__key = object()
        self.__max_line = max_line
        self.__contexts = client_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)
        # None before the first connection.
        self.__valid_methods: frozenset[str] | None = None
        self.__listing: Mapping[str, Any] | None = None
        # Of methods known to be generators: what such a call gives is looped over.
        self.__generators: set[str] = set()
        self.__connection: BlockingConnection | None = None
        # Guards the connection and the thread that renews it.
        self.__lock = threading.Lock()
        self.__closing = threading.Event()
        self.__reconnecting: threading.Thread | None = None
        self.__threadless = False  # no thread could be started to reconnect; that was said
        self.__firstcon_timeout = firstcon_timeout
        self.__forked = False  # the next call connects: this process has not done so
        after_fork_in_child(self.__after_fork)
        self.__connect_first()

    __reduce__ = not_copyable("it is a connection of this process; make one where it is needed")

    def __connect_first(self) -> None:
        """Connect; if that fails, go on trying in the background."""
        try:
            self.__connect(self.__firstcon_timeout)
        except _NETWORK_ERRORS as exc:
            logger.warning(
                "could not connect to %s, trying again in the background: %s", self.__where, exc
            )
            self.__reconnect(None)

    def __connect(self, timeout: float | None) -> None:
        connection = BlockingConnection(
            self.__host, self.__port, timeout, self.__contexts(), self.__max_line, self.__key
        )
        try:
            connection.select(self.__target_name)
            connection.timeout = None
            with self.__lock:
                if self.__closing.is_set():
                    raise ConnectionAbortedError("the client was closed")
                self.__valid_methods = connection.session.methods
                self.__listing = None
                self.__connection = connection
        except BaseException:
            connection.close()
            raise

    def __reconnect(self, broken: BlockingConnection | None) -> None:
        """Drop a broken connection and have a new one made, unless that is under way."""
        with self.__lock:
            if broken is not self.__connection or self.__closing.is_set():
                return
            self.__connection = None
            failure: RuntimeError | None = None
            try:
                thread = threading.Thread(
                    target=self.__keep_trying, name=f"reconnect to {self.__where}", daemon=True
                )
                thread.start()
                self.__reconnecting = thread
            except RuntimeError as exc:
                failure = exc
            said, self.__threadless = self.__threadless, failure is not None
        if failure is not None and not said:
            logger.warning(
                "no thread can be started to reconnect to %s, trying again at the next call: %s",
                self.__where,
                failure,
            )
        if broken is not None:
            broken.close()

    def __current(self) -> BlockingConnection | None:
        """Return the connection, if there is one; see that somebody tries to make one."""
        connection = self.__connection
        if connection is not None:
            return connection
        with self.__lock:
            thread, forked = self.__reconnecting, self.__forked
            if (
                self.__connection is not None
                or self.__closing.is_set()
                or (thread is not None and thread.is_alive())
            ):
                return self.__connection
            if forked:
                self.__reconnecting = threading.current_thread()  # others need not try
                self.__forked = False
        if forked:
            try:
                self.__connect_first()
            finally:
                with self.__lock:
                    if self.__reconnecting is threading.current_thread():
                        self.__reconnecting = None
        else:
            self.__reconnect(None)
        return self.__connection

    def __after_fork(self) -> None:
        closed = self.__closing.is_set()
        self.__lock = threading.Lock()
        self.__closing = threading.Event()
        if closed:
            self.__closing.set()
        self.__connection = self.__reconnecting = None
        self.__forked = True

    def __keep_trying(self) -> None:
        pause = self.__retry
        while True:
            jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  (no secret)
            if self.__closing.wait(pause * jitter):
                return
            try:
                self.__connect(max(_RECONNECT_TIMEOUT, self.__retry))
            except Exception as exc:  # noqa: BLE001  (what the server raises may be anything)
                if self.__closing.is_set():
                    return
                # The first failure was a warning; its repetitions would fill the log.
                logger.debug("could not connect to %s: %s", self.__where, exc)
                pause = min(pause * _GROWTH, self.__retry * _LONGEST)
            else:
                logger.warning("connected to %s", self.__where)
                return

    def __call_method(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        connection = self.__connection or self.__current()
        if connection is None:
            if name not in self.__generators:
                return None
            logger.warning("`%s` gives no items: there is no connection to %s", name, self.__where)
            return Items(None, None)
        # A request that cannot be encoded is the caller's error: it is raised here.
        body = connection.session.call(name, args, kwargs)
        what = f"call of `{connection.session.selected_target}.{name}`"
        reply = self.__exchange(connection, what, body)
        if reply is None:
            return Items(None, None) if name in self.__generators else None
        # Outside of any `try`: an OSError of the remote method is none of the network.
        try:
            result = connection.session.receive_reply(reply)
            if result is not GENERATOR:
                return result
            items = connection.items(what, reply)
            self.__generators.add(name)
            return Items(items, lambda exc: self.__broken(connection, what, exc))
        except KeyboardInterrupt:
            connection.cancel_call(reply[0])
            raise

    def __exchange(self, connection: BlockingConnection, what: str, body: Body) -> Message | None:
        try:
            return connection.exchange(
                what, limit_of(self.__key), connection.session.request, body
            )
        except TimeoutError:
            raise  # from `call_timeout`, the only limit there is
        except _NETWORK_ERRORS as exc:
            self.__broken(connection, what, exc)
            return None

    def __broken(self, connection: BlockingConnection, what: str, exc: BaseException) -> None:
        if not self.__closing.is_set():
            logger.warning("%s failed, reconnecting in the background: %s", what, exc)
            self.__reconnect(connection)

    def __document_method(self, name: str) -> Documentation:
        if self.__listing is None:
            try:
                self.get_rpc_method_list()
            except Exception:  # noqa: BLE001  (looking at a method must not raise)
                return None
        return None if self.__listing is None else documented(self.__listing, name)

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith(("__", "_BestEffortClient__")):
            raise AttributeError(name)
        known = self.__valid_methods
        if (known is None and name.startswith("_")) or (known is not None and name not in known):
            raise AttributeError(f"`{self.get_selected_target()}` has no method `{name}`")
        methods = _Methods(
            f"`{self.get_selected_target()}` on {self.__where}",
            self.__call_method,
            self.__document_method,
        )
        return RemoteMethod(name, methods)

    def get_selected_target(self) -> str | None:
        """Return the name of the target, or None if that is not known yet."""
        connection = self.__connection
        if connection is not None:
            return connection.session.selected_target
        return self.__target_name if isinstance(self.__target_name, str) else None

    def get_rpc_id(self) -> tuple[list[str], str | None] | None:
        """Return the server's target names and description, or None without a connection."""
        connection = self.__current()
        if connection is None:
            return None
        return connection.session.target_names, connection.session.description

    def get_local_host(self) -> str | None:
        """Return the address of the local end of the connection, or None without one."""
        connection = self.__current()
        return None if connection is None else connection.local_host

    def get_rpc_method_list(self) -> dict[str, Any] | None:
        """Ask for signatures and docstrings, as `Client` does; None without a connection."""
        connection = self.__current()
        if connection is None:
            return None
        body = connection.session.list_methods()
        reply = self.__exchange(connection, "listing the methods", body)
        if reply is None:
            return None
        listing = connection.session.receive_listing(reply)
        self.__listing = listing
        self.__generators.update(generators_in(listing))
        return listing

    def close_rpc(self) -> None:
        """Close the connection, or stop trying to make one. May be repeated.

        A call of an `FFProxy` that is under way is waited for, for 5 s.
        """
        try:
            if under_way:
                finish_fired(self.__key, f"closing {self!r}")
        finally:
            self.__close()

    def __close(self) -> None:
        self.__closing.set()
        with self.__lock:
            connection, self.__connection = self.__connection, None
            thread, self.__reconnecting = self.__reconnecting, None
        if connection is not None:
            connection.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_TIMEOUT)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(self.__valid_methods or ())})

    def __repr__(self) -> str:
        state = "not connected" if self.__connection is None else "connected"
        return f"<BestEffortClient of `{self.get_selected_target()}` on {self.__where}, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close_rpc()
