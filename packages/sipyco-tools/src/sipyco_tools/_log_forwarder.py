"""The handler that sends log records to the log server, and never hurts the program."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any, Final

from sipyco_rpc.keepalive import async_open_connection
from sipyco_rpc.process_bound import (
    after_fork_in_child,
    belongs_to_parent,
    leave_descriptor,
    not_copyable,
)
from sipyco_rpc.tls import SimpleSSLConfig, client_ssl_contexts
from sipyco_rpc.validation import check_host, checked_pause, checked_port
from sipyco_tools._log_connection import LogConnection
from sipyco_tools._log_format import (
    MultilineFormatter,
    entry_text,
    is_entry,
    safe_name,
    safe_text,
)
from sipyco_tools.asyncio_tools import TaskObject

logger = logging.getLogger("sipyco.logs")

_MAX_TEXT: Final = 128 * 1024  # characters of a message; servers refuse what is much longer
_MAX_LINES: Final = 5_000  # of a message, likewise
_MAX_LINE: Final = 10_000  # characters of a line; older servers take no more than 64 KiB
_ATTEMPTS: Final = 3  # to send one message; a server may refuse it whenever it comes
_FLUSH_PATIENCE: Final = 1.0  # seconds for `stop` to send what waits
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
        self._wake, self._settled = asyncio.Event(), asyncio.Event()
        leave_descriptor(self._transport)
        self._transport = None
        if self.__dict__.pop("task", None) is not None:
            self._parents = belongs_to_parent(
                f"the forwarder to {self._where}", "`start` it in this process"
            )
        loop, self._loop = self._loop, None
        return loop

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record where the task takes it from. It never waits and never raises."""
        if _OWN in record.__dict__:
            return
        if self._parents is not None and self._loop is None:
            reason, self._parents = self._parents, None
            self._tell(logging.WARNING, "log messages are not sent: %s", reason)
        try:
            self._put(self._entry(record))
        except Exception:  # noqa: BLE001  (logging must not hurt the program)
            self.handleError(record)

    async def stop(self) -> None:
        """Send what waits, in bounded time, and end the task. May be repeated."""
        task: asyncio.Task[None] | None = getattr(self, "task", None)
        unsent = (self._queue or self._sending) and not self._waiting
        if task is not None and not task.done() and unsent:
            await asyncio.sleep(0)  # one that was started just now makes its events at first
            self._settled.clear()
            settled = asyncio.create_task(self._settled.wait())
            await asyncio.wait(
                [settled, task], timeout=_FLUSH_PATIENCE, return_when=asyncio.FIRST_COMPLETED
            )
            settled.cancel()
        await TaskObject.stop(self)
        left = sum(map(_records_in, self._queue)) + self._dropped
        if left:
            self._tell(logging.WARNING, "%d log messages were not sent to %s", left, self._where)
        self._queue.clear()
        self._dropped = 0

    @property
    def _where(self) -> str:
        return f"{self.host} port {self.port}"

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
        if not is_entry(text, record.name) or safe_text(text) != text:
            text = entry_text(record.levelno, record.name, text)
        if len(text) > _MAX_LINE:
            text = _shortened(text)
        source = safe_name(str(getattr(record, "source", self._source)))
        return f"{source}:{text}\n".encode("utf-8", "backslashreplace")

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
        self._loop = asyncio.get_running_loop()
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
            try:
                await connection.send(entry)
            except asyncio.CancelledError:
                self._queue.appendleft(entry)  # it counts as not sent
                raise
            finally:
                self._sending = False

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
                str(reason) or type(reason).__name__,
                self.reconnect_timer,
            )

    def _tell(self, level: int, message: str, *args: object) -> None:
        """Log something about ourselves: to others, as it would come back to this queue."""
        logger.log(level, message, *args, extra={_OWN: True})


class _Notice(bytes):
    """An entry that tells of records which were dropped.

    Attributes:
        records: how many. They count as dropped again if the notice is dropped itself.
    """

    records = 0


def _records_in(entry: bytes) -> int:
    return entry.records if isinstance(entry, _Notice) else 1


def _shortened(text: str) -> str:
    """Cut a record where no server would take it."""
    level, name, message = text.split(":", 2)
    lines = message[:_MAX_TEXT].split("\n")[: _MAX_LINES - 1]
    kept = [line[:_MAX_LINE] for line in lines]
    size = sum(map(len, kept)) + len(kept) - 1
    if size == len(message):
        return text
    kept.append(f"({len(message) - size} characters more are left out)")
    return f"{level.partition('<')[0]}<{len(kept)}>:{name}:" + "\n".join(kept)
