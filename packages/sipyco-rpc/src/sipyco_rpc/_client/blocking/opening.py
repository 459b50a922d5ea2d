"""How a `Client` that reconnects is set up. What that takes to load, others do without."""

from __future__ import annotations

from sipyco_rpc._client.attempts import checked_reconnect
from sipyco_rpc._client.blocking.lasting import LastingConnection
from sipyco_rpc._client.blocking.wary import WaryConnection
from sipyco_rpc.net.tls import client_ssl_contexts
from sipyco_rpc.support.validation import checked_timeout, format_address

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sipyco_rpc._client.attempts import StateCallback
    from sipyco_rpc._client.blocking.connection import BlockingConnection
    from sipyco_rpc.wire.client_session import ClientSession
    from sipyco_rpc.wire.session import AutoTarget


def lasting_connection(
    address: tuple[str, int],
    target_name: str | type[AutoTarget] | None,
    timeout: float | None,
    tls: tuple[Any, ...],
    max_line: int,
    key: object,
    reconnect: float | None,
    state_cb: StateCallback | None,
    session_cb: Callable[[LastingConnection, ClientSession], None],
) -> LastingConnection:
    """Connect for a `Client`, whose parameters these are; see `LastingConnection`."""
    timeout, patience = checked_timeout(timeout), checked_reconnect(reconnect, state_cb)
    assert patience is not None
    contexts = client_ssl_contexts(*tls)

    def open_connection(
        seconds: float,
        begin: Callable[[BlockingConnection], None],
        abandoned: Callable[[], bool],
    ) -> BlockingConnection:
        limit = (True, seconds)
        return WaryConnection(
            begin, *address, seconds, contexts(), max_line, key, limit, abandoned
        )

    where = format_address(*address)
    return LastingConnection(
        key, where, target_name, open_connection, patience, timeout, state_cb, session_cb
    )
