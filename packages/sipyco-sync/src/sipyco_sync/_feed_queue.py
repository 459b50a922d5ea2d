"""The queue of lines to one peer, who takes them as fast as it can. Limits: see `_feed_server`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from sipyco_rpc.net.workarounds import close
from sipyco_rpc.support.quoting import excerpt

WRITE_SIZE: Final = 64 * 1024  # bytes in one write; a transport may copy what is not sent at once
OVERHEAD: Final = 128  # bytes that Python needs to keep a line or a write, beside its content

_NEWLINE: Final = ord("\n")


class SendQueue(asyncio.Protocol):
    """The queue of lines that one peer has not taken yet; they can be dropped.

    It takes the place of the streams' protocol once the peer has said what it wants. What the
    peer sends after that is ignored.

    Args:
        transport: the connection.
        peer: its name, for log records.
        feed: the name of what it has asked for.
        carrier: the connection that TLS is on, or None where there is no TLS.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        peer: str,
        feed: str,
        carrier: asyncio.Transport | None = None,
    ) -> None:
        self.since = time.time()
        self.feed = feed
        self.peer = peer
        # Done when the connection has ended.
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_drained: Callable[[], None] = lambda: None  # called when nothing waits
        self._transport = transport
        self._carrier = carrier or transport
        self._streams = transport.get_protocol()
        self._queue: deque[tuple[bytes | memoryview, int]] = deque()  # lines, and how many
        self.queued_lines = 0
        self._sent = 0  # of the head of the queue
        self._size = 0
        self._uncounted = 0
        self._paused = False
        self._pumping = False
        self._ending = False  # the peer sends nothing more, and is to get what waits
        transport.set_protocol(self)
        # Nothing is buffered but what one write could not get rid of.
        transport.set_write_buffer_limits(high=1, low=0)
        transport.resume_reading()  # the streams pause at much input, and would not see the end

    @property
    def queued_bytes(self) -> int:
        """Bytes of memory that wait and count toward the limit."""
        return self._size - self._uncounted + OVERHEAD * len(self._queue)

    def status(self) -> dict[str, Any]:
        """Tell of the peer and what waits for it, in plain values; from any thread."""
        return {
            "client": self.peer,
            "name": excerpt(self.feed),
            "since": self.since,
            "backlog_bytes": self._size,
            "backlog_lines": self.queued_lines,
        }

    @property
    def idle(self) -> bool:
        """Whether everything has gone out."""
        return not self._queue and not self._paused

    def send(self, data: bytes, lines: int = 1, *, counts_toward_limit: bool = True) -> None:
        """Send whole lines, or have them wait their turn.

        Args:
            data: the lines; they are not copied, so many peers share what waits.
            lines: how many there are.
            counts_toward_limit: whether they count in `queued_bytes`.
        """
        if self._is_closing() or (self._ending and self.idle):
            return
        if self.idle and len(data) <= WRITE_SIZE:
            self._transport.write(data)
            return
        self._queue.append((data, lines))
        self._size += len(data)
        self.queued_lines += lines
        if not counts_toward_limit:
            self._uncounted += len(data)
        self._pump()

    def drop(self) -> None:
        """Drop what waits, but for the rest of a line of which a part has been sent."""
        sent, line = self._sent, b""
        if sent and self._queue[0][0][sent - 1] != _NEWLINE:
            head = bytes(self._queue[0][0])
            line = head[: head.index(_NEWLINE, sent) + 1]
        self._clear()
        if line:
            self._queue.append((line, 1))
            self._sent, self._size, self.queued_lines = sent, len(line) - sent, 1

    def close_when_sent(self) -> None:
        """Close the connection as soon as nothing waits."""
        self._ending = True
        if self.idle:
            close(self._transport)

    def detach(self) -> None:
        """Give the connection back to the streams, which close it."""
        self._clear()
        if self._paused and not self._transport.is_closing():
            self._streams.pause_writing()  # they will be told when that is over
        self._transport.set_protocol(self._streams)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def data_received(self, data: bytes) -> None:
        pass  # there is nothing that a subscriber could say

    def eof_received(self) -> bool:
        self.close_when_sent()
        # It stays open to send what waits; not with TLS, which closes both ways at once.
        return self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear()
        if not self.lost.done():
            self.lost.set_result(None)
        self._streams.connection_lost(exc)

    def _clear(self) -> None:
        self._queue.clear()
        self._size = self._sent = self.queued_lines = self._uncounted = 0

    def _is_closing(self) -> bool:
        # TLS of uvloop does not tell that the peer has ended the connection beneath it, and then
        # drops what is written, with a warning each time.
        return self._transport.is_closing() or self._carrier.is_closing()

    def _pump(self) -> None:
        if self._pumping:
            return  # TLS resumes while it writes
        self._pumping = True
        try:
            self._write()
        finally:
            self._pumping = False
        if self.idle:
            if self._ending:
                # Not here: asyncio's transport would end the connection twice, as it resumes us in
                # the midst of writing.
                asyncio.get_running_loop().call_soon(self._transport.close)
            self.on_drained()

    def _write(self) -> None:
        """Write until the transport has enough; a loop in a `try` is not safe from Ctrl-C."""
        while self._queue and not self._paused and not self._is_closing():
            self._transport.write(self._next())

    def _next(self) -> bytes | memoryview:
        """Take as much as goes out in one write."""
        head, lines = self._queue[0]
        piece: bytes | memoryview
        if len(head) - self._sent > WRITE_SIZE:
            piece = memoryview(head)[self._sent : self._sent + WRITE_SIZE]
            self._sent += WRITE_SIZE
        else:
            pieces: list[bytes | memoryview] = []
            size = 0
            while self._queue and size + len(head) - self._sent <= WRITE_SIZE:
                pieces.append(memoryview(head)[self._sent :] if self._sent else head)
                size += len(pieces[-1])
                self._queue.popleft()
                self._sent = 0
                self.queued_lines -= lines
                if self._queue:
                    head, lines = self._queue[0]
            piece = b"".join(pieces) if len(pieces) > 1 else pieces[0]
        self._size -= len(piece)
        self._uncounted = max(0, self._uncounted - len(piece))
        return piece
