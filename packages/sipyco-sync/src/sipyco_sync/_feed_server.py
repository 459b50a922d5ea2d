"""A server whose clients send a banner and a name, and get lines for ever.

`Publisher` and `Broadcaster` are such servers. What the lines say is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, cast

from sipyco_rpc.net.admission import ConnectionSlot
from sipyco_rpc.net.server import AsyncioServer
from sipyco_sync._feed_queue import OVERHEAD, WRITE_SIZE, SendQueue
from sipyco_sync._limits import MAX_NAME

_READ_SIZE: Final = 4096


class Feed:
    """One stream of lines, and the peers that get it.

    Lines may be put from any thread; everything else happens in the loop of the peers. Those that
    are put in one pass of the loop go out in one write.

    Args:
        max_backlog: bytes that may wait for one peer, and for all of them before the loop takes
            them.
        lock: is held while lines are put.
    """

    def __init__(self, max_backlog: int, lock: threading.RLock | None = None) -> None:
        self.max_backlog = max_backlog
        self.lock = threading.RLock() if lock is None else lock
        self.queues: set[SendQueue] = set()  # of the peers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._scheduled = False

    def put(self, line: bytes) -> None:
        """Have a line sent to all peers."""
        with self.lock:
            if not self.queues:
                return
            self._pending.append(line)
            self._pending_size += len(line) + OVERHEAD
            if self._pending_size > WRITE_SIZE:
                if threading.get_ident() == self._thread:
                    self._deliver(self._take())
                    return
                if self._pending_size > self.max_backlog and len(self._pending) > 1:
                    self._drop_pending()
            self._schedule()

    def flush(self) -> None:
        """Deliver what was put; in the loop of the peers only."""
        with self.lock:
            self._scheduled = False
            lines = self._take()
            if lines:
                self._deliver(lines)

    def join(self, queue: SendQueue) -> None:
        """Add a peer; it gets what is put from now on."""
        with self.lock:
            self.flush()
            self._open()
            self.queues.add(queue)

    def leave(self, queue: SendQueue) -> None:
        """Remove a peer; it may have been removed before."""
        with self.lock:
            self.queues.discard(queue)

    def forget_peers(self) -> None:
        """Begin anew: the peers, and the loop that they were in, are of no more use."""
        self.queues.clear()
        self._take()
        self._loop = None
        self._scheduled = False

    def _open(self) -> None:
        """Remember where the peers are."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self.forget_peers()
            self._loop = loop
        self._thread = threading.get_ident()

    def _later(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function in the loop of the peers, without the lock."""
        assert self._loop is not None
        self._loop.call_soon(function, *arguments)

    def _take(self) -> list[bytes]:
        lines, self._pending, self._pending_size = self._pending, [], 0
        return lines

    def _schedule(self) -> None:
        if self._scheduled or self._loop is None:
            return
        try:
            if threading.get_ident() == self._thread:
                self._loop.call_soon(self.flush)
            else:
                self._loop.call_soon_threadsafe(self.flush)
        except RuntimeError:
            self._take()  # the loop has been closed: nobody gets anything any more
        else:
            self._scheduled = True

    def _has_room(self, queue: SendQueue, size: int) -> bool:
        """Whether so many bytes more may wait; if nothing does, any number may."""
        waiting = queue.queued_bytes
        return not waiting or waiting + size <= self.max_backlog

    def _drop_pending(self) -> None:
        """Drop some of what other threads put faster than the loop comes to deliver it."""
        raise NotImplementedError

    def _deliver(self, lines: list[bytes]) -> None:
        """Hand lines to every peer, or decide otherwise for those that are slow.

        The lock is held: nothing is logged here, as a handler of log records may wait for it.
        """
        raise NotImplementedError


class FeedServer(AsyncioServer):
    """Accept peers, and add each to the feed that it names. For the limits see `Publisher`."""

    _banner: ClassVar[bytes]
    _logger: ClassVar[logging.Logger]

    _feeds: Mapping[Any, Feed]  # those that there are

    def __init__(self, max_backlog: int, **limits: Any) -> None:
        super().__init__(**limits)
        if max_backlog < 1:
            raise ValueError(f"max_backlog must be at least 1 byte, got {max_backlog}")
        self._max_backlog = max_backlog

    def _peers(self) -> list[dict[str, Any]]:
        """Tell of all peers, those that came first before the others; from any thread."""
        queues = [queue for feed in list(self._feeds.values()) for queue in list(feed.queues)]
        return [queue.status() for queue in sorted(queues, key=lambda queue: queue.since)]

    async def stop(self) -> None:
        """Send what waits where it can go at once, and close all connections. May be repeated."""
        for feed in self._feeds.values():
            feed.flush()
        await super().stop()

    async def _serve_streams(
        self, slot: ConnectionSlot, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = slot.peer
        try:
            name = await _receive_name(reader, self._banner)
        except EOFError:
            return
        except ValueError as exc:
            self._log_limiter.log(
                self._logger, logging.WARNING, "closing the connection from %s: %s", peer, exc
            )
            return
        slot.established()
        feed = self._feed(name, peer)
        if feed is None:
            return
        transport = cast(asyncio.Transport, writer.transport)
        queue = SendQueue(transport, peer, name, slot.transport)
        try:
            feed.join(queue)
            if transport.is_closing():
                return  # it was lost before the queue could be told
            if reader.at_eof():
                queue.close_when_sent()
            await queue.lost
        finally:
            self._leave(feed, queue)
            queue.detach()

    def _feed(self, name: str, peer: str) -> Feed | None:
        """Return the feed of a name, or say that there is none."""
        raise NotImplementedError

    def _leave(self, feed: Feed, queue: SendQueue) -> None:
        feed.leave(queue)


async def _receive_name(reader: asyncio.StreamReader, banner: bytes) -> str:
    """Take the banner, compared as its bytes arrive, and the name.

    Raises:
        ValueError: it is another banner, or no name.
        EOFError: the peer closed the connection.
    """
    received = b""
    while True:
        if not banner.startswith(received[: len(banner)]):
            raise ValueError(f"expected the banner {banner!r}, got {received[: len(banner)]!r}")
        end = received.find(b"\n", len(banner))
        if end >= 0:
            return received[len(banner) : end].decode()
        if len(received) > MAX_NAME:
            raise ValueError(f"the name has more than {MAX_NAME} bytes")
        data = await reader.read(_READ_SIZE)
        if not data:
            raise EOFError
        received += data
