"""Addresses to listen on. What is done with a connection is not known here."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Iterable
from typing import Any, Final

__all__: list[str] = []

logger = logging.getLogger("sipyco.tools")

# What a host without IPv6 answers when it is to listen on `::1`.
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


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


def open_to_others(sockets: Iterable[Any]) -> list[str]:
    """Return the addresses that other computers may reach, for a log record."""
    found = []
    for sock in sockets:
        address, port, *_ = sock.getsockname()
        if not ipaddress.ip_address(address).is_loopback:
            found.append(f"{address} port {port}")
    return found


def stop_accepting(server: asyncio.Server) -> None:
    """Leave new connections to the system, before the server is closed.

    asyncio loses the socket of a connection that it has accepted when the server is closed in the
    very next pass of the loop.
    """
    for sock in server.sockets:
        try:
            server.get_loop().remove_reader(sock.fileno())
        except (NotImplementedError, RuntimeError, ValueError):
            pass  # a loop that does not accept by readers: Windows' has none
