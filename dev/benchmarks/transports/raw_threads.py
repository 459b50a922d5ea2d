"""The bytes of a small call through a thread for each connection: what blocking sockets can do."""

from __future__ import annotations

import socket
import threading

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST
from dev.benchmarks.transports.raw_asyncio import EchoDriver

__all__ = ["EchoDriver", "serve"]


def _answer(sock: socket.socket) -> None:
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := sock.recv(65536):
            sock.sendall(data)


def serve() -> None:
    """Serve for ever."""
    with socket.create_server((HOST, 0)) as server:
        announce(server.getsockname()[1])
        while True:
            sock, _ = server.accept()
            threading.Thread(target=_answer, args=(sock,), daemon=True).start()
