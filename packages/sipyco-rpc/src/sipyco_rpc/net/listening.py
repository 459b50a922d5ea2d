"""Addresses to listen on, and a connection until its handler has it. No protocol here."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from sipyco_rpc.support.validation import check_host, checked_port, format_address

logger = logging.getLogger("sipyco.tools")

# What a host without IPv6 answers when it is to listen on `::1`.
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def checked_addresses(
    host: str | Iterable[str] | None, port: int | None
) -> tuple[str | list[str] | None, int]:
    """Check what a server is to listen on, as `asyncio.start_server` takes it.

    Returns:
        The host, or a list of at least one; and the port.

    Raises:
        ValueError: a host or the port cannot be one, or there is no host.
    """
    if isinstance(host, str) or host is None:
        check_host(host or None)
    else:
        host = list(host)
        for each in host:
            check_host(each)
        if not host:
            raise ValueError("there is no address to listen on: the list of hosts is empty")
    return host, checked_port(0 if port is None else port, listening=True)


async def unresolved(
    host: str | list[str] | None, port: int, exc: socket.gaierror
) -> socket.gaierror:
    """Give the error of a host that has no address; it also says which one that is."""
    loop = asyncio.get_running_loop()
    for each in host if isinstance(host, list) else [host]:
        try:
            await loop.getaddrinfo(each, port, type=socket.SOCK_STREAM)
        except socket.gaierror as found:
            where = format_address(each, port)
            return socket.gaierror(found.errno, f"{found.strerror}: could not listen on {where}")
    return exc


def usable(hosts: list[str]) -> list[str]:
    """Leave out the IPv6 addresses that this host cannot have, with a warning for each."""
    found = []
    for host in hosts:
        if ":" in host:
            try:
                socket.create_server((host, 0), family=socket.AF_INET6).close()
            except OSError as exc:
                if exc.errno not in _NO_SUCH_ADDRESS:
                    raise
                logger.warning("not listening on %s: this host has no such address", host)
                continue
        found.append(host)
    return found or hosts


def warn_if_exposed(sockets: Iterable[Any], offers: str) -> None:
    """Log a warning for each address that other computers may reach.

    Args:
        sockets: are listened on without TLS.
        offers: what whoever connects can do there.
    """
    for sock in sockets:
        address, port, *_ = sock.getsockname()
        if not ipaddress.ip_address(address).is_loopback:
            logger.warning(
                "listening on %s without TLS: whoever can reach this computer can %s",
                format_address(address, port),
                offers,
            )


class Accepted(asyncio.Protocol):
    """Takes a connection until its handler has it.

    Args:
        accept: is called with the transport, and this.

    Attributes:
        early: what came before that; see `sipyco_rpc.net.workarounds.feed`.
        lost: whether the connection has ended before that.
    """

    def __init__(self, accept: Callable[[asyncio.Transport, Accepted], None]) -> None:
        self.early = b""
        self.lost = False
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        # Nothing should be read before the handler, or TLS, is there to take it.
        accepted.pause_reading()
        self._accept(accepted, self)

    def data_received(self, data: bytes) -> None:
        self.early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
