"""How a connection of the asyncio client is made, up to the names of methods. No calls here."""

from __future__ import annotations

import asyncio
import ssl
import time

from sipyco_rpc._client.aio.connection import AsyncioConnection
from sipyco_rpc.net.errors import before_greeting, timeout_error
from sipyco_rpc.net.keepalive import async_protocol, async_socket
from sipyco_rpc.support.lost import ConnectionLost
from sipyco_rpc.support.validation import format_address
from sipyco_rpc.wire.session import AutoTarget


async def open_connection(
    address: tuple[str, int],
    target_name: str | type[AutoTarget] | None,
    seconds: float | None,
    context: ssl.SSLContext | None,
    max_line: int,
    timeout: float | None,
    key: object,
) -> AsyncioConnection:
    """Connect to a server, and select a target.

    Args:
        address: its host and port.
        target_name: the target, or None for none yet.
        seconds: for all of it, or None.
        context: for TLS, or None.
        max_line: as for `AsyncioConnection`.
        timeout: of its calls, likewise.
        key: likewise.
    """
    where = format_address(*address)
    started = time.monotonic()
    sock = await async_socket(*address, seconds)
    limit = None if seconds is None else started + seconds - time.monotonic()
    try:
        async with asyncio.timeout(limit):
            connection = await async_protocol(
                lambda: AsyncioConnection(where, max_line, timeout, key), sock, *address, context
            )
            connection.sock = sock
            greeted = False
            try:
                session = connection.session
                session.receive_identification(await connection.exchange(session.hello))
                greeted = True
                if target_name is not None:
                    await connection.select(target_name)
            except BaseException as exc:
                connection.close(at_once=True)
                await connection.wait_closed()
                if isinstance(exc, ConnectionLost) and not greeted:
                    raise before_greeting(exc, context is not None) from exc.__cause__
                raise
    except TimeoutError as exc:
        raise timeout_error("connecting", where, started) from exc
    return connection
