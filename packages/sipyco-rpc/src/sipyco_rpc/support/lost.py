"""The error of a connection that is no more, whoever notices it, and when. No sockets here."""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final

__all__ = ["ADVICE", "ConnectionLost"]


class ConnectionLost(ConnectionResetError, ConnectionAbortedError, EOFError):
    """There is no connection any more; the text says why, and what to do.

    It is an `OSError` and an `EOFError`, so that it is caught by either, whichever call notices
    the end, and whichever side has made it: this program may have closed the connection, too. What
    took too long is a `TimeoutError` in place of it, and what could not be made is none.

    Attributes:
        sent: whether the other side may have got the request. If False, not one byte of it has
            been given to the system, so it can be made again without being done twice.
    """

    sent: bool = True


# The address that peers read, and that pickles hold: it lasts when this file moves.
ConnectionLost.__module__ = "sipyco_rpc.pc_rpc"

# What a program can do whose `Client` is of no use any more; commands leave it out.
ADVICE: Final = " (make a new `Client`, or use `Client(…, reconnect=…)`)"

# What becomes of it on its way to a peer: that may be a program of a version without this class.
PACKED_AS: Final = EOFError


def not_sent(text: str) -> ConnectionLost:
    """Make the error of a request that has certainly not been sent."""
    error = ConnectionLost(text)
    error.sent = False
    return error
