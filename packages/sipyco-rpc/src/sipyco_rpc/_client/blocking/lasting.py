"""A connection of the blocking client that is made again when it has broken. No bytes here.

There is no thread: it is made again by the next call, which waits for that.
"""

from __future__ import annotations

import time
from functools import partial

from sipyco_rpc._client.best_effort_iterator import BestEffortIterator
from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc._client.blocking.connector import Connector
from sipyco_rpc._client.timeouts import limit_of, limits
from sipyco_rpc.net.errors import timeout_error
from sipyco_rpc.support.lost import ConnectionLost

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn, TypeVar

    from sipyco_rpc._client.blocking.channel import RequestChannel
    from sipyco_rpc._client.blocking.transport import SocketTransport
    from sipyco_rpc.wire.client_session import ClientSession
    from sipyco_rpc.wire.session import AutoTarget

    T = TypeVar("T")


class LastingConnection(Connector):
    """A connection whose calls connect again when it is no more, and wait for that.

    Args:
        key: stands for the client in `call_timeout`.
        where: the host and port, for error messages.
        *arguments: the others of `Connector`.

    Raises:
        Exception: of the last attempt to connect.
    """

    def __init__(self, key: object, where: str, *arguments: Any) -> None:
        super().__init__(where, *arguments)
        self._key = key
        try:
            self.ask("connecting", lambda connection: None)
        except ConnectionLost as exc:
            if self._latest is None:
                # As a client without `reconnect` does.
                raise self._attempts.failure or exc from None
        except BaseException:  # Ctrl-C, or what the callback of state changes has raised
            self.close()
            raise

    @property
    def _known(self) -> BlockingConnection:
        """The connection, or the one that there was before."""
        assert self._latest is not None  # there is no client before the first one
        return self._latest

    @property
    def session(self) -> ClientSession:
        """The conversation, or the one that there was before."""
        return self._known.session

    @property
    def transport(self) -> SocketTransport:
        """The socket, or the one that there was before."""
        return self._known.transport

    @property
    def label(self) -> str:
        """The target, and where it is."""
        return self._known.label

    @property
    def listing(self) -> Mapping[str, Any] | None:
        """The server's listing, which is asked for once; None while there is no connection."""
        connection = self._current
        return None if connection is None else connection.listing

    def select(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target, which is selected again by each connection."""

        def select(connection: BlockingConnection) -> None:
            connection.select(target_name)
            self._target_name = connection.session.selected_target
            self._session_cb(self, connection.session)

        self.ask("selecting the target", select)

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; errors are those of `BlockingConnection.call`.

        Raises:
            ConnectionLost: there was no connection in time, or it was lost during the call.
            AttributeError: the server has come back without the method.
        """
        iterator = partial(BestEffortIterator, self._note_stream)
        return self.ask(
            f"call of `{self.session.selected_target}.{name}`",
            lambda connection: connection.call(name, args, kwargs, iterator),
        )

    def list_methods(self) -> dict[str, Any]:
        """Ask for signatures and docstrings; errors are those of `call`."""
        return self.ask("listing the methods", BlockingConnection.list_methods)

    def get_property(self, name: str) -> Any:
        """Ask for a property; errors are those of `call`."""
        what = f"reading `{self.session.selected_target}.{name}`"
        return self.ask(what, lambda connection: connection.get_property(name))

    def set_property(self, name: str, value: Any) -> None:
        """Give a property a value; errors are those of `call`."""
        what = f"setting `{self.session.selected_target}.{name}`"
        self.ask(what, lambda connection: connection.set_property(name, value))

    def ask(self, what: str, act: Callable[[BlockingConnection], T]) -> T:
        """Do something with a connection; again if nothing of it was sent.

        Args:
            what: what is done, for error messages.
            act: does it.
        """
        connection = self._current
        started = time.monotonic()
        if connection is None or connection.transport.closed is not None:
            return self._do_later(what, act, started)
        try:
            return act(connection)
        except (OSError, EOFError) as exc:
            self._check_unsent(connection, exc)
        return self._do_later(what, act, started)

    def _do_later(self, what: str, act: Callable[[BlockingConnection], T], started: float) -> T:
        has_limit, seconds = limit_of(self._key)
        limit = seconds if has_limit else self._timeout
        hard = None if limit is None else started + limit
        until = started + self._patience if hard is None else min(started + self._patience, hard)
        while True:
            connection = self._connect(what, started, until, hard)
            token = None
            if has_limit and hard is not None:
                left = hard - time.monotonic()
                if left <= 0:
                    raise timeout_error(what, self.where, started)
                token = limits.set(((self._key, left), *limits.get()))
            try:
                return act(connection)
            except (OSError, EOFError) as exc:
                self._check_unsent(connection, exc)
                if time.monotonic() >= until:
                    raise
            finally:
                if token is not None:
                    limits.reset(token)

    def _check_unsent(self, connection: RequestChannel, exc: BaseException) -> None:
        """Note the end of a connection; raise the error unless nothing was sent."""
        if connection.transport.closed is None:
            raise exc
        if not self._closed:  # or its end would be that of the client, which is said elsewhere
            self._note_end(connection)
        if not isinstance(exc, ConnectionLost) or exc.sent:
            raise exc

    def _note_stream(self, connection: RequestChannel, what: str, exc: BaseException) -> NoReturn:
        """Note the end of the connection of a generator."""
        if connection.transport.closed is not None and not self._closed:
            self._note_end(connection)
        raise exc
