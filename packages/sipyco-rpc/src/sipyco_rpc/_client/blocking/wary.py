"""A connection that is looked at before each request, so that none is sent into its end."""

from __future__ import annotations

import threading

from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc._client.blocking.iterator import RemoteIterator
from sipyco_rpc.support.lost import ConnectionLost, not_sent

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from sipyco_rpc._client.blocking.channel import RequestChannel
    from sipyco_rpc._client.timeouts import Limit
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import OutgoingMessage

_MOST_READS: Final = 64  # before a request: the other side may send for ever


class WaryConnection(BlockingConnection):
    """A connection that looks for its end before each request.

    A server that was stopped has said so: what is sent then would be lost, and nobody could tell
    whether it was done.

    Args:
        begin: is called with the connection before the handshake.
        *arguments: those of `BlockingConnection`.
    """

    def __init__(self, begin: Callable[[BlockingConnection], None], *arguments: Any) -> None:
        self._begin = begin
        super().__init__(*arguments)

    def _greet(self, limit: Limit) -> None:
        self._begin(self)
        del self._begin  # which has this connection in the end: a circle
        super()._greet(limit)

    def call(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        iterator: Callable[[RequestChannel, int, str, object], RemoteIterator] = RemoteIterator,
    ) -> Any:
        if name not in self.session.methods:
            what = f"`{self.session.selected_target}` has no method `{name}`"
            self._look(what)  # a server that has been started again may have it
            raise AttributeError(what)
        return super().call(name, args, kwargs, iterator)

    def exchange(
        self, what: str, limit: Limit, make: Callable[..., OutgoingMessage], *arguments: Any
    ) -> Message:
        self._look(what)
        return super().exchange(what, limit, make, *arguments)

    def _look(self, what: str) -> None:
        """Raise an error, which begins with a text, if the connection has ended."""
        me, lock = threading.get_ident(), self.lock
        if me in lock.holder:
            return
        try:
            # Where another thread has the lock, that one notices the end.
            if lock.try_acquire(me):
                self._read_end(what)
        finally:
            lock.release(me)
            lock.wake()

    def _read_end(self, what: str) -> None:
        transport = self.transport
        try:
            for _ in range(_MOST_READS):
                if transport.closed is not None or not transport.readable():
                    return
                transport.receive_some(0, None)
        except ConnectionLost as exc:
            raise not_sent(f"{what}: {exc}") from exc.__cause__
