"""A whole program around a server: it serves until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sipyco_rpc._admission import HANDSHAKE_TIMEOUT
from sipyco_rpc._server import Server
from sipyco_rpc.framing import MAX_LINE
from sipyco_rpc.signals import SignalHandler

if TYPE_CHECKING:
    from sipyco_rpc.tls import SimpleSSLConfig


async def _serve(
    server: Server,
    host: str | list[str] | None,
    port: int,
    ssl_config: SimpleSSLConfig | None,
    certificates: dict[str, str | None],
) -> None:
    signals = SignalHandler()
    signals.setup()
    try:
        await server.start(host, port, ssl_config, **certificates)
        try:
            waiting = {
                asyncio.ensure_future(signals.wait_terminate()),
                asyncio.ensure_future(server.wait_terminate()),
            }
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.wait(waiting)
        finally:
            await server.stop()
    finally:
        signals.teardown()


def simple_server_loop(
    targets: Mapping[str, Any],
    host: str | list[str] | None,
    port: int,
    description: str | None = None,
    allow_parallel: bool = False,
    ssl_config: SimpleSSLConfig | None = None,
    *,
    loop: asyncio.AbstractEventLoop | None = None,
    local_cert: str | None = None,
    local_key: str | None = None,
    peer_cert: str | None = None,
    threaded: bool = False,
    max_line: int = MAX_LINE,
    plain_float64: bool = False,
    frames: bool = True,
    allowed_methods: Mapping[str, Iterable[str]] | None = None,
    max_connections: int | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    builtin_terminate: bool = True,
) -> None:
    """Serve targets until Ctrl-C, SIGTERM, SIGHUP (where there is one) or a `terminate()`.

        simple_server_loop({"lda": Lda()}, "::1", 3253)

    Args:
        targets: objects by their names, as for `Server`.
        description: as for `Server`.
        allow_parallel: as for `Server`.
        threaded: as for `Server`.
        max_line: as for `Server`.
        plain_float64: as for `Server`.
        frames: as for `Server`.
        allowed_methods: as for `Server`.
        max_connections: as for `Server`.
        handshake_timeout: as for `Server`.
        builtin_terminate: offer every client the method `terminate`, which ends the program.
        host: address to listen on, or a list of them; None for all.
        port: TCP port to listen on.
        ssl_config: for TLS that trusts certificates.
        loop: the event loop to run in; by default one is made, and closed in the end.
        local_cert: path of our certificate, a PEM file, for TLS. Not with `ssl_config`.
        local_key: path of its private key.
        peer_cert: path of the certificates to trust.

    Raises:
        OSError: the address cannot be listened on; or an error of TLS.
    """

    async def serve() -> None:
        server = Server(
            targets,
            description,
            builtin_terminate=builtin_terminate,
            allow_parallel=allow_parallel,
            threaded=threaded,
            max_line=max_line,
            plain_float64=plain_float64,
            frames=frames,
            allowed_methods=allowed_methods,
            max_connections=max_connections,
            handshake_timeout=handshake_timeout,
        )
        certificates = {
            "local_cert": local_cert,
            "local_key": local_key,
            "peer_cert": peer_cert,
        }
        await _serve(server, host, port, ssl_config, certificates)

    if loop is None:
        asyncio.run(serve())
    else:
        loop.run_until_complete(serve())
