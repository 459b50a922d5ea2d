"""The blocking client: remote methods as attributes of an object. No bytes here."""

from __future__ import annotations

from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc._client.remote_method import (
    RemoteMethod,
    check_deletion,
    check_setting,
    forget_methods,
    is_own,
    no_attribute,
)
from sipyco_rpc._client.unawaited_calls import finish_fired, under_way
from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.net.tls import client_ssl_context
from sipyco_rpc.support.lost import ADVICE
from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteTarget
from sipyco_rpc.wire.session import AutoTarget

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Any, Self

    from sipyco_rpc._client.attempts import StateCallback
    from sipyco_rpc._client.blocking.lasting import LastingConnection
    from sipyco_rpc.net.tls import SimpleSSLConfig
    from sipyco_rpc.wire.client_session import ClientSession


class Client(RemoteTarget):
    """A connection to an RPC server whose methods are called as if they were local.

        with Client("::1", 3253) as lda:
            lda.set_attenuation(5)

    It connects at once. Attributes named in the server's list of methods are callables that
    block until the method returns, and return its value or raise its exception; what a generator
    gives comes as an iterator, item by item. Any other attribute is an `AttributeError`.
    Signatures and docstrings are the remote ones (`help`, the tab key).

    Properties that the server offers are read and set as attributes (`psu.voltage = 12`), each
    time on the server. Other attributes cannot be set, but for those of a class that is derived
    from this one.

    A client may be used from several threads: their calls take turns. A call that times out or
    is interrupted (Ctrl-C) never spoils the next one: that gets its own answer, or an error if
    the connection had to be closed.

    Args:
        host: name or address of the server.
        port: TCP port of the server.
        target_name: which of the server's targets to call; `AutoTarget` for the only one; None
            to select one later with `select_rpc_target`.
        timeout: for every operation on the socket, connecting (to all addresses of the host
            together) and handshake included, in seconds; None for none. See `call_timeout` for a
            limit to single calls.
        ssl_config: for TLS that trusts certificates, whatever the host's name.
        local_cert: path of our certificate, a PEM file, for TLS that also verifies that
            the server's certificate is for `host`. Not with `ssl_config`.
        local_key: path of its private key.
        peer_cert: path of the certificates to trust.
        max_line: longest reply to accept, in bytes; longer ones raise `LineTooLong`.
        reconnect: seconds for which the constructor, and later a call, wait for a server that is
            away; True for 10. A call then connects again. With 0 it tries once. None: the client
            is of no use once its connection is lost. No call waits longer than `timeout` or
            `call_timeout`, and none is sent twice: one that was under way raises `ConnectionLost`.
        state_cb: with `reconnect`, a function that is called with a bool (whether there is a
            connection) and a text (why), in the thread of the call that has noticed the change.
            It may call methods. What it raises is logged.

    Raises:
        OSError: no connection could be made; `TimeoutError` and the errors of TLS among them.
        ConnectionLost: the server closed the connection during the handshake.
        IncompatibleServer: it is no RPC server, or does not have the target.
        ValueError: an argument makes no sense; or it is `AutoTarget`, and the server has several
            targets.
    """

    # Every attribute is name-mangled, so that none hides a remote method. A derived class may
    # set its own before the connection is made.
    __valid_methods: frozenset[str] = frozenset()  # programs read this one

    def __init__(
        self,
        host: str,
        port: int,
        target_name: str | type[AutoTarget] | None = AutoTarget,
        timeout: float | None = None,
        ssl_config: SimpleSSLConfig | None = None,
        *,
        local_cert: str | None = None,
        local_key: str | None = None,
        peer_cert: str | None = None,
        max_line: int = MAX_LINE,
        reconnect: float | None = None,
        state_cb: StateCallback | None = None,
    ) -> None:
        self.__key = object()
        self.__connection: BlockingConnection | LastingConnection
        if state_cb is not None or not (reconnect is None or reconnect is False):
            from weakref import ref

            from sipyco_rpc._client.blocking.opening import lasting_connection

            this = ref(self)

            def learn(connection: LastingConnection, session: ClientSession) -> None:
                client = this()
                if client is not None:
                    client.__connection = connection  # `state_cb` may call methods
                    client.__learn(session)

            self.__connection = lasting_connection(
                (host, port),
                target_name,
                timeout,
                (ssl_config, local_cert, local_key, peer_cert),
                max_line,
                self.__key,
                reconnect,
                state_cb,
                learn,
            )
            return
        context = client_ssl_context(ssl_config, local_cert, local_key, peer_cert)
        self.__connection = BlockingConnection(host, port, timeout, context, max_line, self.__key)
        if target_name is not None:
            try:
                self.select_rpc_target(target_name)
            except BaseException:
                self.close_rpc()
                raise
        self.__connection.advice = ADVICE

    __reduce__ = not_copyable("it is a connection of this process; make one where it is needed")

    def select_rpc_target(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target, once, after connecting with `target_name=None`.

        Raises:
            IncompatibleServer: the server does not have it; the text lists those it has.
            ValueError: `AutoTarget` and there are several; or one was selected before.
        """
        self.__connection.select(target_name)
        self.__learn(self.__connection.session)

    def __learn(self, session: ClientSession) -> None:
        gone = self.__valid_methods - session.methods
        self.__valid_methods = session.methods
        self._RemoteTarget__properties = session.properties
        forget_methods(self, gone)  # of the target before: they could hide its properties

    def get_selected_target(self) -> str | None:
        """Return the name of the selected target, or None."""
        return self.__connection.session.selected_target

    def get_rpc_id(self) -> tuple[list[str], str | None]:
        """Return what the server said of itself: the names of its targets, its description."""
        session = self.__connection.session
        return session.target_names, session.description

    def get_local_host(self) -> str:
        """Return the address of the local end of the connection."""
        return self.__connection.transport.local_host

    def get_rpc_method_list(self) -> dict[str, Any]:
        """Ask the server for signatures and docstrings.

        Returns:
            `{"docstring": …, "methods": {name: (argspec, docstring)}}`, where an argspec is a
            dictionary with the fields of `inspect.FullArgSpec`. Where the server offers
            properties there is also `{"properties": {name: {"docstring": …, "settable": …}}}`.
        """
        return self.__selected().list_methods()

    def get_rpc_status(self) -> dict[str, Any]:
        """Ask the server what it knows of itself: calls, connections, its process and more.

        It answers while a method runs in a thread, and between two calls: it waits for no lock.

        Returns:
            A dictionary; the page "Status" of the reference has its keys and units.

        Raises:
            IncompatibleServer: it is of an older version, or its status is switched off.
        """
        from sipyco_rpc._client.status import ASKING, ask_status

        return self.__selected().ask(ASKING, ask_status)

    def ping_rpc(self) -> float:
        """Measure how long a request to the server and its answer take together.

        The server answers at once, unless a method blocks its event loop; one of an older version
        refuses, which takes as long.

        Returns:
            Seconds.
        """
        from sipyco_rpc._client.status import PING, ping

        return self.__selected().ask(PING, ping)

    def __selected(self) -> BlockingConnection | LastingConnection:
        if self.__connection.session.selected_target is None:
            raise ValueError("no target is selected; see `select_rpc_target`")
        return self.__connection

    def close_rpc(self) -> None:
        """Close the connection. May be repeated; the client cannot be used afterwards.

        A call of an `FFProxy` that is under way is waited for, for 5 s.
        """
        try:
            connection = self.__connection
        except AttributeError:
            return  # connecting failed
        try:
            if under_way:
                finish_fired(self.__key, f"closing {self!r}")
        finally:
            connection.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_Client__")):
            raise AttributeError(name)  # not yet there, while connecting
        if name in self.__valid_methods:
            method = self.__dict__[name] = RemoteMethod(name, self.__connection)
            return method
        if name in self._RemoteTarget__properties:
            return self.__connection.get_property(name)
        raise no_attribute(self, name, self.__valid_methods)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._RemoteTarget__properties and not is_own(self, name):
            self.__connection.set_property(name, value)
            return
        if not name.startswith("_"):
            check_setting(self, name, value, Client, self.__valid_methods)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        check_deletion(self, name, self.__valid_methods)
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = self.__valid_methods | self._RemoteTarget__properties
        return sorted(names.union(super().__dir__()))

    def __repr__(self) -> str:
        try:
            return f"<Client of `{self.get_selected_target()}` on {self.__connection.where}>"
        except AttributeError:
            return "<Client, not connected>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close_rpc()
