"""What clients ask a server about itself, by its connection of either kind. No methods here."""

from __future__ import annotations

import time

from sipyco_rpc._client.timeouts import limit_of
from sipyco_rpc.support.lost import ConnectionLost

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Any, Final

    from sipyco_rpc._client.aio.connection import AsyncioConnection
    from sipyco_rpc._client.blocking.connection import BlockingConnection

ASKING: Final = "asking for the status"
PING: Final = "ping"

# A note to the error of a connection that ends in place of an answer.
_OLDER: Final = "A server of an older version may close the connection when it is asked for this."


def ask_status(connection: BlockingConnection) -> dict[str, Any]:
    """Ask for the server's status; errors are those of `exchange` and `receive_status`."""
    session = connection.session
    limit = limit_of(connection.key)
    try:
        message = connection.exchange(ASKING, limit, session.request, session.ask_status())
    except ConnectionLost as exc:
        if exc.sent:
            exc.add_note(_OLDER)
        raise
    return session.receive_status(message)


def ping(connection: BlockingConnection) -> float:
    """Measure how long a request and its answer take, in seconds; errors are of `exchange`."""
    session = connection.session
    limit = limit_of(connection.key)
    started = time.perf_counter()
    message = connection.exchange(PING, limit, session.request, session.ping())
    seconds = time.perf_counter() - started
    session.receive_pong(message)
    return seconds


async def ask_status_async(connection: AsyncioConnection) -> dict[str, Any]:
    """Do what `ask_status` does."""
    session = connection.session
    exchange = connection.exchange(session.request, session.ask_status())
    try:
        message = await connection.limited(ASKING, exchange)
    except ConnectionLost as exc:
        if exc.sent:
            exc.add_note(_OLDER)
        raise
    return session.receive_status(message)


async def ping_async(connection: AsyncioConnection) -> float:
    """Do what `ping` does."""
    session = connection.session
    started = time.perf_counter()
    message = await connection.limited(PING, connection.exchange(session.request, session.ping()))
    seconds = time.perf_counter() - started
    session.receive_pong(message)
    return seconds
