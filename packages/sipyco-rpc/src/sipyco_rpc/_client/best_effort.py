"""The client to which network errors are warnings. It outlives its server. No threads here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc._client.reconnect import ReconnectingConnection
from sipyco_rpc._client.remote_method import (
    RemoteMethod,
    attribute_error,
    check_deletion,
    check_setting,
    is_own,
    no_attribute,
)
from sipyco_rpc._client.status import ASKING, PING, ask_status, ping
from sipyco_rpc._client.unawaited_calls import finish_fired, under_way
from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.net.tls import client_ssl_contexts
from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteTarget
from sipyco_rpc.support.validation import (
    check_host,
    checked_pause,
    checked_port,
    checked_timeout,
    format_address,
)
from sipyco_rpc.wire.session import AutoTarget

if TYPE_CHECKING:
    from sipyco_rpc.net.tls import SimpleSSLConfig


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

    A property that the server offers, once that is known, is None while there is no connection;
    what it is set to then is lost, as a call is.

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
        check_host(host)
        port = checked_port(port)
        retry = checked_pause(retry, "retry")
        firstcon_timeout = checked_timeout(firstcon_timeout, "firstcon_timeout")
        contexts = client_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)
        key = object()

        def open_connection(timeout: float | None) -> BlockingConnection:
            return BlockingConnection(host, port, timeout, contexts(), max_line, key)

        # Attributes are name-mangled, so that none hides a remote method.
        self.__key = key  # for `call_timeout`
        self.__connection = ReconnectingConnection(
            format_address(host, port), target_name, open_connection, firstcon_timeout, retry
        )
        self.__connection.get()

    __reduce__ = not_copyable("it is a connection of this process; make one where it is needed")

    def get_selected_target(self) -> str | None:
        """Return the name of the target, or None if that is not known yet."""
        return self.__connection.selected_target

    def get_rpc_id(self) -> tuple[list[str], str | None] | None:
        """Return the server's target names and description, or None without a connection."""
        connection = self.__connection.get()
        if connection is None:
            return None
        return connection.session.target_names, connection.session.description

    def get_local_host(self) -> str | None:
        """Return the address of the local end of the connection, or None without one."""
        connection = self.__connection.get()
        return None if connection is None else connection.transport.local_host

    def get_rpc_method_list(self) -> dict[str, Any] | None:
        """Ask for signatures and docstrings, as `Client` does; None without a connection."""
        return self.__connection.list_methods()

    def get_rpc_status(self) -> dict[str, Any] | None:
        """Ask what the server knows of itself, as `Client` does; None without a connection."""
        return self.__connection.ask(ASKING, ask_status)

    def ping_rpc(self) -> float | None:
        """Measure how long a request and its answer take, in seconds; None without a connection.

        See `Client.ping_rpc`.
        """
        return self.__connection.ask(PING, ping)

    def close_rpc(self) -> None:
        """Close the connection, or stop trying to make one. May be repeated.

        A call of an `FFProxy` that is under way is waited for, for 5 s.
        """
        try:
            if under_way:
                finish_fired(self.__key, f"closing {self!r}")
        finally:
            self.__connection.close()

    @property
    def _RemoteTarget__properties(self) -> frozenset[str]:  # type: ignore[override]
        connection = self.__dict__.get("_BestEffortClient__connection")
        return frozenset() if connection is None else connection.properties

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_BestEffortClient__")):
            raise AttributeError(name)
        connection = self.__dict__.get("_BestEffortClient__connection")
        if connection is None:
            text = f"the client is being made, so there is no method `{name}`"
            raise attribute_error(text, name, self)
        known = connection.methods
        if not name.startswith("_") if known is None else name in known:
            return RemoteMethod(name, connection)
        if name in connection.properties:
            return connection.get_property(name)
        raise no_attribute(self, name, known or ())

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or "_BestEffortClient__connection" not in self.__dict__:
            super().__setattr__(name, value)  # the client is being made
            return
        connection, own = self.__connection, is_own(self, name)
        if name in connection.properties and not own:
            connection.set_property(name, value)
        elif own or type(self) is not BestEffortClient or connection.methods is not None:
            check_setting(self, name, value, BestEffortClient, connection.methods or ())
            super().__setattr__(name, value)
        # Otherwise it may be a property, as any name may be that of a method: it is lost.

    def __delattr__(self, name: str) -> None:
        if "_BestEffortClient__connection" in self.__dict__:
            check_deletion(self, name, self.__connection.methods or ())
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        connection = self.__dict__.get("_BestEffortClient__connection")
        known = () if connection is None else (connection.methods or ())
        return sorted({*super().__dir__(), *known, *self._RemoteTarget__properties})

    def __repr__(self) -> str:
        if "_BestEffortClient__connection" not in self.__dict__:
            return "<BestEffortClient, being made>"
        state = "not connected" if self.__connection.current is None else "connected"
        return f"<BestEffortClient of {self.__connection.label}, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close_rpc()
