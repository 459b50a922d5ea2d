"""What `sipyco_logserver` does: receive records until it is told to stop, and store them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sipyco_rpc.net.listening import port_of
from sipyco_rpc.net.port_file import port_file
from sipyco_rpc.net.signals import SignalHandler
from sipyco_rpc.net.systemd import ServiceManager
from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.pc_rpc import Server as RPCServer
from sipyco_tools._limits import TERMINAL_CLOSE_TIMEOUT
from sipyco_tools._logging.records import SourceFilter
from sipyco_tools._logging.server import Server
from sipyco_tools._logstore.database import LogDatabase
from sipyco_tools._logstore.disk import may_pass
from sipyco_tools._logstore.files import LogFile, Terminal
from sipyco_tools._logstore.handler import QueuedHandler
from sipyco_tools._logstore.schema import NotALogDatabase
from sipyco_tools._logstore.writer import SinkError

logger = logging.getLogger("sipyco.logs")

SOURCE: Final = "sipyco_logserver"  # of the records of this program itself
_LOCALHOST: Final = ("127.0.0.1", "::1")


class CannotStart(Exception):
    """The text says why."""


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        bind: addresses to listen on, None for all.
        port: TCP port.
        ssl_config: for TLS, or None.
        max_connections: most connections, None for what descriptors allow.
        stores: where records are stored.
        printed: the least level of records that are printed, or None.
        own_level: the least level of this program's own records.
        status_port: the port of the RPC server that tells the status, or None.
        port_file: the file that is to have the number of the port, or None.
    """

    bind: Sequence[str] | None
    port: int
    ssl_config: SimpleSSLConfig | None
    max_connections: int | None
    stores: Sequence[LogDatabase | LogFile]
    printed: int | None
    own_level: int
    status_port: int | None
    port_file: str | None


class StoringServer(Server):
    """A log server that tells how storing goes, too.

    Args:
        stores: the handlers that store.
        max_connections: see `AsyncioServer`.

    Attributes:
        listening: on which addresses, and who can reach them.
    """

    def __init__(self, stores: Sequence[QueuedHandler], max_connections: int | None) -> None:
        super().__init__(max_connections=max_connections)
        self.listening = ""
        self._stores = stores

    def _listening(self, text: str) -> None:
        self.listening = text  # it is said with the rest, when all is ready

    def status(self) -> dict[str, Any]:
        """Tell what `Server.status` tells, and of each place where records are stored."""
        return {**super().status(), "stores": [store.status() for store in self._stores]}


class StatusOnly:
    """A log server; it has no methods, and answers the request for its status."""


class _StatusServer(RPCServer):
    def _listening(self, text: str) -> None:
        pass  # it is said with the rest


class _Signals(SignalHandler):
    def _say_caught(self, name: str) -> None:
        pass  # the log says it: standard output is for records


class _Foreign(logging.Filter):
    """Passes what other programs have logged, and this one has not."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.__dict__.get("source", SOURCE) != SOURCE)


def open_stores(stores: Sequence[LogDatabase | LogFile]) -> None:
    """Open the stores. A disk that is full now may have room later; all else is said at once.

    Raises:
        CannotStart: one cannot be opened.
    """
    for store in stores:
        try:
            store.open()
        except NotALogDatabase as exc:
            raise CannotStart(str(exc)) from exc
        except SinkError as exc:
            if not may_pass(exc.__cause__):
                raise CannotStart(f"{store.what} cannot be written: {exc}") from exc


def run(plan: Plan) -> int:
    """Serve until a signal; return how many records are lost for ever.

    Raises:
        CannotStart: a port cannot be listened on, or a certificate not be used.
    """
    stores = [QueuedHandler(store) for store in plan.stores]
    gone = asyncio.Event()
    serving = _Serving(plan, stores, gone)
    handlers = [*stores, *_terminals(plan, serving.nobody_looks)]
    root = logging.getLogger()
    level = root.level
    root.setLevel(1)
    for handler in handlers:
        handler.addFilter(SourceFilter(plan.own_level, SOURCE))
        root.addHandler(handler)
    try:
        asyncio.run(serving.serve())
    except OSError as exc:
        raise CannotStart(str(exc)) from exc
    finally:
        root.setLevel(level)
        close(handlers)
    return sum(store.status()["lost"] + store.status()["waiting"] for store in stores)


def close(handlers: Sequence[logging.Handler]) -> None:
    """Have handlers write what waits."""
    for handler in handlers:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _terminals(plan: Plan, gone: Any) -> list[QueuedHandler]:
    handlers = []
    if sys.stderr is not None:
        own = _shown_by(Terminal(sys.stderr, "standard error", _ignored))
        own.addFilter(lambda record: not _foreign.filter(record))
        handlers.append(own)
    if plan.printed is not None and sys.stdout is not None:
        printed = _shown_by(Terminal(sys.stdout, "standard output", gone))
        printed.setLevel(plan.printed)
        printed.addFilter(_foreign)
        handlers.append(printed)
    return handlers


def _shown_by(terminal: Terminal) -> QueuedHandler:
    return QueuedHandler(terminal, close_timeout=TERMINAL_CLOSE_TIMEOUT)


_foreign: Final = _Foreign()


def _ignored() -> None:
    """Go on: who has closed standard error does not want to hear of it."""


class _Serving:
    """The servers, and what ends them.

    Args:
        plan: what is asked for.
        stores: the handlers that store.
        gone: is set when nobody looks at what is printed.
    """

    def __init__(self, plan: Plan, stores: Sequence[QueuedHandler], gone: asyncio.Event) -> None:
        self._plan = plan
        self._stores = stores
        self._gone = gone
        self._service_manager = ServiceManager()
        self._loop: asyncio.AbstractEventLoop | None = None

    def nobody_looks(self) -> None:
        """End a server that only prints, when nobody reads it; in any thread."""
        if not self._stores and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._gone.set)
            except RuntimeError:
                pass  # it has ended already

    async def serve(self) -> None:
        """Serve until a signal comes."""
        plan = self._plan
        self._loop = asyncio.get_running_loop()
        signals = _Signals()
        signals.setup()
        try:
            async with StoringServer(self._stores, plan.max_connections) as server:
                await server.start(plan.bind, plan.port, plan.ssl_config)
                async with _StatusServer(
                    {SOURCE: StatusOnly()},
                    "the status of a log server",
                    allowed_methods={SOURCE: []},
                ) as status:
                    if plan.status_port is not None:
                        await status.start(_LOCALHOST, plan.status_port)
                    ready = self._ready(server, status)
                    assert server.server is not None
                    with port_file(plan.port_file, port_of(server.server)):
                        logger.info("%s", ready)
                        self._service_manager.ready(ready)
                        await self._wait(signals)
                    why = signals.caught or "nobody reads what it prints"
                    logger.info("stopping, with what has come until now: %s", why)
                    self._service_manager.stopping(why)
            logger.info("stopped; %d records were received", server.status()["received"])
        finally:
            signals.teardown()
            self._service_manager.close()

    async def _wait(self, signals: SignalHandler) -> None:
        waiting: set[asyncio.Future[Any]] = {
            asyncio.ensure_future(signals.wait_terminate()),
            asyncio.ensure_future(self._gone.wait()),
        }
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cancel(waiting)

    def _ready(self, server: StoringServer, status: RPCServer) -> str:
        """Say what is ready: where it listens, and where records are found."""
        parts = [server.listening]
        if self._plan.stores:
            parts.append(f"storing in {' and '.join(store.what for store in self._plan.stores)}")
        if self._plan.printed is not None:
            parts.append("printing what comes")
        if status.server is not None:
            parts.append(f"status on port {status.bound_port()}")
        return "; ".join(parts)


def cancel(tasks: set[asyncio.Future[Any]]) -> None:
    """Cancel tasks that are not needed any more."""
    for task in tasks:
        task.cancel()
