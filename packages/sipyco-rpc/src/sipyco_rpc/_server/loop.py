"""A whole program around a server: it serves until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sipyco_rpc._server.server import Server
from sipyco_rpc._server.serving import run_server
from sipyco_rpc._server.stopping import ProgramSignals
from sipyco_rpc.limits import HANDSHAKE_TIMEOUT, MAX_LINE, STOP_SIGNAL_TIMEOUT
from sipyco_rpc.net.signals import Terminated
from sipyco_rpc.net.systemd import ServiceManager
from sipyco_rpc.support.notices import announce
from sipyco_rpc.support.one_line import tell_in_one_line
from sipyco_rpc.support.validation import checked_timeout

if TYPE_CHECKING:
    from sipyco_rpc._server.options import Ready
    from sipyco_rpc.net.tls import SimpleSSLConfig


T = TypeVar("T")

logger = logging.getLogger("sipyco.pc_rpc")


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
    status: bool = True,
    error_log_level: int | None = logging.WARNING,
    properties: bool | Mapping[str, bool | Iterable[str]] = False,
    max_connections: int | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    builtin_terminate: bool = True,
    ready: Ready | None = None,
    port_file: str | os.PathLike[str] | None = None,
    stop_timeout: float | None = STOP_SIGNAL_TIMEOUT,
) -> None:
    """Serve targets until Ctrl-C, SIGTERM, SIGHUP (where there is one) or a `terminate()`.

        simple_server_loop({"lda": Lda()}, "::1", 3253)

    One line says what is served, where, and who can reach it, and one why it stops: by the logger
    `sipyco.pc_rpc` at INFO, or on standard error where the program does not show such records;
    not at all if it does not show warnings either. systemd is told as well, if it asks for that.

    A signal that comes while a method runs in the main thread ends the program when that returns;
    a second one ends the method, too: see `SignalHandler`. A signal other than Ctrl-C does so by
    itself after `stop_timeout`, with the status of 128 and its number; the process is ended five
    seconds later if that does not help, as where code in C does not return. Methods in threads,
    and coroutines, are not waited for. What was under way is in the log. In a thread that is not
    the main one there are no signals. Where a method raises `SystemExit`, this does with the same
    status, unless that is 0.

    Args:
        targets: objects by their names, as for `Server`.
        description: as for `Server`.
        allow_parallel: as for `Server`.
        threaded: as for `Server`.
        max_line: as for `Server`.
        plain_float64: as for `Server`.
        frames: as for `Server`.
        allowed_methods: as for `Server`.
        status: as for `Server`.
        error_log_level: as for `Server`; here what methods raise is a warning by default.
        properties: as for `Server`.
        max_connections: as for `Server`.
        handshake_timeout: as for `Server`.
        builtin_terminate: offer every client the method `terminate`, which ends the program.
        host: address to listen on, or a list of them; None for all.
        port: TCP port to listen on; 0 for any that is free, which is then said.
        ssl_config: for TLS that trusts certificates.
        loop: the event loop to run in; by default one is made, and closed in the end.
        local_cert: path of our certificate, a PEM file, for TLS. Not with `ssl_config`.
        local_key: path of its private key.
        peer_cert: path of the certificates to trust.
        ready: is called with the `Server` when it listens, in the loop; a coroutine function is
            awaited, and cancelled when the server is to end. What it raises ends the server.
        port_file: path of a file to have the number of the port, and a newline, from when it can
            be used until it stops.
        stop_timeout: seconds that a method in the main thread may go on after SIGTERM or SIGHUP,
            before it is ended; None for no limit.

    Raises:
        OSError: the address cannot be listened on, or the port file not be written; or an error of
            TLS.
        RuntimeError: an event loop runs in this thread already, as it does in notebooks: use
            `serve_in_thread` or `serve`.
        SystemExit: a method did so.
        KeyboardInterrupt: a second Ctrl-C ended a method; so does `SystemExit` for other signals.
    """
    tell_in_one_line()
    server = ProgramServer(
        targets,
        description,
        builtin_terminate=builtin_terminate,
        allow_parallel=allow_parallel,
        threaded=threaded,
        max_line=max_line,
        plain_float64=plain_float64,
        frames=frames,
        allowed_methods=allowed_methods,
        status=status,
        properties=properties,
        error_log_level=error_log_level,
        max_connections=max_connections,
        handshake_timeout=handshake_timeout,
        stop_timeout=checked_timeout(stop_timeout, "stop_timeout"),
    )
    start = partial(
        server.start,
        host,
        port,
        ssl_config,
        local_cert=local_cert,
        local_key=local_key,
        peer_cert=peer_cert,
    )
    _check_no_loop_runs()
    work = _serve(server, partial(run_server, server, start, ready, port_file))
    try:
        end = asyncio.run(work) if loop is None else _run_in(loop, work)
    except Terminated as exc:
        end = exc
    finally:
        server.signals.close()
    if isinstance(end, Terminated):
        # Not as it is: Python 3.14 gives whatever is a KeyboardInterrupt the status of SIGINT.
        end = SystemExit(end.code)
    if end is not None:
        raise end


def _check_no_loop_runs() -> None:
    """Refuse to wait here, with the way out."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if asyncio.run.__module__ == "asyncio.runners":  # otherwise `nest_asyncio` has been here
        raise RuntimeError(
            "an event loop runs in this thread already, as in notebooks: use "
            "`serve_in_thread(…)` or `await serve(…)`, which take the same arguments"
        )


class ProgramServer(Server):
    """A server that is the whole of a program: it tells the person who runs it, and systemd."""

    def __init__(self, *args: Any, stop_timeout: float | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._address = ""  # what it serves, and where
        self.service_manager = ServiceManager()
        self.signals = ProgramSignals(stop_timeout, self._calls_under_way)

    def _listening(self, text: str) -> None:
        self._address = text  # it is said when all is there that programs wait for

    def _announce_ready(self) -> None:
        announce(self._logger, "%s", self._address)
        self.service_manager.ready(self._address)

    def _terminate(self, reason: str) -> None:
        super()._terminate(self.signals.caught or reason)

    def _stopping(self, text: str) -> None:
        announce(self._logger, "%s", text)
        self.service_manager.stopping(text)


async def _serve(
    server: ProgramServer, serve: Callable[[], Coroutine[Any, Any, None]]
) -> BaseException | None:
    """Serve until the program is to end; return what it is to end by."""
    signals = server.signals
    signals.setup()
    waiting = asyncio.ensure_future(_await_signal(server))
    try:
        await serve()
    finally:
        waiting.cancel()
        await asyncio.wait({waiting})
        signals.teardown()
        server.service_manager.close()
        if signals.interrupted:
            logger.warning("%s was ended by a second signal", signals.interrupted)
    if signals.interruption is not None:
        return signals.interruption
    return SystemExit(server.exit_code) if server.exit_code else None


async def _await_signal(server: ProgramServer) -> None:
    await server.signals.wait_terminate()
    server._terminate(server.signals.caught)


def _run_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of somebody else, and end it where Ctrl-C ends the loop."""
    task = loop.create_task(work)
    try:
        return loop.run_until_complete(task)
    except (KeyboardInterrupt, SystemExit):
        task.cancel()
        loop.run_until_complete(asyncio.wait({task}))
        raise
