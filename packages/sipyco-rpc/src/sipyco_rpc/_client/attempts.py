"""What clients that reconnect have in common: how long, how often, what is said. No sockets."""

from __future__ import annotations

import math
import time

from sipyco_rpc.net.errors import is_tls_error, reason_of
from sipyco_rpc.support.backoff import backoff
from sipyco_rpc.support.lost import ConnectionLost, not_sent
from sipyco_rpc.support.validation import checked_time_limit

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeAlias

    # Is called with whether there is a connection, and the reason.
    StateCallback: TypeAlias = Callable[[bool, str], object]

DEFAULT: Final = 10.0  # seconds that `reconnect=True` stands for: a server is restarted in less
ATTEMPT: Final = 5.0  # seconds, at most, for one attempt: the host may not answer at all
SHORTEST: Final = 1.0  # seconds, at least, for the first attempt of a call, where it may wait less
_PAUSE: Final = 0.1  # seconds before the second attempt; they grow to twelve times that


def checked_reconnect(reconnect: Any, state_cb: Any) -> float | None:
    """Check the parameters of a client that may reconnect.

    Args:
        reconnect: seconds for which a call waits; True for the default, None or False where it
            does not reconnect.
        state_cb: a function, or None.

    Returns:
        The seconds; None for a client that does not reconnect.

    Raises:
        ValueError: `reconnect` is none of these, or there is a `state_cb` without it.
        TypeError: `state_cb` cannot be called.
    """
    if reconnect is None or reconnect is False:
        if state_cb is not None:
            raise ValueError("state_cb needs reconnect: without it there is one connection only")
        return None
    if state_cb is not None and not callable(state_cb):
        raise TypeError(f"state_cb is a function of two arguments, got {state_cb!r}")
    if reconnect is True:
        return DEFAULT
    if reconnect == 0:
        return 0.0
    return checked_time_limit(reconnect, "reconnect")


class Attempts:
    """The attempts to connect to one server: the latest failure, and the pause before the next.

    Attributes:
        failure: what the latest attempt has raised; None if it succeeded.
        failed_at: when, by `time.monotonic`.
        reason: why there is no connection; nothing if there is one, or was no attempt yet.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.failed_at = -math.inf
        self.reason = ""
        self._next = -math.inf
        self._connected_at = -math.inf
        self._pauses = backoff(_PAUSE)

    @property
    def pause(self) -> float:
        """The seconds until the next attempt."""
        return max(0.0, self._next - time.monotonic())

    def failed(self, exc: Exception) -> None:
        """Note an attempt that has failed."""
        self.failure, self.failed_at = exc, time.monotonic()
        self.reason = reason_of(exc)
        self._next = self.failed_at + next(self._pauses)

    def succeeded(self) -> None:
        """Note a connection."""
        self.failure, self._connected_at = None, time.monotonic()
        self.reason = ""

    def lost(self, reason: str) -> None:
        """Note that it was lost. If that was soon, an attempt has to wait as after a failure."""
        self.reason, now = reason, time.monotonic()
        if now - self._connected_at < SHORTEST:
            self._next = now + next(self._pauses)
        else:
            self._pauses = backoff(_PAUSE)

    def waited_for(self) -> str:
        """Say, after the time that a call took, what it waited for, if it was a connection."""
        return f", waiting for a connection: {self.reason}" if self.reason else ""

    def away(self, what: str, where: str, seconds: float) -> ConnectionLost:
        """Make the error of a call that has waited for a connection in vain."""
        waited = f" within {seconds:g} s" if seconds else ""
        reason = self.reason or "an attempt to connect is under way"
        error = not_sent(f"{what}: no connection to {where}{waited}: {reason}")
        error.__cause__ = self.failure
        return error


def is_hopeless(exc: BaseException | None) -> bool:
    """Tell whether the server is there and says no, so that nobody need wait for the next attempt.

    It may be another server, have other targets or another certificate. Or a file of ours is
    missing.
    """
    if exc is None:
        return False
    if getattr(exc, "filename", None) is not None:
        return True
    remote = hasattr(exc, "parent_traceback")  # what the server raised when it made the target
    return remote or is_tls_error(exc) or not isinstance(exc, (OSError, EOFError))


def notify(state_cb: StateCallback | None, connected: bool, reason: str) -> object:
    """Log a change, and call the callback; what that raises is logged. Return what it returned."""
    import logging  # whoever reconnects can wait for it

    logger = logging.getLogger("sipyco.pc_rpc")
    logger.log(logging.INFO if connected else logging.WARNING, "%s", reason)
    if state_cb is None:
        return None
    try:
        return state_cb(connected, reason)
    except Exception:
        logger.exception("error in the callback of state changes")
        return None
