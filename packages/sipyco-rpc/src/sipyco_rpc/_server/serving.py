"""Serves from the start of a server to its end, for a task, a thread or a program."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sipyco_rpc._server.server import Server
from sipyco_rpc.limits import STOP_TIMEOUT
from sipyco_rpc.net.port_file import port_file as written_port_file

if TYPE_CHECKING:
    from typing import Unpack

    from sipyco_rpc._server.options import Ready, ServerOptions
    from sipyco_rpc.net.tls import SimpleSSLConfig

logger = logging.getLogger("sipyco.pc_rpc")


async def serve(
    targets: Mapping[str, Any],
    host: str | list[str] | None,
    port: int,
    description: str | None = None,
    *,
    ssl_config: SimpleSSLConfig | None = None,
    local_cert: str | None = None,
    local_key: str | None = None,
    peer_cert: str | None = None,
    ready: Ready | None = None,
    port_file: str | os.PathLike[str] | None = None,
    **options: Unpack[ServerOptions],
) -> str | int | None:
    """Serve targets in the running event loop, until a `terminate()` or until it is cancelled.

    It is `simple_server_loop` for programs that have a loop already, such as notebooks, where
    signals are somebody else's:

        task = asyncio.create_task(serve({"lda": Lda()}, "::1", 3253))

    Args:
        targets: objects by their names, as for `Server`.
        host: as for `simple_server_loop`.
        port: as for `simple_server_loop`.
        description: as for `Server`.
        ssl_config: as for `simple_server_loop`.
        local_cert: as for `simple_server_loop`.
        local_key: as for `simple_server_loop`.
        peer_cert: as for `simple_server_loop`.
        ready: as for `simple_server_loop`.
        port_file: as for `simple_server_loop`.
        **options: the other arguments of `Server`; `builtin_terminate` is True by default.

    Returns:
        What a method gave to `sys.exit` that ended it by that; None otherwise.

    Raises:
        OSError: the address cannot be listened on, or the port file not be written; or an error of
            TLS.
    """
    options.setdefault("builtin_terminate", True)
    server = Server(targets, description, **options)
    start = partial(
        server.start,
        host,
        port,
        ssl_config,
        local_cert=local_cert,
        local_key=local_key,
        peer_cert=peer_cert,
    )
    await run_server(server, start, ready, port_file)
    return server.exit_code


async def run_server(
    server: Server,
    start: Callable[[], Awaitable[None]],
    ready: Ready | None,
    port_file: str | os.PathLike[str] | None,
) -> None:
    """Start a server, and stop it when it has been told to terminate, or this is cancelled.

    Args:
        server: what is started.
        start: starts it.
        ready: is called when it listens, and the port file is there; or None.
        port_file: the file to have its port, or None for none.
    """
    async with server:
        await start()
        with written_port_file(port_file, server.bound_port()):
            server._announce_ready()
            try:
                if ready is not None:
                    await _unless_terminated(server, call_ready(ready, server))
                await server.wait_terminate()
            except asyncio.CancelledError:
                server._terminate("cancelled")
                raise
            finally:
                if calls := server._calls_under_way():
                    logger.warning("calls that are not waited for: %s", calls)


async def _unless_terminated(server: Server, work: Coroutine[Any, Any, None]) -> None:
    """Await what a program does once its server listens, or cancel it if that is to end."""
    task = asyncio.ensure_future(work)
    told = asyncio.ensure_future(server.wait_terminate())
    try:
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = task.done()
        for each in (task, told):
            each.cancel()
        await asyncio.wait({task, told}, timeout=STOP_TIMEOUT)
    if ended:
        task.result()


async def call_ready(ready: Ready, server: Server) -> None:
    """Call a program's function with a server that listens, and await what it returns."""
    result = ready(server)
    if inspect.isawaitable(result):
        await result
