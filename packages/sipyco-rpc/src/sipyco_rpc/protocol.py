"""RPC conversations as bytes and messages. No sockets here.

`ClientSession` turns calls into bytes and messages into results; `ServerSession` is its mirror
image. Each holds what was agreed upon in the handshake (dialect, frames, target, methods) and
nothing else: sockets, threads, tasks and timeouts are the business of the shells around them.
"""

from __future__ import annotations

from sipyco_rpc._client_session import ClientSession, Stream
from sipyco_rpc._server_session import (
    CallRequest,
    CancelRequest,
    ListRequest,
    NextRequest,
    ServerSession,
    check_target_names,
)
from sipyco_rpc._session import BANNER, AutoTarget, IncompatibleServer, ProtocolError

__all__ = [
    "BANNER",
    "AutoTarget",
    "CallRequest",
    "CancelRequest",
    "ClientSession",
    "IncompatibleServer",
    "ListRequest",
    "NextRequest",
    "ProtocolError",
    "ServerSession",
    "Stream",
    "check_target_names",
]
