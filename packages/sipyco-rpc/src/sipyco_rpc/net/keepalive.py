"""TCP connections that notice when the other side has vanished, and that do not dally."""

from __future__ import annotations

import socket

from sipyco_rpc.net.connect import open_socket
from sipyco_rpc.net.tls import server_name
from sipyco_rpc.support.validation import check_host, checked_port

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import asyncio
    from typing import Any, Final

__all__ = ["async_open_connection", "create_connection", "set_keepalive"]

# A peer that lost its power is noticed within 10 + 3 * 10 seconds.
AFTER_IDLE: Final = 10  # seconds without traffic before the first probe
INTERVAL: Final = 10  # seconds between probes
MAX_FAILS: Final = 3  # probes without an answer before the connection is given up

_UNSET: Final = object()  # the default of a parameter of which None means something

# What `asyncio.open_connection` takes that has nothing to do with finding the other side.
_OF_STREAMS: Final = frozenset(
    {"limit", "server_hostname", "ssl", "ssl_handshake_timeout", "ssl_shutdown_timeout"}
)


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
    """Connect as `socket.create_connection` does, with keepalive on.

    Of a host with several addresses, the next one is tried as well when one has not answered
    within 250 ms. The timeout is for all of them together.

    Args:
        host: name or address of the other side.
        port: its TCP port.
        *args: what `socket.create_connection` takes as well: `timeout`, `source_address`.
        after_idle: see `set_keepalive`.
        interval: see `set_keepalive`.
        max_fails: see `set_keepalive`.
        **kwargs: likewise, and `all_errors`: then it tries one address after the other.

    Raises:
        ValueError: an argument makes no sense.
        OSError: no connection could be made.
    """
    if kwargs.get("all_errors"):
        check_host(host)
        sock = socket.create_connection((host, checked_port(port)), *args, **kwargs)
    else:
        sock = _connect(host, port, *args, **kwargs)
    try:
        set_keepalive(sock, after_idle, interval, max_fails)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(
    host: str,
    port: int,
    timeout: Any = _UNSET,
    source_address: tuple[str, int] | None = None,
    *,
    all_errors: bool = False,
) -> socket.socket:
    if timeout is _UNSET:
        timeout = socket.getdefaulttimeout()
    return open_socket(host, port, timeout, source_address)


async def async_open_connection(
    host: str,
    port: int,
    *args: Any,
    after_idle: int | None = None,
    interval: int | None = None,
    max_fails: int | None = None,
    **kwargs: Any,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as `asyncio.open_connection` does, with keepalive on.

    Of a host with several addresses, the next one is tried as well when one has not answered
    within 250 ms.

    Args:
        host: name or address of the other side.
        port: its TCP port.
        *args: what `asyncio.open_connection` takes as well.
        after_idle: see `set_keepalive`.
        interval: see `set_keepalive`.
        max_fails: see `set_keepalive`.
        **kwargs: what `asyncio.open_connection` takes as well. Where that says how to find and
            try addresses (`sock`, `family`, `local_addr` and the like), asyncio does that.

    Raises:
        ValueError: an argument makes no sense.
        OSError: no connection could be made.
    """
    import asyncio

    if kwargs.get("sock") is not None:
        reader, writer = await asyncio.open_connection(host, port, *args, **kwargs)
    elif not kwargs.keys() <= _OF_STREAMS:
        check_host(host)
        reader, writer = await asyncio.open_connection(host, checked_port(port), *args, **kwargs)
    else:
        from sipyco_rpc.net.asyncio_connect import open_socket

        if kwargs.get("ssl"):
            kwargs.setdefault("server_hostname", server_name(host))
        sock = await open_socket(host, port)
        try:
            set_keepalive(sock, after_idle, interval, max_fails)
        except BaseException:
            sock.close()
            raise
        return await asyncio.open_connection(*args, sock=sock, **kwargs)
    try:
        set_keepalive(writer.get_extra_info("socket"), after_idle, interval, max_fails)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer
