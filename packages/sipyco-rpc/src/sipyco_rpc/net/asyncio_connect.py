"""Connections of asyncio to hosts of which some addresses may be dead. No TLS, no protocol here.

asyncio can do that itself; uvloop cannot.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from sipyco_rpc.net.connect import Attempt, addresses_of
from sipyco_rpc.net.errors import connect_error

if TYPE_CHECKING:
    from sipyco_rpc.net.connect import Address


async def open_socket(host: str, port: int, timeout: float | None = None) -> socket.socket:
    """Connect to a host; see `connect.open_socket`.

    Returns:
        A socket that does not block.
    """
    attempt = Attempt(host, port, timeout)
    try:
        async with asyncio.timeout(attempt.timeout):
            attempt.addresses = addresses_of(await _look_up(host, attempt.port))
            sock = await _race(attempt)
    except TimeoutError as exc:
        raise attempt.too_late() from exc
    except socket.gaierror as exc:
        raise connect_error(exc, attempt.where) from exc
    if sock is None:
        raise attempt.failed()
    return sock


async def _look_up(host: str, port: int) -> list[tuple[Any, ...]]:
    numeric = socket.AI_NUMERICHOST
    try:
        # It does not wait for anything; the loop would take a thread for it.
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric))
    except socket.gaierror:
        pass  # it is a name
    loop = asyncio.get_running_loop()
    try:
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except RuntimeError as exc:
        # The system has no thread for asyncio to look the name up in; it may have one later.
        raise OSError(f"could not look up {host!r}: {exc}") from exc


async def _race(attempt: Attempt) -> socket.socket | None:
    """Return the first connection that is made, and close the others; None if there is none."""
    pending: set[asyncio.Task[None]] = set()
    connected: list[socket.socket] = []
    winner = None
    try:
        try:
            await _try_addresses(attempt, pending, connected)
        finally:
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.wait(pending)
        if connected:
            winner = connected.pop(0)
    finally:
        for sock in connected:
            sock.close()
    return winner


async def _try_addresses(
    attempt: Attempt, pending: set[asyncio.Task[None]], connected: list[socket.socket]
) -> None:
    """Try one address after another, each with a head start, until one is connected."""
    untried = attempt.addresses[::-1]
    while not connected and (untried or pending):
        if untried:
            connecting = _connect(untried.pop(), attempt.errors, connected)
            pending.add(asyncio.create_task(connecting))
        done, _ = await asyncio.wait(
            pending,
            timeout=attempt.head_start if untried else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        pending -= done
        for task in done:
            task.result()


async def _connect(
    address: Address, errors: dict[Address, OSError], connected: list[socket.socket]
) -> None:
    """Connect to one address, or keep its error."""
    family, where = address
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        errors[address] = exc
        return
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException as exc:
        sock.close()
        if not isinstance(exc, OSError):
            raise
        errors[address] = exc
    else:
        connected.append(sock)
