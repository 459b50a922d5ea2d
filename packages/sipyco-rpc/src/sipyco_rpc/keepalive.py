"""TCP connections that notice when the other side has vanished, and that do not dally."""

from __future__ import annotations

import socket

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import asyncio
    from typing import Any, Final

__all__ = ["async_open_connection", "create_connection", "set_keepalive"]

# A peer that lost its power is noticed within 10 + 3 * 10 seconds.
AFTER_IDLE: Final = 10  # seconds without traffic before the first probe
INTERVAL: Final = 10  # seconds between probes
MAX_FAILS: Final = 3  # probes without an answer before the connection is given up


def set_keepalive(
    sock: Any,
    after_idle: int | None = None,
    interval: int | None = None,
    max_fails: int | None = None,
) -> None:
    """Turn on TCP keepalive, and turn off the delay of small packets.

    Args:
        sock: a socket, or the object that asyncio gives for one.
        after_idle: seconds without traffic before the first probe; 10 by default.
        interval: seconds between probes; 10 by default.
        max_fails: probes without an answer before the connection is lost; 3 by default.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    settings = (
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), AFTER_IDLE if after_idle is None else after_idle),
        (("TCP_KEEPINTVL",), INTERVAL if interval is None else interval),
        (("TCP_KEEPCNT",), MAX_FAILS if max_fails is None else max_fails),
    )
    for names, value in settings:
        for name in names:  # macOS has another name for the first
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
                break


def create_connection(
    host: str,
    port: int,
    *args: Any,
    after_idle: int | None = None,
    interval: int | None = None,
    max_fails: int | None = None,
    **kwargs: Any,
) -> socket.socket:
    """Connect as `socket.create_connection` does, with keepalive on."""
    sock = socket.create_connection((host, port), *args, **kwargs)
    try:
        set_keepalive(sock, after_idle, interval, max_fails)
    except BaseException:
        sock.close()
        raise
    return sock


async def async_open_connection(
    host: str,
    port: int,
    *args: Any,
    after_idle: int | None = None,
    interval: int | None = None,
    max_fails: int | None = None,
    **kwargs: Any,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as `asyncio.open_connection` does, with keepalive on."""
    import asyncio

    try:
        reader, writer = await asyncio.open_connection(host, port, *args, **kwargs)
    except RuntimeError as exc:
        # The system has no thread for asyncio to look the name up in; it may have one later.
        raise OSError(f"could not look up {host!r}: {exc}") from exc
    try:
        set_keepalive(writer.get_extra_info("socket"), after_idle, interval, max_fails)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer
