"""Connects a blocking client: a socket, with TLS or without. No messages here."""

from __future__ import annotations

import time

from sipyco_rpc._client.timeouts import timeout_error
from sipyco_rpc.net.connect import connect_error
from sipyco_rpc.net.keepalive import create_connection
from sipyco_rpc.net.tls import clear_tls_errors, server_name

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import socket
    import ssl


def connect(
    host: str, port: int, timeout: float | None, ssl_context: ssl.SSLContext | None, where: str
) -> socket.socket:
    """Connect, optionally with TLS; say in errors where to."""
    sock = create_connection(host, port, timeout)
    if ssl_context is None:
        return sock
    started = time.monotonic()
    try:
        secured = ssl_context.wrap_socket(
            sock, server_hostname=server_name(host), do_handshake_on_connect=False
        )
        sock = secured
        secured.do_handshake()
    except BaseException as exc:
        sock.close()
        clear_tls_errors()
        if isinstance(exc, TimeoutError):
            raise timeout_error("the TLS handshake", where, started) from exc
        if isinstance(exc, OSError):
            raise connect_error(exc, where) from exc
        raise
    return sock
