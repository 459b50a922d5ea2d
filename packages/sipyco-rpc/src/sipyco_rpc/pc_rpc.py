"""Remote procedure calls: make the methods of an object callable from other programs.

`Server` or `simple_server_loop` serve objects; `Client`, `AsyncioClient` and `BestEffortClient`
call their methods as if they were local. Arguments and results are whatever `sipyco_pyon` can
write, NumPy arrays included.

This module is the public face; the work is done in its neighbours.
"""

from __future__ import annotations

from sipyco_rpc._client.client import Client
from sipyco_rpc._client.remote_method import as_interface
from sipyco_rpc._client.timeouts import call_timeout
from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.support.lost import ConnectionLost
from sipyco_rpc.wire.exceptions import (
    GenericRemoteException,
    deregister_exception,
    register_exception,
)
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.session import AutoTarget, IncompatibleServer

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import socket
    from typing import Any

    from sipyco_rpc._client.asyncio_client import AsyncioClient
    from sipyco_rpc._client.best_effort import BestEffortClient
    from sipyco_rpc._client.progress import call_progress
    from sipyco_rpc._server.loop import simple_server_loop
    from sipyco_rpc._server.options import ServerLoopOptions
    from sipyco_rpc._server.server import Server
    from sipyco_rpc._server.serving import serve
    from sipyco_rpc._server.thread import ServerThread, serve_in_thread

__all__ = [
    "AsyncioClient",
    "AutoTarget",
    "BestEffortClient",
    "Client",
    "ConnectionLost",
    "GenericRemoteException",
    "IncompatibleServer",
    "LineTooLong",
    "Server",
    "ServerLoopOptions",
    "ServerThread",
    "SimpleSSLConfig",
    "as_interface",
    "call_progress",
    "call_timeout",
    "deregister_exception",
    "register_exception",
    "serve",
    "serve_in_thread",
    "simple_server_loop",
]

# asyncio and logging take longer to load than all the rest: a script that uses `Client` does
# without.
_LAZY = {
    "AsyncioClient": "sipyco_rpc._client.asyncio_client",
    "BestEffortClient": "sipyco_rpc._client.best_effort",
    "call_progress": "sipyco_rpc._client.progress",
    "Server": "sipyco_rpc._server.server",
    "ServerLoopOptions": "sipyco_rpc._server.options",
    "ServerThread": "sipyco_rpc._server.thread",
    "serve": "sipyco_rpc._server.serving",
    "serve_in_thread": "sipyco_rpc._server.thread",
    "simple_server_loop": "sipyco_rpc._server.loop",
}

# The address that peers read in exceptions, and that pickles hold: it lasts when a file moves.
_OF_PACKED_EXCEPTIONS = {"GenericRemoteException", "deregister_exception", "register_exception"}
for _name in set(__all__) - {*_OF_PACKED_EXCEPTIONS, *_LAZY}:
    globals()[_name].__module__ = __name__


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_LAZY[name]), name)
    value.__module__ = __name__
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def _socket_readline(sock: socket.socket, bufsize: int = 4096) -> str:
    """Read one line from a socket.

    Nothing here calls it: programs in the field know this name, and one replaces it.
    """
    received = bytearray()
    while not received.endswith(b"\n"):
        byte = sock.recv(1)  # one at a time, so that nothing after the line is swallowed
        if not byte:
            raise EOFError("the connection was closed before a full line was received")
        received += byte
    return received[:-1].decode()
