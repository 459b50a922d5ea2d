"""The feed of one notifier: its mods and snapshots; and what has them published."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from sipyco_sync._feed_queue import SendQueue
from sipyco_sync._feed_server import Feed
from sipyco_sync._mods import Mod, PreparedPublish
from sipyco_sync.notifier import Notifier

logger = logging.getLogger("sipyco.sync_struct")


class NotifierFeed(Feed):
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


class Announcer(PreparedPublish):
    """What a published notifier calls: every publisher that has it encodes, then sends."""

    def __init__(self, *feeds: NotifierFeed) -> None:
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
