"""Who may be connected: how many, and how long without saying what for. No protocol here."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sipyco_rpc._accepting import abort

__all__: list[str] = []

logger = logging.getLogger("sipyco.tools")

_MAX_CONNECTIONS: Final = 512  # half of the descriptors that a process usually may have

HANDSHAKE_TIMEOUT: Final = 10.0  # seconds; a slow link with TLS takes two or three

_QUIET: Final = 10.0  # seconds between two complaints: those who flood us shall not flood the log


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


class Visitor:
    """One connection, from the moment that it was accepted.

    Until it has said what it is, time is short; until it has said what it wants, it can lose its
    place to another.

    Args:
        admission: counts it.
        transport: is aborted when it has to go.
        peer: the other end, for log records.

    Attributes:
        turned_out: whether it had to go; that has been logged.
    """

    def __init__(self, admission: Admission, transport: asyncio.Transport, peer: str) -> None:
        self.transport = transport
        self.peer = peer
        self.turned_out = False
        self._admission = admission
        self._clock: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(
            admission.handshake_timeout, self._late
        )

    def identified(self) -> None:
        """It has said what it is, and may take its time."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def settled(self) -> None:
        """It has said what it wants, and keeps its place."""
        self.identified()
        self._admission.unsettled.pop(self, None)

    def turn_out(self) -> None:
        """Close the connection at once."""
        self.turned_out = True
        self.settled()
        abort(self.transport)

    def left(self) -> None:
        """Its connection has ended."""
        self.settled()
        self._admission.count -= 1
        abort(self.transport)

    def _late(self) -> None:
        self.turn_out()
        self._admission.complain(
            f"closing the connection from {self.peer}: it has not said what it is within "
            f"{self._admission.handshake_timeout:g} s"
        )


class Admission:
    """Count the connections of one server, and decide about one more.

    Args:
        max_connections: most connections at a time, or None for `default_max_connections`.
        handshake_timeout: seconds until a peer must have said what it is.

    Attributes:
        count: how many there are.
        unsettled: those that have not said what they want, the oldest first.

    Raises:
        ValueError: with such limits nobody could be served.
    """

    def __init__(self, max_connections: int | None, handshake_timeout: float) -> None:
        if max_connections is None:
            max_connections = default_max_connections()
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, got {max_connections}")
        if not handshake_timeout > 0:
            raise ValueError(
                f"handshake_timeout is a number of seconds above 0, got {handshake_timeout}"
            )
        self.max_connections = max_connections
        self.handshake_timeout = handshake_timeout
        self.count = 0
        self.unsettled: dict[Visitor, None] = {}
        self._unsaid = 0  # complaints that were held back
        self._quiet: asyncio.TimerHandle | None = None  # while they are

    def admit(self, transport: asyncio.Transport, peer: str) -> Visitor | None:
        """Let a connection in, or close it.

        Where there are too many, the one that has waited longest without saying what it wants
        makes room: those who only hold connections keep nobody out.
        """
        if self.count >= self.max_connections:
            if not self.unsettled:
                abort(transport)
                self.complain(
                    f"refusing the connection from {peer}: there are {self.count} already, which "
                    "is the limit (max_connections)"
                )
                return None
            oldest = next(iter(self.unsettled))
            oldest.turn_out()
            self.complain(
                f"closing the connection from {oldest.peer}: it has not said what it wants, and "
                f"its place, one of {self.max_connections} (max_connections), is needed"
            )
        self.count += 1
        visitor = Visitor(self, transport, peer)
        self.unsettled[visitor] = None
        return visitor

    def complain(self, text: str) -> None:
        """Log a warning; when there are many, only how many they are."""
        if self._quiet is not None:
            self._unsaid += 1
            return
        logger.warning("%s", text)
        self._quiet = asyncio.get_running_loop().call_later(_QUIET, self.speak)

    def speak(self) -> None:
        """Say how many complaints were held back."""
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        unsaid, self._unsaid = self._unsaid, 0
        if unsaid:
            logger.warning(
                "%d more connections were closed since, as they were too many, or did not say "
                "what they are",
                unsaid,
            )
