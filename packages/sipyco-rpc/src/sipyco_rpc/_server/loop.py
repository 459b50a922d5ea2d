"""A whole program around a server: it serves until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sipyco_rpc._server.server import Server
from sipyco_rpc.limits import HANDSHAKE_TIMEOUT, MAX_LINE
from sipyco_rpc.net.signals import SignalHandler, Terminated

if TYPE_CHECKING:
    from sipyco_rpc.net.tls import SimpleSSLConfig


T = TypeVar("T")


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
    properties: bool | Mapping[str, bool | Iterable[str]] = False,
    status: bool = True,
    error_log_level: int | None = logging.WARNING,
    max_connections: int | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    builtin_terminate: bool = True,
) -> None:
    """Serve targets until Ctrl-C, SIGTERM, SIGHUP (where there is one) or a `terminate()`.

        simple_server_loop({"lda": Lda()}, "::1", 3253)

    A signal that comes while a method runs ends the program when that returns; a second one ends
    the method, too: see `SignalHandler`. In a thread that is not the main one there are no
    signals. Where a method raises `SystemExit`, this does with the same status, unless that is 0.

    Args:
        targets: objects by their names, as for `Server`.
        description: as for `Server`.
        allow_parallel: as for `Server`.
        threaded: as for `Server`.
        max_line: as for `Server`.
        plain_float64: as for `Server`.
        frames: as for `Server`.
        allowed_methods: as for `Server`.
        properties: as for `Server`.
        status: as for `Server`.
        error_log_level: as for `Server`; here what methods raise is a warning by default.
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
        SystemExit: a method did so.
        KeyboardInterrupt: a second Ctrl-C ended a method; so does `SystemExit` for other signals.
    """

    async def serve() -> BaseException | None:
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
            properties=properties,
            status=status,
            error_log_level=error_log_level,
            max_connections=max_connections,
            handshake_timeout=handshake_timeout,
        )
        signals = SignalHandler()
        signals.setup()
        try:
            async with server:
                await server.start(
                    host,
                    port,
                    ssl_config,
                    local_cert=local_cert,
                    local_key=local_key,
                    peer_cert=peer_cert,
                )
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
            signals.teardown()
        if signals.interruption is not None:
            return signals.interruption
        return SystemExit(server.exit_code) if server.exit_code else None

    try:
        end = asyncio.run(serve()) if loop is None else _run_in(loop, serve())
    except Terminated as exc:
        end = exc
    if isinstance(end, Terminated):
        # Not as it is: Python 3.14 gives whatever is a KeyboardInterrupt the status of SIGINT.
        end = SystemExit(end.code)
    if end is not None:
        raise end


def _run_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of somebody else, and end it where Ctrl-C ends the loop."""
    task = loop.create_task(work)
    try:
        return loop.run_until_complete(task)
    except (KeyboardInterrupt, SystemExit):
        task.cancel()
        loop.run_until_complete(asyncio.wait({task}))
        raise
