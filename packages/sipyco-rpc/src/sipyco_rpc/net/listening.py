"""Addresses to listen on, and a connection until its handler has it. No protocol here."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from sipyco_rpc.support.one_line import in_one_line
from sipyco_rpc.support.validation import check_host, checked_port, format_address

logger = logging.getLogger("sipyco.tools")

# Why an address cannot be listened on, and what to do.
_REASONS: Final = {
    errno.EADDRINUSE: "another program has this port, perhaps this one, started before: "
    "`{tool}` tells which",
    errno.EACCES: "the system keeps ports below 1024 for itself: take one from 1024 to 65535",
    errno.EADDRNOTAVAIL: "this computer has no such address: take one of its own",
}
_TOOLS: Final = {
    "linux": "ss -ltnp 'sport = :{port}'",
    "darwin": "lsof -nP -iTCP:{port} -sTCP:LISTEN",
}

# What a host without IPv6 answers when it is to listen on `::1`.
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)

_ATTEMPTS: Final = 20  # to find a port that is free on all addresses


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
    elif not isinstance(host, Iterable):
        check_host(host)  # refuses it
    else:
        host = list(host)
        for each in host:
            check_host(each)
        if not host:
            raise ValueError("there is no address to listen on: the list of hosts is empty")
    return host, checked_port(0 if port is None else port, listening=True)


def bound(server: asyncio.Server, host: str | list[str] | None) -> asyncio.Server:
    """Make sure that a server listens on all addresses that it was given; return it.

    Since Python 3.13, asyncio leaves out those that this computer does not have.
    """
    having = {
        ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]) for sock in server.sockets
    }
    for each in host if isinstance(host, list) else ():
        try:
            wanted = ipaddress.ip_address(each.partition("%")[0])
        except ValueError:
            continue  # a name
        if wanted not in having:
            server.close()
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return server


async def not_listening(host: str | list[str] | None, port: int, exc: OSError) -> OSError:
    """Give the error of a server that cannot listen: which address it is, and who may have it."""
    if isinstance(exc, socket.gaierror):
        return in_one_line(await unresolved(host, port, exc))
    hosts = [each or "all addresses" for each in (host if isinstance(host, list) else [host])]
    failing = _failing(hosts, port)
    # Since Python 3.13, asyncio gives no number where none of the addresses is there.
    number = exc.errno or next(iter(failing.values()), None)
    if number not in _REASONS:
        return exc
    found = [each for each in hosts if failing.get(each) == number] or hosts
    where = " and ".join(format_address(each, port) for each in found)
    tool = _TOOLS.get(sys.platform, "netstat -ano").format(port=port)
    reason = _REASONS[number].format(tool=tool)
    words = os.strerror(number)
    return in_one_line(OSError(number, f"{words}: could not listen on {where} ({reason})"))


def _failing(hosts: list[str], port: int) -> dict[str, int | None]:
    """Give the numbers of the errors of addresses that cannot be listened on."""
    failing = {}
    for each in hosts:
        family = socket.AF_INET6 if ":" in each else socket.AF_INET
        try:
            socket.create_server((each, port), family=family).close()
        except OSError as exc:
            failing[each] = exc.errno
    return failing


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


def describe_listening(sockets: Iterable[Any], tls: bool) -> str:
    """Say on which addresses a server listens, and who can reach it there.

    Args:
        sockets: are listened on.
        tls: whether a connection needs TLS.
    """
    addresses = sorted(sock.getsockname()[:2] for sock in sockets)
    local = all(ipaddress.ip_address(address).is_loopback for address, _ in addresses)
    where = " and ".join(format_address(*address) for address in addresses)
    reach = "this computer only" if local else "reachable from other computers"
    return f"{where} ({reach}, {'TLS' if tls else 'no TLS'})"


def port_of(server: asyncio.Server) -> int:
    """Return the port that a server listens on."""
    port: int = server.sockets[0].getsockname()[1]
    return port


async def listen(
    factory: Callable[[], asyncio.Protocol], host: str | list[str] | None, port: int
) -> asyncio.Server:
    """Listen on all addresses of the hosts, and on one port: also where it is any that is free.

    Raises:
        OSError: that cannot be.
    """
    loop = asyncio.get_running_loop()
    if port or (isinstance(host, list) and len(host) == 1):
        return await loop.create_server(factory, host, port)
    for _ in range(_ATTEMPTS):
        # The system gives each address a port of its own.
        server = await loop.create_server(factory, host, 0, start_serving=False)
        ports = [sock.getsockname()[1] for sock in server.sockets]
        server.close()
        try:
            return await loop.create_server(factory, host, ports[0])
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise  # otherwise it is in use on another address
    return await loop.create_server(factory, host, 0)


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
