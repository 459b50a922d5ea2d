"""The RPC server: what it serves, the locks and threads of calls, its connections. No bytes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sipyco_rpc._server.call_record import TargetCalls
from sipyco_rpc._server.connection import ServerConnection
from sipyco_rpc._server.error_log import ErrorLog, checked_level
from sipyco_rpc._server.listing import document_function
from sipyco_rpc._server.lock import CallLock
from sipyco_rpc._server.properties import checked_properties
from sipyco_rpc._server.service import Service
from sipyco_rpc._server.status import ConnectionReports
from sipyco_rpc._server.surprises import check_targets, log_surprises
from sipyco_rpc._server.target import Target, checked_allowed_methods
from sipyco_rpc._server.worker import Worker
from sipyco_rpc.limits import HANDSHAKE_TIMEOUT, LOGGED_CALLS, MAX_LINE, MAX_REASON
from sipyco_rpc.net.listening import port_of
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.support.notices import log_anyway
from sipyco_rpc.support.quoting import excerpt
from sipyco_rpc.support.status import bound_addresses, component_status, process_status, versions
from sipyco_rpc.wire.lines import LineReader
from sipyco_rpc.wire.server_handshake import check_target_names
from sipyco_rpc.wire.server_session import ServerSession

if TYPE_CHECKING:
    from sipyco_rpc.net.admission import ConnectionSlot

logger = logging.getLogger("sipyco.pc_rpc")


class Server(AsyncioServer):
    """Serve the methods of objects over TCP.

    Every public callable of a target can be called: names that start with `_` cannot, and
    properties are never evaluated, unless `properties` offers them. Coroutine methods are awaited.
    What a generator gives, plain or asynchronous, is sent item by item, as the client asks for it.
    Without `allow_parallel` one call runs at a time, whatever the number of clients; connecting
    and listing never wait.

    A target may be a client of another server (`Client`, `AsyncioClient`, `BestEffortClient`):
    then its remote methods are offered, generators among them, with their signatures and
    docstrings, and what a class of yours derived from a client adds; none of the client's own,
    such as `close_rpc`. What is called while it is not connected is the client's error.

    Args:
        targets: objects by their names. A callable one makes an object for each connection; what
            that raises is raised by the client, and logged.
        description: free text that clients may read, or None.
        builtin_terminate: offer a method `terminate` that ends `wait_terminate`.
        allow_parallel: let calls run at the same time; those of one connection only if it uses
            frames, otherwise they are answered in order.
        threaded: run plain (not coroutine) methods in one thread for each target, so that a
            driver that blocks holds up nothing but its own target. Calls are then ordered for
            each target by itself.
        max_line: longest request to accept, in bytes; a longer one is answered with an error.
        plain_float64: send `numpy.float64` scalars as plain JSON numbers, as older servers do.
        frames: offer frames, with which arrays travel as raw memory and calls of one client need
            not wait for each other. Clients that do not know them never notice.
        allowed_methods: for some targets, by their names, the names of the only methods that can
            be called; the others are not listed either. None for all public methods of all. The
            built-in `terminate` is not one of theirs.
        status: tell clients who ask (`get_rpc_status`) what the server knows of itself: its calls,
            connections and process. An allow-list does not stand in the way of that.
        error_log_level: level of `logging` at which the log tells what methods raise: the first
            time with the traceback, then how often. None for not at all.
        properties: offer clients the properties of the targets, to be read and set as attributes:
            True for all public ones of all, or for some targets, by their names, True or the names
            of those that are offered; plain attributes can be named there, too. Getters and
            setters run when a client asks, as methods do: with the lock, in the thread. Where
            `allowed_methods` has a list, True means the properties that are on it. Clients that
            do not know of them never notice.
        max_connections: see `AsyncioServer`; a client is established with its target.
        handshake_timeout: see `AsyncioServer`.

    Attributes:
        exit_code: what a method gave to `sys.exit` that ended the server by it; None otherwise.

    Raises:
        ValueError: a target name has white space in it; the description is not a string; an
            allowed method, or a property that is to be offered, is not there; or with such limits
            nobody could be served.
    """

    _offers = "call its methods"
    _logger = logger

    def __init__(
        self,
        targets: Mapping[str, Any],
        description: str | None = None,
        builtin_terminate: bool = False,
        allow_parallel: bool = False,
        *,
        threaded: bool = False,
        max_line: int = MAX_LINE,
        plain_float64: bool = False,
        frames: bool = True,
        allowed_methods: Mapping[str, Iterable[str]] | None = None,
        status: bool = True,
        error_log_level: int | None = logging.INFO,
        properties: bool | Mapping[str, bool | Iterable[str]] = False,
        max_connections: int | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        super().__init__(max_connections=max_connections, handshake_timeout=handshake_timeout)
        check_targets(targets)
        check_target_names(targets)
        if description is not None and not isinstance(description, str):
            raise ValueError(f"a description is a str or None, got {description!r}")
        LineReader(max_line)  # refuses a limit that makes no sense now, not at a client's expense
        self.targets = targets
        self.description = description
        self.builtin_terminate = builtin_terminate
        self._properties = checked_properties(targets, properties)
        self._new_session = partial(
            ServerSession,
            plain_float64=plain_float64,
            frames=frames,
            status=status,
            properties=any(self._properties.values()),
            max_message=max_line,
        )
        self._options = {
            "allow_parallel": allow_parallel,
            "threaded": threaded,
            "frames": frames,
            "plain_float64": plain_float64,
            "builtin_terminate": builtin_terminate,
            "max_line_bytes": max_line,
            "handshake_timeout_seconds": handshake_timeout,
        }
        self._allowed_methods = checked_allowed_methods(targets, allowed_methods, self._properties)
        log_surprises(targets, self._allowed_methods, builtin_terminate)
        self.exit_code: str | int | None = None
        self._allow_parallel = allow_parallel
        self._threaded = threaded
        self._error_log_level = checked_level(error_log_level)
        self._begin_calls()

    @staticmethod
    def _document_function(function: Callable[..., Any]) -> tuple[dict[str, Any], str | None]:
        """Return the pair (argspec, docstring) of a function; programs use this one."""
        return document_function(function)

    async def wait_terminate(self) -> None:
        """Wait until a client has called `terminate`, or a method raised `SystemExit`.

        `exit_code` then has what it was raised with; programs of yours may pass it on to
        `sys.exit`, as `simple_server_loop` does.
        """
        await self._terminated.wait()

    def _activity(self) -> str:
        return f"serving {excerpt(', '.join(self.targets), MAX_REASON) or 'no target'}"

    def bound_port(self) -> int:
        """Return the TCP port that it listens on, also where 0 was asked for.

        Raises:
            RuntimeError: it does not listen.
        """
        if self.server is None:
            raise RuntimeError("the server does not listen: it was not started, or has stopped")
        return port_of(self.server)

    def _calls_under_way(self) -> str:
        """Describe the calls that run, or wait for their turn, if there are any; in any thread."""
        records = [record for calls in self._calls.values() for record in list(calls.under_way)]
        shown = [record.describe() for record in records if not record.suspended]
        if len(shown) > LOGGED_CALLS:
            shown[LOGGED_CALLS:] = [f"and {len(shown) - LOGGED_CALLS} more"]
        return ", ".join(shown)

    def _announce_ready(self) -> None:
        """Say that it is ready, if that has not been said as it began to listen."""

    def _terminate(self, reason: str) -> None:
        """End `wait_terminate`, and say why; only the first reason counts."""
        if not self._terminated.is_set():
            self._terminated.set()
            self._stopping(f"stopping: {reason}")

    def _stopping(self, text: str) -> None:
        """Say that it has been told to stop."""
        log_anyway(self._logger, logging.INFO, "%s", text)

    def _begin_calls(self) -> None:
        self._terminated = asyncio.Event()
        shared = CallLock()
        self._locks = {name: CallLock() if self._threaded else shared for name in self.targets}
        self._calls = {name: TargetCalls(name) for name in self.targets}
        self._error_log = ErrorLog(self._error_log_level)
        self._reports = ConnectionReports()
        self._workers: dict[str, Worker] = {}
        # Those that were stopped: what they still do, a driver that is stuck, is done first.
        self._former: dict[str, Worker] = {}

    def _begin_anew(self) -> None:
        former = {**self._former, **self._workers}
        for worker in self._workers.values():
            worker.stop()
        super()._begin_anew()
        self._begin_calls()
        self._former = former

    def _flush_logs(self) -> None:
        super()._flush_logs()
        self._error_log.flush()

    def _after_fork(self) -> asyncio.AbstractEventLoop | None:
        loop = super()._after_fork()
        self._former.clear()  # their threads are not there, or are this one
        return loop

    def _prepare_start(self, loop: asyncio.AbstractEventLoop) -> None:
        super()._prepare_start(loop)
        if self._terminated.is_set():
            self._terminated = asyncio.Event()

    async def stop(self) -> None:
        """Stop listening and close all connections, in bounded time. May be repeated."""
        try:
            await super().stop()
        finally:
            for worker in self._workers.values():
                worker.stop()
            self._former.update(self._workers)
            self._workers.clear()

    def _new_handler(self, slot: ConnectionSlot) -> ServerConnection:
        make_target = partial(self._make_target, slot.peer)
        service = Service(
            self._log_limiter, self._error_log, make_target, self._exits, self._status
        )
        session = self._new_session(self.targets, self.description)
        handler = ServerConnection(session, slot, service)
        self._reports.add(slot, handler.report)
        return handler

    def _handler_done(self, task: asyncio.Task[None]) -> None:
        self._reports.remove(self._handlers.get(task))
        super()._handler_done(task)

    def _status(self) -> dict[str, Any]:
        """Tell what the server knows of itself; `docs/reference/status.md` has the keys."""
        limits = {**self._options, "max_connections": self._admission.maximum}
        return {
            **self._reports.status(),
            "description": self.description,
            "addresses": bound_addresses(self.server),
            "targets": {name: calls.status() for name, calls in self._calls.items()},
            "limits": limits,
            "versions": versions(),
            "process": process_status(),
            **component_status(),
        }

    def _make_target(self, peer: str, name: str) -> Target:
        """Make the target of a connection; a constructor may raise anything."""
        served = self.targets[name]
        lock = self._locks[name]
        terminate = partial(self._terminate, f"`terminate` called by {peer}")
        target = Target(
            name,
            served() if callable(served) else served,
            self._allowed_methods.get(name),
            terminate=terminate if self.builtin_terminate else None,
            lock=None if self._allow_parallel else lock,
            thread_lock=lock if self._threaded else None,
            worker=partial(self._worker, name),
            calls=self._calls[name],
            properties=self._properties.get(name, False),
        )
        logger.debug("%s has selected the target `%s`", peer, name)
        return target

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            self._workers[name] = Worker(f"calls of {name}", self._former.pop(name, None))
        return self._workers[name]

    def _exits(self, exc: BaseException, what: str) -> bool:
        """Have the server stop if this is the `sys.exit` of a method; tell whether it is."""
        if not isinstance(exc, SystemExit) or not self.builtin_terminate:
            return False
        self.exit_code = exc.code
        self._terminate(f"{what} raised SystemExit")
        return True
