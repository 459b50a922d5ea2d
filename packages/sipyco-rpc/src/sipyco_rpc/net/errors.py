"""Texts and classes of connection errors: not made, too late, lost, closed. No sockets here."""

from __future__ import annotations

import os
import socket
import sys
import time

from sipyco_rpc.support.lost import ConnectionLost

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final

    from sipyco_rpc.support.memory import Text

__all__ = [
    "before_greeting",
    "closed_by_us",
    "connect_error",
    "handshake_error",
    "lost_earlier",
    "lost_error",
    "protocol_violation",
    "reason_of",
    "timeout_error",
    "would_block",
]

# How a TLS alert begins: what a server with TLS answers to a client without it.
_TLS_ALERT: Final = b"\x15"

# An end without a reason, before a server has said anything.
_REFUSED: Final = "(does the server use TLS, or refuse this client? its log says why)"
_CLIENT_REFUSED: Final = "(does the server refuse this client? its log says why)"

# What `ssl`, which a program without TLS does without, calls the end of a connection.
_TLS_ENDS: Final = ("SSLEOFError", "SSLZeroReturnError")


def reason_of(exc: BaseException) -> str:
    """Give the text of an error; where it has none, the name of its class."""
    return str(exc) or type(exc).__name__


def system_reason(exc: OSError) -> str:
    """Give the system's words; asyncio has its own, which tell of one address only."""
    if exc.errno is not None and (exc.strerror or "").startswith("Connect call failed"):
        return os.strerror(exc.errno)
    return exc.strerror or reason_of(exc)


def connect_error(exc: OSError, where: str, details: str = "") -> OSError:
    """Give an error of the same class that also says where.

    Args:
        exc: of the system, of looking the name up, or of TLS.
        where: the host and port.
        details: what came of its addresses, if there are several.
    """
    known = exc.errno is not None and exc.strerror is not None
    text = f"{system_reason(exc)}: could not connect to {where}{details}"
    if known and isinstance(exc, socket.gaierror):
        return socket.gaierror(exc.errno, text)
    if not known or type(exc).__module__ != "builtins":
        exc.add_note(f"while connecting to {where}")
        return exc
    error = OSError(exc.errno, text)
    return error if type(error) is type(exc) else exc


def handshake_error(exc: OSError, where: str) -> OSError:
    """Give the error of a TLS handshake that failed; see `connect_error`."""
    if not str(exc):
        return ConnectionLost(f"{where} closed the connection during the TLS handshake {_REFUSED}")
    if is_tls_error(exc) and "ALERT" in (getattr(exc, "reason", None) or ""):
        return lost_error(where, exc)  # such as the refusal of a certificate in TLS 1.2
    if isinstance(exc, ConnectionError) or type(exc).__name__ in _TLS_ENDS:
        text = f"{system_reason(exc)}: lost in the TLS handshake with {where} {_REFUSED}"
        return ConnectionLost(text)
    return _explained(exc, where) if is_tls_error(exc) else connect_error(exc, where)


def _explained(exc: OSError, where: str) -> OSError:
    """Add to an error of TLS what it means; its class and attributes stay."""
    text = f"{system_reason(exc)}: could not connect to {where}{_tls_hint(exc)}"
    error = type(exc)(exc.errno, text)
    vars(error).update(vars(exc))
    error.add_note(f"while connecting to {where}")
    return error


def _tls_hint(exc: BaseException | None) -> str:
    from sipyco_rpc.net.tls_errors import handshake_hint

    hint = "" if exc is None else handshake_hint(exc)
    return f" ({hint})" if hint else ""


def before_greeting(exc: ConnectionLost, tls: bool) -> ConnectionLost:
    """Give the error of a connection that ended before the server had said anything.

    Args:
        exc: what is known of the end.
        tls: whether there was a TLS handshake, which had gone well.
    """
    text = str(exc)
    if text.endswith(")"):
        return exc  # a reason is known
    return ConnectionLost(f"{text} {_CLIENT_REFUSED if tls else _REFUSED}")


def timeout_error(what: str, where: str, started: float, details: str = "") -> TimeoutError:
    """Say what took how long.

    Args:
        what: such as "call of `lda.set_attenuation`".
        where: the host and port.
        started: when it began, by `time.monotonic`.
        details: what follows the seconds.
    """
    seconds = time.monotonic() - started
    return TimeoutError(f"{what} on {where} timed out after {seconds:.3g} s{details}")


def is_tls_error(exc: BaseException | None) -> bool:
    """Tell whether an error is one of `ssl`, which a program without TLS does without."""
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(exc, ssl.SSLError)


def would_block(exc: OSError) -> bool:
    """Tell whether an error only says that something would have to be waited for."""
    # The names are those of `ssl`, which a program without TLS does without.
    return isinstance(exc, BlockingIOError) or type(exc).__name__ in (
        "SSLWantReadError",
        "SSLWantWriteError",
    )


def lost_error(where: str, exc: BaseException | None, unread: Text = b"") -> ConnectionLost:
    """Give the error of whoever is waiting when a connection is lost.

    Args:
        where: the host and port.
        exc: what it was lost by; None if the other side closed it.
        unread: what has arrived of the next message.
    """
    if exc is None:
        hint = " (it seems to expect TLS)" if unread[:1] == _TLS_ALERT else ""
        return ConnectionLost(
            f"the other side closed the connection to {where} before a full line{hint}"
        )
    if is_tls_error(exc):
        hint = _tls_hint(exc)
        return ConnectionLost(f"the other side ended the TLS connection to {where}: {exc}{hint}")
    return ConnectionLost(f"the connection to {where} was lost: {reason_of(exc)}")


def lost_earlier(where: str, exc: BaseException | None) -> str:
    """Say to whoever comes later why there is no connection; see `lost_error`."""
    if exc is None:
        return f"the connection to {where} was closed by the other side earlier"
    return f"the connection to {where} was lost earlier: {reason_of(exc)}"


def closed_by_us(where: str, reason: str = "") -> str:
    """Say that this side has closed a connection.

    Args:
        where: the host and port.
        reason: why; by default, because the program wanted it.
    """
    how = f": {reason}" if reason else " by this program"
    return f"the connection to {where} was closed{how}"


def protocol_violation(where: str, exc: Exception) -> str:
    """Say that the other side does not keep to the rules."""
    return f"{where} sent what it must not: {exc}"
