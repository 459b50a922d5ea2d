"""The server that the logs of all programs flow to. What a line means, `_log_lines` knows."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar, Final

from sipyco_rpc.net.admission import HANDSHAKE_TIMEOUT, ConnectionSlot
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.wire.lines import LineReader, LineTooLong
from sipyco_tools._logging.format import emit_entry
from sipyco_tools._logging.lines import MAX_LINE, MAX_LINES, EntryReader, Refused

logger = logging.getLogger("sipyco.logs")

BANNER: Final = b"ARTIQ logging\n"

_READ_SIZE: Final = 64 * 1024  # bytes; more gains nothing
_LAST_WORDS: Final = 0.5  # seconds for a peer to see that the server stops


class Server(AsyncioServer):
    """Receive the log records of other programs, and log them here.

        async with Server() as server:
            await server.start("::1", 1066)

    Records are emitted by the logger `fwd`, with their own name and level, and an attribute
    `source`: add a handler to the root logger to write them. What is no record, or too long, ends
    the connection with a warning that says who sent what.

    Args:
        max_line: longest line to accept, in bytes.
        max_lines: most lines of one record.
        max_connections: see `AsyncioServer`; a peer is established when its banner has come.
        handshake_timeout: see `AsyncioServer`.
    """

    _offers: ClassVar[str] = "send it log messages"

    def __init__(
        self,
        *,
        max_line: int = MAX_LINE,
        max_lines: int = MAX_LINES,
        max_connections: int | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        super().__init__(max_connections=max_connections, handshake_timeout=handshake_timeout)
        LineReader(max_line)  # refuses a limit that makes no sense
        if max_lines < 1:
            raise ValueError(f"max_lines must be at least 1, got {max_lines}")
        self._max_line = max_line
        self._max_lines = max_lines

    async def _serve_streams(
        self, slot: ConnectionSlot, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = writer.get_extra_info("peername")
        conversation = _LogSession(self._max_line, self._max_lines)
        try:
            try:
                await self._receive(slot, reader, conversation)
            except asyncio.CancelledError:
                await _drain(reader, writer, conversation)
                raise
        except Refused as exc:
            self._log_limiter.log(
                logger,
                logging.WARNING,
                "%s, dropping connection to %r: %r",
                exc,
                _short(peer),
                exc.line,
            )
        finally:
            rest = conversation.rest()
            if rest:
                self._log_limiter.log(
                    logger,
                    logging.WARNING,
                    "the connection to %r ended in the midst of a message: %r",
                    _short(peer),
                    rest,
                )

    async def _receive(
        self, slot: ConnectionSlot, reader: asyncio.StreamReader, conversation: _LogSession
    ) -> None:
        while data := await reader.read(_READ_SIZE):
            conversation.receive(data)
            if conversation.greeted:
                slot.established()


def _short(address: Any) -> Any:
    """Leave out what only IPv6 addresses have."""
    return address[:2] if isinstance(address, tuple) else address


class _LogSession:
    """What one peer says, from its banner on.

    Attributes:
        greeted: whether the banner has come.
    """

    def __init__(self, max_line: int, max_lines: int) -> None:
        self._lines = LineReader(max_line)
        self._entries = EntryReader(max_lines, known=True)
        self._greeting = b""
        self.greeted = False

    def receive(self, data: bytes) -> None:
        """Take bytes, and log what they say.

        Raises:
            Refused: it is nothing that could be logged.
        """
        if not self.greeted:
            self._greeting += data
            if not BANNER.startswith(self._greeting[: len(BANNER)]):
                raise Refused("received an unknown banner", _text(self._greeting))
            if len(self._greeting) < len(BANNER):
                return
            self.greeted, data = True, self._greeting[len(BANNER) :]
        for line in self._lines.feed(data):
            self._take(line)

    def rest(self) -> str:
        """Return what there is of a message that is not complete."""
        entry = self._entries.end()
        parts = [] if entry is None else [f"{entry.source}:{entry.name}:{entry.message}"]
        if self._lines.pending:
            parts.append(_text(self._lines.pending))
        return "\n".join(parts)

    def _take(self, line: bytes | bytearray | LineTooLong) -> None:
        if isinstance(line, LineTooLong):
            raise Refused(
                f"received a line of {line.size} bytes, where the limit is {line.limit}", ""
            )
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise Refused("received a message that is not UTF-8", _text(line)) from None
        if self._entries.within:
            entry = self._entries.more(text)
        else:
            source, colon, rest = text.partition(":")
            if not colon:
                raise Refused("received improperly formatted message", text)
            entry = self._entries.first(source, rest)
        if entry is not None:
            emit_entry(entry.name, entry.level, entry.message, entry.source)


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "backslashreplace")


async def _receive_all(reader: asyncio.StreamReader, conversation: _LogSession) -> None:
    while data := await reader.read(_READ_SIZE):
        conversation.receive(data)


async def _drain(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: _LogSession
) -> None:
    """Tell a peer that the server stops, and log what is still under way, in bounded time."""
    try:
        async with asyncio.timeout(_LAST_WORDS):
            if writer.can_write_eof():
                writer.write_eof()
            await _receive_all(reader, conversation)
    except OSError:
        pass  # it has gone, or goes on all the same: TimeoutError is an OSError
