"""The bytes of a small call through a TLS connection made for it: blocking sockets and threads.

This is the limit of connecting with TLS: most of it is the handshake.
"""

from __future__ import annotations

import socket
import ssl
import threading

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, MESSAGE, Driver
from sipyco_rpc.net.tls import SimpleSSLConfig

__all__ = ["TlsDriver", "serve"]


def _answer(sock: socket.socket, context: ssl.SSLContext) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(sock, server_side=True) as secured:
        while data := secured.recv(65536):
            secured.sendall(data)


def serve(tls: dict[str, str]) -> None:
    """Serve for ever.

    Args:
        tls: the arguments of `SimpleSSLConfig`.
    """
    context = SimpleSSLConfig(**tls).create_server_context()
    with socket.create_server((HOST, 0)) as server:
        announce(server.getsockname()[1])
        while True:
            sock, _ = server.accept()
            threading.Thread(target=_answer, args=(sock, context), daemon=True).start()


class TlsDriver(Driver):
    """A blocking socket, and a context for each connection, as our clients make one."""

    def __init__(self, port: int, tls: dict[str, str]) -> None:
        super().__init__(port)
        self._config = SimpleSSLConfig(**tls)

    def connect_once(self) -> None:
        context = self._config.create_client_context()
        sock = socket.create_connection((HOST, self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(sock) as secured:
            secured.sendall(MESSAGE)
            left = len(MESSAGE)
            while left:
                left -= len(secured.recv(65536)) or left
