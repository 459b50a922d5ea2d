"""The sending of log entries: connects to the log server, sends what a queue has, reconnects."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

from sipyco_rpc.net.errors import reason_of
from sipyco_rpc.net.keepalive import async_open_connection
from sipyco_rpc.support.validation import format_address
from sipyco_tools._logging.connection import LogConnection
from sipyco_tools._logging.queue import EntryQueue


class LogSender:
    """Sends the entries of a queue while `run` runs, in one event loop.

    What it has to say about itself goes to `log`, which is as `Logger.log`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        contexts: Callable[[], ssl.SSLContext | None],
        pause: float,
        offer: bytes,
        queue: EntryQueue,
        log: Callable[..., None],
    ) -> None:
        self.transport: asyncio.WriteTransport | None = None  # of the connection
        self.connection: LogConnection | None = None
        self.reachable = True  # as far as the log has been told
        self.retrying = False  # whether it waits to try again to connect
        self.loop = asyncio.get_running_loop()
        self._address = host, port
        self._contexts = contexts
        self._pause = pause
        self._offer = offer
        self._queue = queue
        self._log = log
        self._wake = asyncio.Event()  # there is something to send, or the connection has ended
        self._waking = False  # one call in the loop is enough, however many entries come
        self._settled = asyncio.Event()  # all has been sent, or nothing can be for now

    def wake(self) -> None:
        """Have it look at the queue, to which something was added. From any thread."""
        if self._waking:
            return
        self._waking = True  # before the call, which may be made at once
        try:
            self.loop.call_soon_threadsafe(self._look)
        except RuntimeError:
            self._waking = False  # the loop has been closed; the entries wait for another

    def _look(self) -> None:
        self._waking = False
        self._wake.set()

    async def flush(self, timeout: float) -> None:
        """Wait until all has been sent, or nothing can be for now, in bounded time."""
        if self.retrying or self._queue.all_sent or self.loop is not asyncio.get_running_loop():
            return
        self._settled.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            pass

    async def run(self) -> None:
        """Send entries until this is cancelled."""
        host, port = self._address
        try:
            while True:
                self.retrying = False
                try:
                    reader, writer = await async_open_connection(host, port, ssl=self._contexts())
                except (OSError, EOFError) as exc:
                    self._unreachable(exc)
                else:
                    await self._serve(reader, writer)
                self.retrying = True
                self._settled.set()
                await asyncio.sleep(self._pause)
        finally:
            self._settled.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send what there is until the connection ends."""
        connection = self.connection = LogConnection(reader, writer, self._wake)
        self.transport = writer.transport
        try:
            await connection.begin(self._offer)
            if not connection.ended and not self.reachable:
                self.reachable = True
                where = format_address(*self._address)
                self._log(logging.INFO, "connected to the log server at %s again", where)
            await self._send_all(connection)
            in_doubt = await connection.in_doubt()
        finally:
            self.transport = self.connection = None
            await connection.close()
        self._unreachable(connection.reason)
        if in_doubt is not None:
            self._queue.retry(in_doubt)

    async def _send_all(self, connection: LogConnection) -> None:
        while not connection.ended:
            self._wake.clear()
            entry = self._queue.take()
            if entry is None:
                self._settled.set()
                await self._wake.wait()
                continue
            sent = False
            try:
                sent = await connection.send(entry)
            finally:
                self._queue.done(sent)

    def _unreachable(self, reason: BaseException) -> None:
        """Say so once, however often it is tried."""
        if self.reachable:
            self.reachable = False
            self._log(
                logging.WARNING,
                "no connection to the log server at %s: %s; trying every %g seconds",
                format_address(*self._address),
                reason_of(reason),
                self._pause,
            )
