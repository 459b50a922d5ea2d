"""The handler that sends log records to the log server, and never hurts the program."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any, Final
from weakref import ref

from sipyco_rpc.net.errors import reason_of
from sipyco_rpc.net.keepalive import async_open_connection
from sipyco_rpc.net.tls import SimpleSSLConfig, client_ssl_contexts
from sipyco_rpc.support.process_bound import (
    after_fork_in_child,
    belongs_to_parent,
    leave_descriptor,
    not_copyable,
)
from sipyco_rpc.support.validation import (
    check_host,
    checked_pause,
    checked_port,
    format_address,
)
from sipyco_tools._logging.connection import LogConnection
from sipyco_tools._logging.format import MultilineFormatter
from sipyco_tools._logging.loop_thread import LoopThread, loop_of_program
from sipyco_tools._logging.text import entry_text, is_entry, safe_name, shortened
from sipyco_tools.asyncio_tools import TaskObject

logger = logging.getLogger("sipyco.logs")

_ATTEMPTS: Final = 3  # to send one message; a server may refuse it whenever it comes
_FLUSH_TIMEOUT: Final = 1.0  # seconds for `stop` to send what waits
_THREAD_TIMEOUT: Final = 2.5  # seconds for a thread to do so, and to close the connection
# Seconds for a tunnel whose server is away to end what it has accepted: at first, where programs
# want to see their records at once, and after an outage, when more is at stake.
_PROBATION: Final = 0.1
_LONG_PROBATION: Final = 0.5

_OWN: Final = "sipyco_log_forwarder"  # marks records that are not to be forwarded


class LogForwarder(logging.Handler, TaskObject):
    """Send log records to a log server.

        forwarder = LogForwarder("::1", 1066)
        forwarder.addFilter(SourceFilter(logging.INFO, "laser"))
        logging.getLogger().addHandler(forwarder)
        forwarder.start()

    In a program without an event loop, `start` makes a thread that has one. At the end of the
    program, or when the handler is closed, what waits is sent within a second or two.

    Records may come from any thread, before and after `start`; logging never waits and never
    fails because of it. While there is no connection they are kept, the latest `queue_size` of
    them; how many were dropped is said in the log itself once there is a connection again. The
    record that was being sent when a connection broke is sent again. Those before it are lost if
    the server had not read them: nobody could tell, as the protocol has no receipts.

    Args:
        host: name or address of the log server.
        port: its TCP port.
        reconnect_timer: seconds until it is tried again to connect.
        queue_size: how many records are kept.
        ssl_config: for TLS that trusts certificates.
        local_cert: path of our certificate, a PEM file, for TLS that also verifies that
            the server's certificate is for `host`. Not with `ssl_config`.
        local_key: path of its private key.
        peer_cert: path of the certificates to trust.
        **handler_kwargs: for `logging.Handler`: `level`.

    Raises:
        ValueError: an argument makes no sense, or TLS was asked for twice.
        OSError: a certificate cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        reconnect_timer: float = 5.0,
        queue_size: int = 1000,
        ssl_config: SimpleSSLConfig | None = None,
        *,
        local_cert: str | None = None,
        local_key: str | None = None,
        peer_cert: str | None = None,
        **handler_kwargs: Any,
    ) -> None:
        logging.Handler.__init__(self, **handler_kwargs)
        if queue_size < 1:
            raise ValueError(f"queue_size must be at least 1 record, got {queue_size}")
        check_host(host)
        self.host = host
        self.port = checked_port(port)
        self.reconnect_timer = checked_pause(reconnect_timer, "reconnect_timer")
        self.setFormatter(MultilineFormatter())
        self._contexts = client_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)
        self._queue_size = queue_size
        self._queue: deque[bytes] = deque()
        # A signal handler may log while its thread is in here.
        self._mutex = threading.RLock()
        self._dropped = 0
        self._source = safe_name((Path(sys.argv[0]).stem if sys.argv else "") or "python")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: LoopThread | None = None  # of a program without a loop
        self._own_ident: int | None = None  # of that thread: what it logs is about itself
        self._wake = asyncio.Event()  # something to send, or the connection has ended
        self._waking = False  # one call in the loop is enough, however many records come
        self._settled = asyncio.Event()  # all has been sent, or nothing can be for now
        self._sending = False
        self._waiting = False  # to try again to connect
        self._doubtful: bytes | None = None  # the entry that was sent again last
        self._attempts = 0  # to send it
        self._reachable = True  # as far as it was said
        self._transport: asyncio.WriteTransport | None = None  # of the connection
        self._parents: str | None = None  # what is to be said of a fork, once
        after_fork_in_child(self._after_fork)

    __reduce__ = not_copyable("it has a connection of this process; make one where it is needed")

    def _after_fork(self) -> asyncio.AbstractEventLoop | None:
        self._mutex = threading.RLock()
        self._queue.clear()  # the parent sends what was in it
        self._dropped = 0
        self._waking = self._sending = self._waiting = False
        self._reachable = True
        self._own_ident = None  # a thread of this process may be given the same
        self._wake, self._settled = asyncio.Event(), asyncio.Event()
        leave_descriptor(self._transport)
        self._transport = None
        if self.__dict__.pop("task", None) is not None:
            self._parents = belongs_to_parent(
                f"the forwarder to {self._where}", "`start` it in this process"
            )
        loop, self._loop = self._loop, None
        return loop

    def handle(self, record: logging.LogRecord) -> Any:
        """Emit a record that passes the filters. Without the lock of handlers: see `emit`.

        `logging.shutdown` holds that lock while the last records are sent.
        """
        passed: Any = not self._is_own(record) and self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record where the task takes it from. It never waits and never raises."""
        if self._is_own(record):
            return
        if self._parents is not None and self._loop is None:
            reason, self._parents = self._parents, None
            self._tell(logging.WARNING, "log messages are not sent: %s", reason)
        try:
            self._put(self._entry(record))
        except Exception:  # noqa: BLE001  (logging must not hurt the program)
            self.handleError(record)

    def start(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin to connect, and to send.

        Args:
            loop: where to run; by default the running loop, or the one that was set for this
                thread. If there is none, a thread is made that has one.

        Raises:
            RuntimeError: that thread runs already, or cannot be started.
        """
        self._parents = None
        if loop is None:
            loop = loop_of_program()
        if loop is not None:
            TaskObject.start(self, loop=loop)
        elif self._thread is not None and self._thread.runs:
            raise RuntimeError("the forwarder has been started already")
        else:
            self._thread = LoopThread(f"log forwarder to {self._where}", self._run_in_thread)
            _close_with_worker(self)

    async def stop(self) -> None:
        """Send what waits, in bounded time, and end the task or the thread. May be repeated."""
        if (thread := self._ending_thread()) is None:
            await self._flush_and_end()
        else:
            await asyncio.to_thread(thread.wait, _THREAD_TIMEOUT)
            self._own_ident = None
        self._tell_of_the_rest()

    def close(self) -> None:
        """Send what waits in a thread of ours, in bounded time, and end that. May be repeated.

        `logging.shutdown` does it at the end of a program. What will not be sent is said.
        """
        task: asyncio.Task[None] | None = getattr(self, "task", None)
        if (thread := self._ending_thread()) is not None:
            thread.wait(_THREAD_TIMEOUT)
            self._own_ident = None
            self._tell_of_the_rest()
        elif task is None or task.done() or task.get_loop().is_closed():
            self._tell_of_the_rest()
        elif not task.get_loop().is_running():
            self._tell_of_the_rest(forget=False)  # the program may still stop it
        logging.Handler.close(self)

    def _ending_thread(self) -> LoopThread | None:
        """Tell our thread to end, if there is one."""
        thread, self._thread = self._thread, None
        if thread is None or not thread.runs:
            return None
        thread.end()
        return thread

    async def _run_in_thread(self, end: asyncio.Event) -> None:
        self._own_ident = threading.get_ident()
        TaskObject.start(self, loop=asyncio.get_running_loop())
        await end.wait()
        await self._flush_and_end()
        del self.task

    async def _flush_and_end(self) -> None:
        """Send what waits, in bounded time, and end the task."""
        task: asyncio.Task[None] | None = getattr(self, "task", None)
        unsent = (self._queue or self._sending) and not self._waiting
        if task is not None and not task.done() and unsent:
            await asyncio.sleep(0)  # one that was started just now makes its events at first
            self._settled.clear()
            settled = asyncio.create_task(self._settled.wait())
            await asyncio.wait(
                [settled, task], timeout=_FLUSH_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
            settled.cancel()
        await TaskObject.stop(self)

    def _is_own(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is about a forwarder, and would come back to this queue."""
        return _OWN in record.__dict__ or (
            self._own_ident is not None and record.thread == self._own_ident
        )

    def _tell_of_the_rest(self, forget: bool = True) -> None:
        """Say how much was not sent, and have it count no more."""
        with self._mutex:
            left = sum(map(_records_in, self._queue)) + self._dropped
            if forget:
                self._queue.clear()
                self._dropped = 0
        if left:
            self._tell(logging.WARNING, "%d log messages were not sent to %s", left, self._where)

    @property
    def _where(self) -> str:
        return format_address(self.host, self.port)

    def _entry(self, record: logging.LogRecord) -> bytes:
        """Return the lines of a record."""
        try:
            text = self.format(record)
        except Exception as exc:  # noqa: BLE001  (of a message's arguments; say what there is)
            text = (
                f"message that cannot be formatted "
                f"({type(exc).__name__}: {exc}): {record.msg!r:.1000}"
            ).replace("\n", " ")
        # Programs may have set another formatter, and its lines would be no record.
        if not is_entry(text, record.name):
            text = entry_text(record.levelno, record.name, text)
        source = safe_name(str(getattr(record, "source", self._source)))
        return f"{source}:{shortened(text)}\n".encode("utf-8", "backslashreplace")

    def _put(self, entry: bytes) -> None:
        with self._mutex:
            self._queue.append(entry)
            self._drop_oldest()
            if self._loop is None or self._waking:
                return
            self._waking = True  # before the call, which may be made at once
            try:
                self._loop.call_soon_threadsafe(self._awake)
            except RuntimeError:
                self._waking = False  # the loop has been closed; what is put waits for another

    def _drop_oldest(self) -> None:
        while len(self._queue) > self._queue_size:
            self._dropped += _records_in(self._queue.popleft())

    def _awake(self) -> None:
        self._waking = False
        self._wake.set()

    async def _do(self) -> None:
        # Events belong to the loop in which they were first waited for.
        self._wake, self._settled = asyncio.Event(), asyncio.Event()
        self._waking = False
        loop = self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._waiting = False
                try:
                    reader, writer = await async_open_connection(
                        self.host, self.port, ssl=self._contexts()
                    )
                except (OSError, EOFError) as exc:
                    self._unreachable(exc)
                else:
                    await self._serve(reader, writer)
                self._waiting = True
                self._settled.set()
                await asyncio.sleep(self.reconnect_timer)
        finally:
            if self._loop is loop:  # and not another one, since a fork
                self._loop = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send what there is until the connection ends."""
        connection = LogConnection(reader, writer, self._wake)
        self._transport = writer.transport
        try:
            await connection.begin(_PROBATION if self._reachable else _LONG_PROBATION)
            if not connection.ended:
                if not self._reachable:
                    self._reachable = True
                    self._tell(
                        logging.INFO, "connected to the log server at %s again", self._where
                    )
                await self._send_all(connection)
            in_doubt = await connection.in_doubt()
        finally:
            self._transport = None
            await connection.close()
        self._unreachable(connection.error or EOFError("it closed the connection"))
        if in_doubt is not None:
            self._send_again(in_doubt)

    async def _send_all(self, connection: LogConnection) -> None:
        while not connection.ended:
            self._wake.clear()
            entry = self._next()
            if entry is None:
                self._settled.set()
                await self._wake.wait()
                continue
            self._sending = True
            sent = False
            try:
                sent = await connection.send(entry)
            finally:
                self._sending = False
                if not sent:
                    self._queue.appendleft(entry)

    def _next(self) -> bytes | None:
        """Take what is to be sent next."""
        with self._mutex:
            if self._dropped:
                count, self._dropped = self._dropped, 0
                text = f"{count} log messages were dropped, as they could not be sent"
                notice = _Notice(f"{self._source}:WARNING:{logger.name}:{text}\n".encode())
                notice.records = count
                return notice
            return self._queue.popleft() if self._queue else None

    def _send_again(self, entry: bytes) -> None:
        """Put back what may not have arrived."""
        with self._mutex:
            self._attempts = self._attempts + 1 if entry is self._doubtful else 1
            self._doubtful = entry
            if self._attempts >= _ATTEMPTS or len(self._queue) >= self._queue_size:
                self._dropped += _records_in(entry)
            else:
                self._queue.appendleft(entry)

    def _unreachable(self, reason: BaseException) -> None:
        """Say so once, however often it is tried."""
        if self._reachable:
            self._reachable = False
            self._tell(
                logging.WARNING,
                "no connection to the log server at %s: %s; trying every %g seconds",
                self._where,
                reason_of(reason),
                self.reconnect_timer,
            )

    def _tell(self, level: int, message: str, *args: object) -> None:
        """Log something about ourselves: to others, as it would come back to this queue."""
        logger.log(level, message, *args, extra={_OWN: True})
        last = logging.lastResort
        if last is not None and level >= last.level and _only_forwarders_listen():
            print(message % args, file=sys.stderr)


def _close_with_worker(forwarder: LogForwarder) -> None:
    """Have a worker of `multiprocessing`, which may end without `logging.shutdown`, do that."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return
    finalize = getattr(sys.modules.get("multiprocessing.util"), "Finalize", None)
    if finalize is not None:  # it is not documented
        finalize(None, _close, args=(ref(forwarder),), exitpriority=0)


def _close(forwarder: ref[LogForwarder]) -> None:
    alive = forwarder()
    if alive is not None:
        alive.close()


def _only_forwarders_listen() -> bool:
    """Tell whether nobody else gets what is logged here; without any handler, Python prints it."""
    found: list[logging.Handler] = []
    place: logging.Logger | None = logger
    while place is not None:
        found += place.handlers
        place = place.parent if place.propagate else None
    return bool(found) and all(isinstance(handler, LogForwarder) for handler in found)


class _Notice(bytes):
    """An entry that tells of records which were dropped.

    Attributes:
        records: how many. They count as dropped again if the notice is dropped itself.
    """

    records = 0


def _records_in(entry: bytes) -> int:
    return entry.records if isinstance(entry, _Notice) else 1
