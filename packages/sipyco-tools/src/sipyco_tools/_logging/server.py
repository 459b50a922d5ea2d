"""The log server: it receives the log records of other programs. `session` knows the protocol."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any, Final

from sipyco_rpc.limits import HANDSHAKE_TIMEOUT
from sipyco_rpc.net.admission import ConnectionSlot
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.support.status import bound_addresses, register
from sipyco_rpc.wire.lines import LineReader
from sipyco_tools._limits import MAX_LOG_LINE, MAX_LOG_LINES, STOP_NOTICE_TIMEOUT
from sipyco_tools._logging.session import LogSession, Refused

logger = logging.getLogger("sipyco.logs")

_READ_SIZE: Final = 64 * 1024  # bytes; more gains nothing


class Server(AsyncioServer):
    """Receive the log records of other programs, and log them here.

        async with Server() as server:
            await server.start("::1", 1066)

    Records are emitted by the logger `fwd`, with their own name, level and time, and an attribute
    `source`: add a handler to the root logger to write them. What is no record, or too long, ends
    the connection with a warning that says who sent what.

    The time of a record (`created`, which formatters show) is that at which the program made it,
    by the clock of its computer. Older programs do not send it: then it is the time of arrival,
    `time_of_arrival` of the record is true, and the logger `sipyco.logs` says so at INFO,
    once for each connection. `received` is when it arrived, in any case.

    Args:
        max_line: longest line to accept, in bytes.
        max_lines: most lines of one record.
        max_connections: see `AsyncioServer`; a peer is established when its banner has come.
        handshake_timeout: see `AsyncioServer`.
    """

    _offers = "send it log messages"

    def __init__(
        self,
        *,
        max_line: int = MAX_LOG_LINE,
        max_lines: int = MAX_LOG_LINES,
        max_connections: int | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        super().__init__(max_connections=max_connections, handshake_timeout=handshake_timeout)
        LineReader(max_line)  # refuses a limit that makes no sense
        if max_lines < 1:
            raise ValueError(f"max_lines must be at least 1, got {max_lines}")
        self._max_line = max_line
        self._max_lines = max_lines
        register("log_servers", self)
        self._started: float | None = None  # in seconds since 1970
        self._received = 0  # records, by connections that have ended
        self._refused = 0  # connections that were dropped for what they sent
        self._sessions: dict[LogSession, tuple[str, float]] = {}  # of whom, and since when

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._sessions = {}

    def _prepare_start(self, loop: asyncio.AbstractEventLoop) -> None:
        super()._prepare_start(loop)
        self._started = time.time()

    def status(self) -> dict[str, Any]:
        """Tell what it does, in plain values; times are in seconds since 1970.

        Returns:
            When it was `started` and its `addresses` (None and none while it does not run); its
            `connections`, each with `client`, `since` and `received`; the number of records
            `received` of all; and how many connections were `refused` for what they sent.
        """
        sessions = list(self._sessions.items())
        return {
            "started": None if self.server is None else self._started,
            "addresses": bound_addresses(self.server),
            "connections": [
                {"client": client, "since": since, "received": session.received}
                for session, (client, since) in sessions
            ],
            "received": self._received + sum(session.received for session, _ in sessions),
            "refused": self._refused,
        }

    def _activity(self) -> str:
        return "receiving log records"

    async def _serve_streams(
        self, slot: ConnectionSlot, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = writer.get_extra_info("peername")
        if isinstance(peer, tuple):
            peer = peer[:2]  # IPv6 addresses have more
        session = LogSession(
            self._max_line,
            self._max_lines,
            answer=partial(_answer, writer),
            untimed=partial(self._say_untimed, peer),
        )
        sessions = self._sessions
        sessions[session] = slot.peer, time.time()
        try:
            try:
                await self._receive(slot, reader, session)
            except asyncio.CancelledError:
                await self._drain(slot, reader, writer, session)
                raise
        except Refused as exc:
            self._refused += 1
            self._warn("%s, dropping connection to %r: %r", exc, peer, exc.line)
        finally:
            sessions.pop(session, None)
            self._received += session.received
            if rest := session.rest():
                self._warn("the connection to %r ended in the middle of a message: %r", peer, rest)

    async def _receive(
        self, slot: ConnectionSlot, reader: asyncio.StreamReader, session: LogSession
    ) -> None:
        while data := await reader.read(_READ_SIZE):
            session.receive(data)
            if session.banner_received:
                slot.established()

    async def _drain(
        self,
        slot: ConnectionSlot,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        session: LogSession,
    ) -> None:
        """Tell a peer that the server stops, and log what is still under way, in bounded time."""
        try:
            async with asyncio.timeout(STOP_NOTICE_TIMEOUT):
                if writer.can_write_eof():
                    writer.write_eof()
                    session.answer = None
                await self._receive(slot, reader, session)
        except OSError:
            pass  # it has gone, or goes on all the same: TimeoutError is an OSError

    def _say_untimed(self, peer: object, source: str) -> None:
        self._log_limiter.log(
            logger,
            logging.INFO,
            "log messages of %r from %r have the time of their arrival: they come without that at "
            "which they were made",
            source,
            peer,
        )

    def _warn(self, message: str, *args: object) -> None:
        self._log_limiter.log(logger, logging.WARNING, message, *args)


def _answer(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)
