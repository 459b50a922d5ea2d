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
from sipyco_sync._feed_server import Feed, FeedServer
from sipyco_sync._limits import MAX_BACKLOG
from sipyco_sync._mod_errors import error_of_content
from sipyco_sync._mods import Mod
from sipyco_sync._notifier_feed import Announcer, NotifierFeed
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
        self._feeds: dict[int, NotifierFeed] = {}  # by the identity of the notifier
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
            feed = NotifierFeed(notifier, self._encode, self._max_backlog)
            with notifier.changes.lock:
                if not isinstance(notifier.publish, Announcer):
                    notifier.publish = Announcer()
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
            if isinstance(announcer, Announcer) and feed in announcer.feeds:
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
        Announcer(feed)(mod)

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
