"""The publisher of `sync_struct`: notifiers in, mods out. What a mod is: see `_mods`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from sipyco_pyon import pyon, pyon_v1
from sipyco_rpc.limits import HANDSHAKE_TIMEOUT, MAX_REASON
from sipyco_rpc.support.quoting import excerpt
from sipyco_rpc.support.status import bound_addresses, register
from sipyco_sync._feed_queue import SendQueue
from sipyco_sync._feed_server import Feed, FeedServer
from sipyco_sync._limits import MAX_BACKLOG
from sipyco_sync._mod_errors import error_of_content
from sipyco_sync._mods import Mod, PreparedPublish
from sipyco_sync.notifier import Notifier

logger = logging.getLogger("sipyco.sync_struct")


def _encode_v2(mod: Mod, plain_float64: bool) -> bytes:
    try:
        return pyon.encode_bytes(mod, plain_float64=plain_float64, end="\n")
    except (AssertionError, TypeError, ValueError) as exc:
        raise error_of_content(exc, mod, pyon.encode) from None


def _encode_v1(mod: Mod) -> bytes:
    try:
        return pyon_v1.encode(mod).encode("ascii") + b"\n"
    except (TypeError, ValueError) as exc:
        raise error_of_content(exc, mod, pyon_v1.encode) from None


class _NotifierFeed(Feed):
    """The mods of one notifier, and a fresh `init` for those that are new or have lost some."""

    def __init__(
        self, notifier: Notifier, encode: Callable[[Mod], bytes], max_backlog: int
    ) -> None:
        super().__init__(max_backlog, notifier.changes.lock)
        self.notifier = notifier
        self.encode = encode
        # After how many changes it was made, and of which structure: programs may assign another.
        self._snapshot: tuple[int, Any, bytes] | None = None
        self._stale: set[SendQueue] = set()  # these get a fresh `init` when they can take it

    def put(self, line: bytes) -> None:
        with self.lock:
            self._snapshot = None
            super().put(line)

    def invalidate(self) -> None:
        """Send everyone a fresh `init`: a change could not be sent."""
        with self.lock:
            self._snapshot = None
            self._drop_pending()
            self._schedule()

    def join(self, queue: SendQueue) -> None:
        queue.on_drained = partial(self._drained, queue)
        with self.lock:
            self._open()
            self._send_snapshot(queue)

    def forget_peers(self) -> None:
        super().forget_peers()
        self.lock = self.notifier.changes.lock  # another one in a child that was forked
        self._stale.clear()

    def leave(self, queue: SendQueue) -> None:
        with self.lock:
            super().leave(queue)
            self._stale.discard(queue)

    def flush(self) -> None:
        super().flush()
        with self.lock:
            stale = list(self._stale)
        for queue in stale:
            self._refresh(queue)

    def _send_snapshot(self, queue: SendQueue) -> None:
        """Send `init` to a peer that is new or stale, and from then on what follows it."""
        snapshot = self._current_snapshot()
        lines = self._take()
        if lines:
            self._deliver(lines)  # to the others: the snapshot has them already
        # It is held once for all; a limit must not keep a large structure from ever arriving.
        queue.send(snapshot, counts_toward_limit=False)
        self._stale.discard(queue)
        self.queues.add(queue)

    def _current_snapshot(self) -> bytes:
        count, struct = self.notifier.changes.count, self.notifier.raw_view
        made = self._snapshot
        if made is None or made[0] != count or made[1] is not struct:
            made = count, struct, self.encode({"action": "init", "struct": struct})
            self._snapshot = made
        return made[2]

    def _drained(self, queue: SendQueue) -> None:
        if queue in self._stale:
            self._later(self._refresh, queue)  # this may be in the midst of delivering

    def _refresh(self, queue: SendQueue) -> None:
        """Send a fresh `init` to one that has lost mods."""
        try:
            with self.lock:
                if queue in self._stale and queue.idle:
                    self._send_snapshot(queue)
        except Exception:
            # It stays stale: the next change may mend what cannot be encoded.
            logger.exception("cannot send a fresh copy to %s", queue.peer)

    def _drop_pending(self) -> None:
        self._take()
        self._stale.update(self.queues)

    def _deliver(self, lines: list[bytes]) -> None:
        data = lines[0] if len(lines) == 1 else b"".join(lines)
        for queue in self.queues:
            if queue in self._stale:
                continue
            if self._has_room(queue, len(data)):
                queue.send(data, len(lines))
                continue
            queue.drop()
            self._stale.add(queue)
            self._later(
                logger.warning,
                "%s is more than %d bytes behind: it gets a fresh copy when it reads again",
                queue.peer,
                self.max_backlog,
            )


class _Announcer(PreparedPublish):
    """What a published notifier calls: every publisher that has it encodes, then sends."""

    def __init__(self, *feeds: _NotifierFeed) -> None:
        self.feeds = list(feeds)

    def prepare(self, mod: Mod) -> Callable[[], None]:
        lines = [(feed, feed.encode(mod)) for feed in self.feeds]

        def send() -> None:
            for feed, line in lines:
                feed.put(line)

        return send

    def __call__(self, mod: Mod) -> None:
        try:
            send = self.prepare(mod)
        except Exception:
            for feed in self.feeds:
                feed.invalidate()
            raise
        send()

    def after_fork(self) -> None:
        for feed in self.feeds:
            feed.forget_peers()


class Publisher(FeedServer):
    """Keep the structures of notifiers in step in any number of subscribers.

        async with Publisher({"datasets": datasets}) as publisher:
            await publisher.start("::1", 3250)
            await ...  # what the program is about

    A subscriber that reads too slowly costs no more memory than `max_backlog` (and the mod or
    snapshot that it is being sent): what waits is dropped, and it gets one fresh copy when it
    reads again. Nobody waits for it. A notifier may be published by several publishers.

    Args:
        notifiers: the notifiers by their names.
        max_backlog: bytes that may wait for one subscriber. What waits for several is held once.
        dialect: `"pyon_v2"`; or `"pyon_v1"` for subscribers from before 2025, which know no other.
        plain_float64: send `numpy.float64` scalars as plain JSON numbers, as older programs do.
        max_connections: see `AsyncioServer`; a peer is established when it has sent the name.
        handshake_timeout: see `AsyncioServer`; the name has to come in it as well.

    Attributes:
        notifiers: those that are published now, by their names.

    Raises:
        ValueError: a part of a notifier is to be published, or the dialect is unknown.
    """

    _banner = b"ARTIQ sync_struct\n"
    _offers = "read its structures"
    _logger = logger

    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        *,
        max_backlog: int = MAX_BACKLOG,
        dialect: Literal["pyon_v2", "pyon_v1"] = "pyon_v2",
        plain_float64: bool = False,
        max_connections: int | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        super().__init__(
            max_backlog, max_connections=max_connections, handshake_timeout=handshake_timeout
        )
        if dialect not in ("pyon_v2", "pyon_v1"):
            raise ValueError(f"expected the dialect 'pyon_v2' or 'pyon_v1', got {dialect!r}")
        self.notifiers: dict[str, Notifier] = {}
        encode_v2 = partial(_encode_v2, plain_float64=plain_float64)
        self._encode: Callable[[Mod], bytes] = _encode_v1 if dialect == "pyon_v1" else encode_v2
        self._feeds: dict[int, _NotifierFeed] = {}  # by the identity of the notifier
        for name, notifier in notifiers.items():
            self.add(name, notifier)
        register("publishers", self)

    def _activity(self) -> str:
        return (
            f"publishing {excerpt(', '.join(map(str, self.notifiers)), MAX_REASON) or 'nothing'}"
        )

    def add(self, name: str, notifier: Notifier) -> None:
        """Publish one more notifier; at any time, in the loop that the publisher runs in.

        A `publish` callback of the program's own is replaced.

        Args:
            name: that subscribers ask for.
            notifier: of a whole structure.

        Raises:
            ValueError: the name is taken, or the notifier is of a part of a structure.
        """
        if name in self.notifiers:
            raise ValueError(f"there is a notifier `{name}` already")
        if notifier.root is not notifier:
            raise ValueError(f"`{name}` is a part of a structure: publish the whole of it")
        if id(notifier) not in self._feeds:
            feed = _NotifierFeed(notifier, self._encode, self._max_backlog)
            with notifier.changes.lock:
                if not isinstance(notifier.publish, _Announcer):
                    notifier.publish = _Announcer()
                notifier.publish.feeds.append(feed)
            self._feeds[id(notifier)] = feed
        self.notifiers[name] = notifier

    def remove(self, name: str) -> None:
        """Publish a notifier no more; the connections of its subscribers are closed.

        Args:
            name: under which it is published.

        Raises:
            KeyError: there is none of that name.
        """
        notifier = self.notifiers.pop(name)
        feed = self._feeds[id(notifier)]
        feed.flush()
        if all(other is not notifier for other in self.notifiers.values()):
            del self._feeds[id(notifier)]
            announcer = notifier.publish
            if isinstance(announcer, _Announcer) and feed in announcer.feeds:
                with notifier.changes.lock:
                    announcer.feeds.remove(feed)
                    if not announcer.feeds:
                        notifier.publish = None
        for queue in list(feed.queues):
            if queue.feed == name:
                queue.close_when_sent()

    def publish(self, notifier: Notifier, mod: Mod) -> None:
        """Send a mod that has been applied to a notifier; for programs that do so by themselves.

        Args:
            notifier: the one that has changed, or a part of it.
            mod: the change, as `ModAction` describes it.

        Raises:
            ValueError: the notifier is not published here.
            TypeError: the mod cannot be encoded. Subscribers get a fresh copy with the next mod.
        """
        feed = self._feeds.get(id(notifier.root))
        if feed is None:
            raise ValueError("the notifier is not published here")
        _Announcer(feed)(mod)

    def status(self) -> dict[str, Any]:
        """Return where it listens, what it publishes, and who gets that; from any thread.

        A server of RPC in the same process tells it to clients that ask for its status.
        """
        return {
            "addresses": bound_addresses(self.server),
            "notifiers": list(self.notifiers),
            "subscribers": self._peers(),
            "max_backlog_bytes": self._max_backlog,
        }

    def _feed(self, name: str, peer: str) -> Feed | None:
        if name in self.notifiers:
            return self._feeds[id(self.notifiers[name])]
        names = ", ".join(f"`{name}`" for name in sorted(self.notifiers)) or "none"
        text = "%s asks for `%s`; there are: %s"
        self._log_limiter.log(logger, logging.WARNING, text, peer, excerpt(name), names)
        return None
