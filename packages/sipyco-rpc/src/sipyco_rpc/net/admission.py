"""Limits on connections and on unfinished handshakes. No protocol here."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Final

from sipyco_rpc.limits import HANDSHAKE_TIMEOUT, MAX_CONNECTIONS
from sipyco_rpc.net.workarounds import abort
from sipyco_rpc.support.log_limiter import LogLimiter
from sipyco_rpc.support.validation import checked_time_limit

__all__ = ["HANDSHAKE_TIMEOUT", "Admission", "ConnectionSlot"]

logger = logging.getLogger("sipyco.tools")


# The clock of a handshake is wound so many times: one that ran on while a method blocked the loop
# would count against peers who were kept waiting.
_TICKS: Final = 10

_TOO_MANY: Final = (
    "{count} more connections were closed since (connection limit reached, or no banner in time)"
)


def default_max_connections() -> int:
    """Tell how many connections leave the program enough descriptors for its own purposes."""
    try:
        import resource
    except ImportError:
        return MAX_CONNECTIONS  # Windows
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, descriptors // 2))


class ConnectionLimit:
    """The connections that there can be at a time, of one server or of several.

    Attributes:
        maximum: how many there can be.
        count: how many there are.
        pending: those that are not established, the oldest first.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.count = 0
        self.pending: dict[ConnectionSlot, None] = {}


class ConnectionSlot:
    """The place of one connection among those that a server may have, from accepting to closing.

    Until its banner has come, time is short; until it is established, that is until its peer has
    said what it wants, another connection may take its place.

    Args:
        admission: of its server.
        limit: counts it.
        transport: is aborted when it has to go; the TCP connection, beneath TLS if there is any.
        peer: the other end, for log records.

    Attributes:
        evicted: whether it had to go; that has been logged.
        handshake: the task that is in the midst of its TLS handshake, or None. It is cancelled
            when the connection has to go: the end of the transport does not always end it.
    """

    def __init__(
        self,
        admission: Admission,
        limit: ConnectionLimit,
        transport: asyncio.Transport,
        peer: str,
    ) -> None:
        self.transport = transport
        self.peer = peer
        self.evicted = False
        self.handshake: asyncio.Task[None] | None = None
        self._admission = admission
        self._limit = limit
        self._ticks = 0
        self._clock: asyncio.TimerHandle | None = None
        admission.count += 1
        limit.count += 1
        limit.pending[self] = None
        self._tick()

    def banner_received(self) -> None:
        """It has said what it is, and may take its time."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def established(self) -> None:
        """It has said what it wants, and keeps its place."""
        self.banner_received()
        self._limit.pending.pop(self, None)

    def evict(self) -> None:
        """Close the connection at once."""
        self.evicted = True
        self.established()
        abort(self.transport)
        if self.handshake is not None:
            self.handshake.cancel()

    def release(self) -> None:
        """Its connection has ended."""
        self.established()
        self._admission.count -= 1
        self._limit.count -= 1
        abort(self.transport)

    def _tick(self) -> None:
        if self._ticks == _TICKS:
            self.evict()
            self._admission.warn(
                f"closing the connection from {self.peer}: no banner within "
                f"{self._admission.handshake_timeout:g} s"
            )
            return
        self._ticks += 1
        self._clock = asyncio.get_running_loop().call_later(
            self._admission.handshake_timeout / _TICKS, self._tick
        )


# Servers without a limit of their own share the descriptors of the process. Those of other loops
# are in other threads, and have their own.
_shared: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ConnectionLimit]] = (
    weakref.WeakKeyDictionary()
)


def _shared_limit() -> ConnectionLimit:
    loop = asyncio.get_running_loop()
    limit = _shared.get(loop)
    if limit is None:
        limit = _shared[loop] = ConnectionLimit(default_max_connections())
    return limit


class Admission:
    """Count the connections of one server, and decide about one more.

    Args:
        max_connections: most connections at a time; None to share `default_max_connections` with
            the other servers of the loop.
        handshake_timeout: seconds until the banner of a peer must have come.

    Attributes:
        count: how many there are of this server.

    Raises:
        ValueError: with such limits nobody could be served.
    """

    def __init__(self, max_connections: int | None, handshake_timeout: float) -> None:
        if max_connections is not None and not (
            isinstance(max_connections, int) and max_connections >= 1
        ):
            raise ValueError(
                "max_connections is a whole number of at least 1, or None, "
                f"got {max_connections!r}"
            )
        self.handshake_timeout = checked_time_limit(handshake_timeout, "handshake_timeout")
        self.count = 0
        self._own = None if max_connections is None else ConnectionLimit(max_connections)
        # One of them tells it all.
        self._log_limiter = LogLimiter(1, _TOO_MANY)

    def admit(self, transport: asyncio.Transport, peer: str) -> ConnectionSlot | None:
        """Let a connection in, or close it.

        Where the limit is reached, the oldest one that is not established makes room: those who
        only hold connections keep their places no longer than until then.
        """
        limit = self._limit()
        if limit.count >= limit.maximum:
            if not limit.pending:
                abort(transport)
                self.warn(
                    f"refusing the connection from {peer}: connection limit reached "
                    f"({limit.maximum}; see max_connections)"
                )
                return None
            oldest = next(iter(limit.pending))
            oldest.evict()
            self.warn(
                f"closing the connection from {oldest.peer}: connection limit reached "
                f"({limit.maximum}; see max_connections), and it has selected nothing yet"
            )
        return ConnectionSlot(self, limit, transport, peer)

    @property
    def maximum(self) -> int:
        """How many connections there can be."""
        return self._limit().maximum

    def _limit(self) -> ConnectionLimit:
        return _shared_limit() if self._own is None else self._own

    def warn(self, text: str) -> None:
        """Log a warning; when there are many, only how many they are."""
        self._log_limiter.log(logger, logging.WARNING, "%s", text)

    def flush(self) -> None:
        """Say how many warnings were held back."""
        self._log_limiter.flush()
