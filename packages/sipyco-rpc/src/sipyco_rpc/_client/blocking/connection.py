"""A connection of the blocking clients: the handshake, and calls of methods. No proxies here."""

from __future__ import annotations

from sipyco_rpc._client.blocking.channel import RequestChannel
from sipyco_rpc._client.blocking.iterator import RemoteIterator
from sipyco_rpc._client.timeouts import NO_LIMIT, limit_of, limits
from sipyco_rpc.net.keepalive import connect
from sipyco_rpc.support.validation import checked_timeout, format_address
from sipyco_rpc.wire.client_session import GENERATOR

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any

    from sipyco_rpc.wire.session import AutoTarget, Body


class BlockingConnection(RequestChannel):
    """One connection of a blocking client, safe to use from several threads.

    Args:
        host: name or address of the server.
        port: its TCP port.
        timeout: for connecting and for every socket operation, in seconds; None for none.
        ssl_context: for TLS, or None.
        max_line: longest reply to accept, in bytes.
        key: stands for the client in `call_timeout`.

    Attributes:
        key: as it was given.

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
        max_line: int,
        key: object,
    ) -> None:
        timeout, where = checked_timeout(timeout), format_address(host, port)
        super().__init__(connect(host, port, timeout, ssl_context), where, timeout, max_line)
        self.key = key
        self._listing: dict[str, Any] | None = None
        self._names: dict[str, str] = {}  # of calls, for error messages
        try:
            self.session.receive_identification(
                self.exchange("the handshake", NO_LIMIT, self.session.hello)
            )
        except BaseException:
            self.close()
            raise

    def select(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target and learn its methods."""
        session = self.session
        message = self.exchange("selecting the target", NO_LIMIT, session.select, target_name)
        session.receive_methods(message)

    @property
    def label(self) -> str:
        """The target, and where it is."""
        return f"`{self.session.selected_target}` on {self.where}"

    def call(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        iterator: Callable[[RequestChannel, int, str, object], RemoteIterator] = RemoteIterator,
    ) -> Any:
        """Call a method; errors are those of `exchange`, and what the method raised.

        Args:
            name: of the method.
            args: its positional arguments.
            kwargs: its keyword arguments.
            iterator: makes what is returned if the method is a generator.
        """
        session = self.session
        what = self._names.get(name) or self._name(name)
        limit = limit_of(self.key) if limits.get() else NO_LIMIT
        reply = self.exchange(what, limit, session.request_call, name, args, kwargs)
        try:
            value = session.receive_reply(reply)
            if value is not GENERATOR:
                return value
            session.open_stream(reply[0])
            return iterator(self, reply[0], what, self.key)
        except KeyboardInterrupt:
            self.cancel_call(reply[0])
            raise

    def _name(self, name: str) -> str:
        what = self._names[name] = f"call of `{self.session.selected_target}.{name}`"
        return what

    def list_methods(self) -> dict[str, Any]:
        """Ask for signatures and docstrings; errors are those of `exchange`."""
        session = self.session
        message = self.exchange(
            "listing the methods", limit_of(self.key), session.request, session.list_methods()
        )
        self._listing = session.receive_listing(message)
        return self._listing

    def get_property(self, name: str) -> Any:
        """Ask for a property; errors are those of `exchange`, and what its getter raised."""
        return self._ask(f"reading `{self._of(name)}`", self.session.get_property(name))

    def set_property(self, name: str, value: Any) -> None:
        """Give a property a value; errors are those of `exchange`, and what its setter raised."""
        self._ask(f"setting `{self._of(name)}`", self.session.set_property(name, value))

    def _of(self, name: str) -> str:
        return f"{self.session.selected_target}.{name}"

    def _ask(self, what: str, body: Body) -> Any:
        session = self.session
        message = self.exchange(what, limit_of(self.key), session.request, body)
        return session.receive_value(message)

    @property
    def listing(self) -> dict[str, Any]:
        """The server's listing, which is asked for once; errors are those of `exchange`."""
        return self.list_methods() if self._listing is None else self._listing
