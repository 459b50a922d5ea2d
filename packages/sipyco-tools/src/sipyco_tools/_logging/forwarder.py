"""The handler that sends log records to the log server, and never hurts the program."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, Final

from sipyco_rpc.net.tls import SimpleSSLConfig, client_ssl_contexts
from sipyco_rpc.support.process_bound import (
    after_fork_in_child,
    belongs_to_parent,
    leave_descriptor,
    not_copyable,
)
from sipyco_rpc.support.status import register
from sipyco_rpc.support.validation import check_host, checked_pause, checked_port, format_address
from sipyco_tools._limits import FLUSH_TIMEOUT, THREAD_TIMEOUT
from sipyco_tools._logging.loop_thread import LoopThread, close_with_worker, loop_of_program
from sipyco_tools._logging.queue import EntryQueue, QueuedEntry
from sipyco_tools._logging.records import MultilineFormatter, program_name
from sipyco_tools._logging.sender import LogSender
from sipyco_tools._logging.text import entry_text, is_entry, safe_name, shortened
from sipyco_tools._logging.times import offer, valid_time
from sipyco_tools._task_object import TaskObject

logger = logging.getLogger("sipyco.logs")


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
        self._source = safe_name(program_name())
        self._queue = EntryQueue(queue_size, self._source)
        self._sender: LogSender | None = None  # while the task runs
        self._thread: LoopThread | None = None  # of a program without a loop
        self._inherited: str | None = None  # what is to be said of a fork, once
        after_fork_in_child(self._after_fork)
        register("log_forwarders", self)

    __reduce__ = not_copyable("it has a connection of this process; make one where it is needed")

    def _after_fork(self) -> asyncio.AbstractEventLoop | None:
        self._queue.after_fork()
        thread, self._thread = self._thread, None
        if self.__dict__.pop("task", None) is not None or thread is not None:
            self._inherited = belongs_to_parent(
                f"the forwarder to {self._where}", "`start` it in this process"
            )
        sender, self._sender = self._sender, None
        if sender is None:
            return None
        leave_descriptor(sender.transport)
        return sender.loop

    def handle(self, record: logging.LogRecord) -> Any:
        """Emit a record that passes the filters. Without the lock of handlers: see `emit`.

        `logging.shutdown` holds that lock while the last records are sent.
        """
        passed: Any = not self._is_own(record) and self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record into the queue. It never waits and never raises."""
        if self._is_own(record):
            return
        if self._inherited is not None and self._sender is None:
            reason, self._inherited = self._inherited, None
            self._in_child(reason)
        try:
            self._queue.put(self._queued(record))
            if (sender := self._sender) is not None:
                sender.wake()
        except Exception:  # noqa: BLE001  (logging must not hurt the program)
            self.handleError(record)

    def _in_child(self, reason: str) -> None:
        """Deal with the first record in a child of the process that has started it."""
        self._log(logging.WARNING, "log messages are not sent: %s", reason)

    def start(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin to connect, and to send.

        Args:
            loop: where to run; by default the running loop, or the one that was set for this
                thread. If there is none, a thread is made that has one.

        Raises:
            RuntimeError: that thread runs already, or cannot be started.
        """
        if loop is None:
            loop = loop_of_program()
        if loop is None:
            self._start_thread()
        else:
            self._inherited = None
            TaskObject.start(self, loop=loop)

    def _start_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            raise RuntimeError("the forwarder has been started already")
        self._inherited = None
        self._thread = LoopThread(f"log forwarder to {self._where}", self._run_in_thread)
        self._thread.start()
        close_with_worker(self)

    async def stop(self) -> None:
        """Send what waits, in bounded time, and end the task or the thread. May be repeated."""
        if self._thread is None:
            await self._flush_and_end()
        else:
            await asyncio.to_thread(self._end_thread, self._thread)
        self._log_unsent(self._queue.clear())

    def close(self) -> None:
        """Send what waits in a thread of ours, in bounded time, and end that. May be repeated.

        `logging.shutdown` does it at the end of a program. What will not be sent is said.
        """
        task: asyncio.Task[None] | None = getattr(self, "task", None)
        if self._thread is not None:
            self._end_thread(self._thread)
            self._log_unsent(self._queue.clear())
        elif task is None or task.done() or task.get_loop().is_closed():
            self._log_unsent(self._queue.clear())
        elif not task.get_loop().is_running():
            self._log_unsent(self._queue.unsent)  # the program may still stop it
        logging.Handler.close(self)

    def status(self) -> dict[str, Any]:
        """Tell how it fares, for those who watch the program; from any thread.

        Returns:
            The `address` of the log server, whether it is `connected`, and takes the `times` at
            which records are made; and how many records were `sent`, wait (`queued`), and were
            `dropped`, in this process so far.
        """
        connection = None if self._sender is None else self._sender.connection
        return {
            "address": self._where,
            "connected": connection is not None and not connection.ended,
            "times": connection is not None and connection.times,
            "sent": self._queue.sent,
            "queued": len(self._queue),
            "dropped": self._queue.dropped,
        }

    def _end_thread(self, thread: LoopThread) -> None:
        thread.end(THREAD_TIMEOUT)
        self._thread = None

    async def _run_in_thread(self, end: asyncio.Event) -> None:
        TaskObject.start(self, loop=asyncio.get_running_loop())
        await end.wait()
        await self._flush_and_end()

    async def _flush_and_end(self) -> None:
        """Send what waits, in bounded time, and end the task."""
        await asyncio.sleep(0)  # a task that was started just now makes its sender at first
        if self._sender is not None:
            await self._sender.flush(FLUSH_TIMEOUT)
        await TaskObject.stop(self)

    async def _do(self) -> None:
        sender = self._sender = LogSender(
            self.host,
            self.port,
            self._contexts,
            self.reconnect_timer,
            offer(self._source),
            self._queue,
            self._log,
        )
        try:
            await sender.run()
        finally:
            if self._sender is sender:  # and not another one, since a fork
                self._sender = None

    def _is_own(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is about a forwarder, and would come back to this queue."""
        ident = None if self._thread is None else self._thread.ident  # none before it runs
        return _OWN in record.__dict__ or (ident is not None and record.thread == ident)

    def _log_unsent(self, count: int) -> None:
        if count:
            what = "message was" if count == 1 else "messages were"
            self._log(logging.WARNING, "%d log %s not sent to %s", count, what, self._where)

    @property
    def _where(self) -> str:
        return format_address(self.host, self.port)

    def _queued(self, record: logging.LogRecord) -> QueuedEntry:
        created = valid_time(record.__dict__.get("created"))  # `makeLogRecord` may leave it out
        return QueuedEntry(self._entry(record), created)

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

    def _log(self, level: int, message: str, *args: object) -> None:
        """Log something about ourselves: to others, as it would come back to this queue."""
        logger.log(level, message, *args, extra={_OWN: True})
        last = logging.lastResort
        if last is not None and level >= last.level and only_forwarders_listen(logger.name):
            print(message % args, file=sys.stderr)


def only_forwarders_listen(name: str) -> bool:
    """Tell whether nobody else gets what is logged by a logger; Python would print it."""
    found: list[logging.Handler] = []
    place: Any = logging.Logger.manager.loggerDict.get(name)
    if not isinstance(place, logging.Logger):
        place = logging.getLogger()  # the record comes from another program
    while place is not None:
        found += place.handlers
        place = place.parent if place.propagate else None
    return bool(found) and all(isinstance(handler, LogForwarder) for handler in found)
