"""TCP connections, optionally with TLS, that notice when the other side has vanished.

Small packets are not delayed. All clients connect here, whether they block or use asyncio.
"""

from __future__ import annotations

import socket
import time

from sipyco_rpc.net.connect import open_socket
from sipyco_rpc.net.errors import handshake_error, timeout_error
from sipyco_rpc.net.tls import server_name
from sipyco_rpc.net.workarounds import clear_tls_errors
from sipyco_rpc.support.validation import check_host, checked_port, format_address

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Awaitable, Callable
    from typing import Any, Final, TypeVar

    T = TypeVar("T")
    P = TypeVar("P", bound=asyncio.BaseProtocol)

__all__ = ["async_open_connection", "create_connection", "set_keepalive"]  # for programs

# A peer that lost its power is noticed within 10 + 3 * 10 seconds.
AFTER_IDLE: Final = 10  # seconds without traffic before the first probe
INTERVAL: Final = 10  # seconds between probes
MAX_FAILS: Final = 3  # probes without an answer before the connection is given up

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
    if kwargs.pop("all_errors", False):
        check_host(host)
        address = host, checked_port(port)
        sock = socket.create_connection(address, *args, all_errors=True, **kwargs)
    else:
        sock = open_socket(host, port, *args, **kwargs)
    try:
        set_keepalive(sock, after_idle, interval, max_fails)
    except BaseException:
        sock.close()
        raise
    return sock


def connect(
    host: str,
    port: int,
    timeout: float | None,
    context: ssl.SSLContext | None,
    abandoned: Callable[[], bool] | None = None,
) -> socket.socket:
    """Connect with keepalive on, optionally with TLS.

    The timeout is for all addresses together, then for each step of the TLS handshake, and stays
    that of the socket. What `abandoned` is for, `open_socket` says.

    Raises:
        ValueError: an argument makes no sense.
        OSError: no connection could be made; the text says where to.
    """
    sock = create_connection(host, port, timeout, abandoned=abandoned)
    if context is None:
        return sock
    where = format_address(host, port)
    started = time.monotonic()
    try:
        sock = secured = context.wrap_socket(
            sock, server_hostname=server_name(host), do_handshake_on_connect=False
        )
        secured.do_handshake()
    except BaseException as exc:
        sock.close()
        clear_tls_errors()
        if isinstance(exc, TimeoutError):
            raise timeout_error("the TLS handshake", where, started) from exc
        if isinstance(exc, OSError):
            raise handshake_error(exc, where) from exc
        raise
    return sock


async def async_socket(
    host: str, port: int, timeout: float | None, *settings: int | None
) -> socket.socket:
    """Connect a socket for asyncio, with the settings of `set_keepalive`; see `open_socket`."""
    from sipyco_rpc.net import asyncio_connect

    sock = await asyncio_connect.open_socket(host, port, timeout)
    try:
        set_keepalive(sock, *settings)
    except BaseException:
        sock.close()
        raise
    return sock


async def async_protocol(
    new_protocol: Callable[[], P],
    sock: socket.socket,
    host: str,
    port: int,
    context: ssl.SSLContext | None,
) -> P:
    """Give a socket that is connected to a host to a protocol of asyncio, optionally with TLS.

    Raises:
        OSError: the TLS handshake failed; the text says with whom.
    """
    import asyncio

    name = None if context is None else server_name(host)
    loop = asyncio.get_running_loop()
    opening = loop.create_connection(new_protocol, sock=sock, ssl=context, server_hostname=name)
    _, protocol = await _with_texts(opening, host, port)
    return protocol


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

    if kwargs.keys() <= _OF_STREAMS:
        if kwargs.get("ssl"):
            kwargs.setdefault("server_hostname", server_name(host))
        sock = await async_socket(host, port, None, after_idle, interval, max_fails)
        return await _with_texts(asyncio.open_connection(*args, sock=sock, **kwargs), host, port)
    if kwargs.get("sock") is None:
        check_host(host)
        port = checked_port(port)
    reader, writer = await asyncio.open_connection(host, port, *args, **kwargs)
    try:
        set_keepalive(writer.get_extra_info("socket"), after_idle, interval, max_fails)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def _with_texts(connection: Awaitable[T], host: str, port: int) -> T:
    """Wait for a connection that asyncio makes of a socket; say in errors where to."""
    try:
        return await connection
    except TimeoutError:
        raise  # of whoever limits this; the handshake itself is ended by a ConnectionAbortedError
    except OSError as exc:
        raise handshake_error(exc, format_address(host, port)) from exc
