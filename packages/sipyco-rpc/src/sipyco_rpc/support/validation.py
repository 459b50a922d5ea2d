"""Checks of what a program gives for connecting and waiting: hosts, ports, times. No sockets here.

Each kind of value has one function and one text, whoever takes it: a client, a server, a command.
"""

from __future__ import annotations

from operator import index

from sipyco_rpc.limits import MAX_PAUSE, MAX_TIMEOUT, MIN_PAUSE
from sipyco_rpc.support.quoting import short_repr

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = [
    "check_host",
    "checked_pause",
    "checked_port",
    "checked_time_limit",
    "checked_timeout",
    "format_address",
]

_SWAPPED: Final = ": are host and port swapped? The host comes first"

_MAX_PORT: Final = 65535  # the systems take what is above it modulo 65536


def format_address(host: object, port: object) -> str:
    """Name the other end of a connection in a message."""
    return f"{host} port {port}"


def checked_port(port: Any, *, listening: bool = False) -> int:
    """Check the number of a TCP port.

    Args:
        port: a whole number, or its digits in a `str`.
        listening: it is to be listened on: 0 is any that is free.

    Returns:
        The port as an `int`.

    Raises:
        ValueError: it is none.
    """
    least = 0 if listening else 1
    number = -1
    if isinstance(port, str):
        if port.isascii() and port.isdigit() and len(port) <= 20:
            number = int(port)
    elif not isinstance(port, bool):
        try:
            number = index(port)
        except TypeError:
            pass  # refused below
    if not least <= number <= _MAX_PORT:
        is_host = isinstance(port, str) and (port == "localhost" or "." in port or ":" in port)
        raise ValueError(
            f"a port is a whole number from {least} to {_MAX_PORT}, got {short_repr(port)}"
            f"{_SWAPPED if is_host else ''}"
        )
    return number


def check_host(host: Any) -> None:
    """Check the name or address of a host; whether there is one of that name is not looked up.

    Args:
        host: a name, an address, or None for this computer.

    Raises:
        ValueError: nothing can have this name.
    """
    if host is None:
        return
    try:
        if isinstance(host, str) and host and host.isprintable():
            host.encode("idna")  # as it is done to look it up
            return
    except UnicodeError:
        pass  # refused below
    swapped = _SWAPPED if isinstance(host, int) and not isinstance(host, bool) else ""
    raise ValueError(
        "a host is the name or address of a computer, with 1 to 63 characters between its dots, "
        f"got {short_repr(host)}{swapped}"
    )


def checked_timeout(seconds: Any, name: str = "timeout") -> float | None:
    """Check the time after which something is given up, or None for never.

    Args:
        seconds: a number above 0, or None.
        name: of the parameter, for the error.

    Returns:
        The seconds.

    Raises:
        ValueError: it is no such number, infinite, or longer than systems can wait.
    """
    return None if seconds is None else _limited(seconds, name, ", or None for no limit")


def checked_time_limit(seconds: Any, name: str) -> float:
    """Check the time after which something is given up; there is no doing without it.

    Args, result and errors are those of `checked_timeout`.
    """
    return _limited(seconds, name, "")


def _limited(seconds: Any, name: str, or_else: str) -> float:
    number = _number(seconds)
    if not 0 < number <= MAX_TIMEOUT:
        raise ValueError(
            f"{name} is a positive number of seconds, at most {MAX_TIMEOUT}{or_else}, "
            f"got {short_repr(seconds)}"
        )
    return number


def checked_pause(seconds: Any, name: str) -> float:
    """Check the time between two attempts.

    Args:
        seconds: a number, at least a millisecond.
        name: of the parameter, for the error.

    Returns:
        The seconds.

    Raises:
        ValueError: it is no such number, or so short that it would take all of a processor.
    """
    number = _number(seconds)
    if not MIN_PAUSE <= number <= MAX_PAUSE:
        raise ValueError(
            f"{name} is a number of seconds from {MIN_PAUSE} to {MAX_PAUSE}, "
            f"got {short_repr(seconds)}"
        )
    return number


def _number(value: Any) -> float:
    """Give what is a number as a float, and NaN for everything else."""
    if isinstance(value, (bool, str, bytes, bytearray)):
        return float("nan")
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        return float("nan")
