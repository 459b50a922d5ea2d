"""A connection that is looked at before each request, so that none is sent into its end."""

from __future__ import annotations

import threading

from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc.support.lost import ConnectionLost, not_sent

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

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
        super()._greet(limit)

    def exchange(
        self, what: str, limit: Limit, make: Callable[..., OutgoingMessage], *arguments: Any
    ) -> Message:
        me, lock = threading.get_ident(), self.lock
        if me not in lock.holder:
            try:
                # Where another thread has the lock, that one notices the end.
                if lock.try_acquire(me):
                    self._look(what)
            finally:
                lock.release(me)
                lock.wake()
        return super().exchange(what, limit, make, *arguments)

    def _look(self, what: str) -> None:
        transport = self.transport
        try:
            for _ in range(_MOST_READS):
                if transport.closed is not None or not transport.readable():
                    return
                transport.receive_some(0, None)
        except ConnectionLost as exc:
            raise not_sent(f"{what}: {exc}") from exc.__cause__
