"""Who may be connected: how many, and how long without saying what for. No protocol here."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Final

from sipyco_rpc.net.accepting import abort
from sipyco_rpc.support.log_limiter import LogLimiter
from sipyco_rpc.support.validation import checked_time_limit

__all__: list[str] = []

logger = logging.getLogger("sipyco.tools")

_MAX_CONNECTIONS: Final = 512  # half of the descriptors that a process usually may have

HANDSHAKE_TIMEOUT: Final = 10.0  # seconds; a slow link with TLS takes two or three

# The clock of a handshake is wound so many times: one that ran on while a method blocked the loop
# would count against peers who were kept waiting.
_TICKS: Final = 10

_TOO_MANY: Final = (
    "{count} more connections were closed since, as they were too many, or did not say what they "
    "are"
)


def default_max_connections() -> int:
    """Tell how many connections leave the program enough descriptors for its own purposes."""
    try:
        import resource
    except ImportError:
        return _MAX_CONNECTIONS  # Windows
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return max(1, min(_MAX_CONNECTIONS, descriptors // 2))


class ConnectionLimit:
    """The connections that there can be at a time, of one server or of several.

    Attributes:
        limit: how many there can be.
        count: how many there are.
        unsettled: those that have not said what they want, the oldest first.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.unsettled: dict[ConnectionSlot, None] = {}


class ConnectionSlot:
    """One connection, from the moment that it was accepted.

    Until it has said what it is, time is short; until it has said what it wants, it can lose its
    place to another.

    Args:
        admission: of its server.
        places: one of them is its own.
        transport: is aborted when it has to go.
        peer: the other end, for log records.

    Attributes:
        turned_out: whether it had to go; that has been logged.
        handshake: the task that is in the midst of its TLS handshake, or None. It is cancelled
            when the connection has to go: the end of the transport does not always end it.
    """

    def __init__(
        self,
        admission: Admission,
        places: ConnectionLimit,
        transport: asyncio.Transport,
        peer: str,
    ) -> None:
        self.transport = transport
        self.peer = peer
        self.turned_out = False
        self.handshake: asyncio.Task[None] | None = None
        self._admission = admission
        self._places = places
        self._ticks = 0
        self._clock: asyncio.TimerHandle | None = None
        admission.count += 1
        places.count += 1
        places.unsettled[self] = None
        self._tick()

    def banner_received(self) -> None:
        """It has said what it is, and may take its time."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def established(self) -> None:
        """It has said what it wants, and keeps its place."""
        self.banner_received()
        self._places.unsettled.pop(self, None)

    def evict(self) -> None:
        """Close the connection at once."""
        self.turned_out = True
        self.established()
        abort(self.transport)
        if self.handshake is not None:
            self.handshake.cancel()

    def left(self) -> None:
        """Its connection has ended."""
        self.established()
        self._admission.count -= 1
        self._places.count -= 1
        abort(self.transport)

    def _tick(self) -> None:
        if self._ticks == _TICKS:
            self._late()
            return
        self._ticks += 1
        self._clock = asyncio.get_running_loop().call_later(
            self._admission.handshake_timeout / _TICKS, self._tick
        )

    def _late(self) -> None:
        self.evict()
        self._admission.complain(
            f"closing the connection from {self.peer}: it has not said what it is within "
            f"{self._admission.handshake_timeout:g} s"
        )


# Servers without a limit of their own share the descriptors of the process. Those of other loops
# are in other threads, and have their own.
_shared: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ConnectionLimit]] = (
    weakref.WeakKeyDictionary()
)


def _shared_places() -> ConnectionLimit:
    loop = asyncio.get_running_loop()
    places = _shared.get(loop)
    if places is None:
        places = _shared[loop] = ConnectionLimit(default_max_connections())
    return places


class Admission:
    """Count the connections of one server, and decide about one more.

    Args:
        max_connections: most connections at a time; None to share `default_max_connections` with
            the other servers of the loop.
        handshake_timeout: seconds until a peer must have said what it is.

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

        Where there are too many, the one that has waited longest without saying what it wants
        makes room: those who only hold connections keep their places no longer than until then.
        """
        places = _shared_places() if self._own is None else self._own
        if places.count >= places.limit:
            if not places.unsettled:
                abort(transport)
                self.complain(
                    f"refusing the connection from {peer}: there are {places.count} already, "
                    "which is the limit (max_connections)"
                )
                return None
            oldest = next(iter(places.unsettled))
            oldest.evict()
            self.complain(
                f"closing the connection from {oldest.peer}: it has not said what it wants, and "
                f"its place, one of {places.limit} (max_connections), is needed"
            )
        return ConnectionSlot(self, places, transport, peer)

    def complain(self, text: str) -> None:
        """Log a warning; when there are many, only how many they are."""
        self._log_limiter.log(logger, logging.WARNING, "%s", text)

    def flush(self) -> None:
        """Say how many complaints were held back."""
        self._log_limiter.flush()
