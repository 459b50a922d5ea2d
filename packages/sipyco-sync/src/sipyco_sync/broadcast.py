"""Messages to everyone who listens on a channel. What is sent while nobody listens is gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from sipyco_pyon import pyon
from sipyco_rpc.limits import HANDSHAKE_TIMEOUT, MAX_LINE
from sipyco_rpc.net.tls import SimpleSSLConfig, client_ssl_contexts
from sipyco_rpc.support.process_bound import belongs_to_parent
from sipyco_rpc.support.quoting import excerpt
from sipyco_rpc.support.status import bound_addresses, register
from sipyco_sync._feed_client import Callback, FeedClient, SubscriptionState
from sipyco_sync._feed_queue import OVERHEAD, SendQueue
from sipyco_sync._feed_server import Feed, FeedServer
from sipyco_sync._limits import MAX_BACKLOG

__all__ = ["Broadcaster", "Receiver", "SubscriptionState"]

_BANNER: Final = b"ARTIQ broadcast\n"

logger = logging.getLogger("sipyco.broadcast")


class _Channel(Feed):
    """The messages of one channel; a receiver that is behind loses those that come."""

    def __init__(self, name: str, queue_limit: int, max_backlog: int) -> None:
        super().__init__(max_backlog)
        self._name = excerpt(name)  # for log records: a peer has made it up
        self._queue_limit = queue_limit
        self._lost: dict[SendQueue, int] = {}  # of those that are losing messages now
        self._overrun = 0  # lost before the loop could take them

    def join(self, queue: SendQueue) -> None:
        queue.on_drained = lambda: self._caught_up(queue)
        super().join(queue)

    def leave(self, queue: SendQueue) -> None:
        super().leave(queue)
        lost = self._lost.pop(queue, 0)
        if lost:
            logger.warning("%s is gone; it lost %d messages of `%s`", queue.peer, lost, self._name)

    def _drop_pending(self) -> None:
        # The newest is lost, as it is where a receiver is slow.
        self._pending_size -= len(self._pending.pop()) + OVERHEAD
        self._overrun += 1

    def _deliver(self, lines: list[bytes]) -> None:
        if self._overrun:
            self._later(
                logger.warning,
                "%d messages of `%s` were lost: they came faster than they could be sent",
                self._overrun,
                self._name,
            )
            self._overrun = 0
        data = b"".join(lines)
        for queue in self.queues:
            if self._takes(queue, len(lines), len(data)):
                queue.send(data, len(lines))
                continue
            for index, line in enumerate(lines):
                if not self._takes(queue, 1, len(line)):
                    self._lose(queue, len(lines) - index)
                    break
                queue.send(line)

    def _takes(self, queue: SendQueue, lines: int, size: int) -> bool:
        return queue.queued_lines + lines <= self._queue_limit and self._has_room(queue, size)

    def _lose(self, queue: SendQueue, count: int) -> None:
        if queue not in self._lost:
            self._lost[queue] = 0
            self._later(
                logger.warning,
                "%s does not keep up with `%s`: it is losing messages",
                queue.peer,
                self._name,
            )
        self._lost[queue] += count

    def _caught_up(self, queue: SendQueue) -> None:
        lost = self._lost.pop(queue, 0)
        if lost:
            self._later(
                logger.warning,
                "%s keeps up with `%s` again, after it lost %d messages",
                queue.peer,
                self._name,
                lost,
            )


class Broadcaster(FeedServer):
    """Send messages to everyone who listens on a channel.

        async with Broadcaster() as broadcaster:
            await broadcaster.start("::1", 1067)
            broadcaster.broadcast("log", (logging.INFO, "laser", time.time(), "locked"))

    Any channel may be listened on; nothing is kept for those who come later. A receiver that is
    too slow loses messages, which is said in the log once when it begins and once with the count
    when it is over; the others lose nothing, and nobody waits for it.

    Args:
        queue_limit: messages that may wait for one receiver.
        max_backlog: bytes that may wait for one receiver; what waits for several is held once.
        max_connections: see `AsyncioServer`; a peer is established when it has sent the name.
        handshake_timeout: see `AsyncioServer`; the name has to come in it as well.
    """

    _banner = _BANNER
    _offers = "read its messages"
    _logger = logger

    def __init__(
        self,
        queue_limit: int = 1024,
        *,
        max_backlog: int = MAX_BACKLOG,
        max_connections: int | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        super().__init__(
            max_backlog, max_connections=max_connections, handshake_timeout=handshake_timeout
        )
        if queue_limit < 1:
            raise ValueError(f"queue_limit must be at least 1 message, got {queue_limit}")
        self._queue_limit = queue_limit
        self._feeds: dict[str, _Channel] = {}  # those that somebody listens on
        self._parents: str | None = None  # why there is nobody to listen, after a fork
        register("broadcasters", self)

    def _activity(self) -> str:
        return "broadcasting"

    def broadcast(self, name: str, obj: Any) -> None:
        """Send a message to all receivers of a channel; from any thread.

        Args:
            name: of the channel.
            obj: any value that PYON can hold.

        Raises:
            TypeError: it cannot be encoded; whether somebody listens or not.
            RuntimeError: the broadcaster is that of a process from which this one was forked.
        """
        line = pyon.encode_bytes(obj, end="\n", name="the message")
        channel = self._feeds.get(name)
        if channel is not None:
            channel.put(line)
        elif self._parents is not None:
            raise RuntimeError(self._parents)

    def status(self) -> dict[str, Any]:
        """Return where it listens, and who listens on which channel; from any thread.

        A server of RPC in the same process tells it to clients that ask for its status.
        """
        return {
            "addresses": bound_addresses(self.server),
            "receivers": self._peers(),
            "max_backlog_bytes": self._max_backlog,
            "queue_limit": self._queue_limit,
        }

    def _after_fork(self) -> asyncio.AbstractEventLoop | None:
        if self.server is not None:
            self._parents = belongs_to_parent("the broadcaster", "start one in this process")
        return super()._after_fork()

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._feeds.clear()

    def _prepare_start(self, loop: asyncio.AbstractEventLoop) -> None:
        super()._prepare_start(loop)
        self._parents = None

    def _feed(self, name: str, peer: str) -> Feed:
        if name not in self._feeds:
            self._feeds[name] = _Channel(name, self._queue_limit, self._max_backlog)
        return self._feeds[name]

    def _leave(self, feed: Feed, queue: SendQueue) -> None:
        super()._leave(feed, queue)
        if not feed.queues:
            self._feeds.pop(queue.feed, None)


class Receiver(FeedClient):
    """Listen on a channel of a broadcaster.

        async with Receiver("log", print) as receiver:
            await receiver.connect("::1", 1067)
            await receiver.receive_task

    Callbacks may be coroutine functions; each is awaited before the next message is taken.
    Broadcasters from before 2025, which write PYON v1, are understood. A message that cannot be
    decoded is logged and left out; in a flood of them they are counted.

    The attributes `notify_cbs`, `disconnect_cb`, `receive_task`, `reader` and `writer` are those
    of `Subscriber`.

    Args:
        name: of the channel.
        notify_cb: as for `Subscriber`; each gets every message.
        disconnect_cb: as for `Subscriber`.
        reconnect: as for `Subscriber`. What is sent meanwhile is gone.
        state_cb: as for `Subscriber`.
        max_line: longest message to accept, in bytes.
    """

    _banner = _BANNER
    _logger = logger

    def __init__(
        self,
        name: str,
        notify_cb: Callback | list[Callback] | None,
        disconnect_cb: Callback | None = None,
        *,
        reconnect: float | None = None,
        state_cb: Callback | None = None,
        max_line: int = MAX_LINE,
    ) -> None:
        super().__init__(name, notify_cb, disconnect_cb, reconnect, state_cb, max_line)
        self.name = name

    async def connect(
        self,
        host: str,
        port: int,
        *positional: SimpleSSLConfig | Callback | None,
        ssl_config: SimpleSSLConfig | None = None,
        before_receive_cb: Callback | None = None,
        local_cert: str | None = None,
        local_key: str | None = None,
        peer_cert: str | None = None,
    ) -> None:
        """Connect, and begin to receive.

        It takes and raises what `Subscriber.connect` does. After the port, `ssl_config` may come
        first; or `before_receive_cb` and then `ssl_config`, for programs that treat both alike.
        """
        for value in positional:
            if isinstance(value, SimpleSSLConfig):
                if ssl_config is not None:
                    raise TypeError("ssl_config was given twice")
                ssl_config = value
            elif callable(value):
                if before_receive_cb is not None:
                    raise TypeError("before_receive_cb was given twice")
                before_receive_cb = value
            elif value is not None:
                raise TypeError(f"expected a SimpleSSLConfig or a callback, got {value!r}")
        if len(positional) > 2:
            raise TypeError(f"expected at most 4 positional arguments, got {2 + len(positional)}")
        contexts = client_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)
        await self._connect(host, port, contexts, before_receive_cb)

    def _refused(self, reason: str) -> None:
        # Messages have nothing to do with each other: the next may be of use.
        self._log_limiter.log(logger, logging.ERROR, "%s", reason)
