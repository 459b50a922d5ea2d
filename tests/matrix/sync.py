"""The rows of `sync_struct` and `broadcast`: all that follows a publisher, or listens."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any
from unittest import mock

from matrix.component import Component, row
from sipyco_pyon import pyon_v1
from sipyco_rpc.support.memory import MIB
from sipyco_sync.broadcast import Broadcaster, Receiver, SubscriptionState
from sipyco_sync.sync_struct import (
    Notifier,
    Publisher,
    Subscriber,
    ThreadSubscriber,
    blocking_snapshot,
    snapshot,
)
from support.feeds import comes_true, port_of
from support.peers import DEADLINE, HOST

DIALECTS = ("pyon_v1", "pyon_v2")


class Feed(Component):
    def value(self, number: int, size: int) -> Any:
        return super().value(number, size if self.dialect == "pyon_v2" else min(size, MIB))


class Published(Feed):
    """A publisher of the values of this round, which are added one by one."""

    async def listen(self, tls: dict[str, Any]) -> int:
        self.round = 0
        self.notifier = Notifier({"round": 0, "values": []})
        self.publisher = Publisher({"n": self.notifier}, dialect=self.dialect)  # type: ignore[arg-type]
        await self.publisher.start(HOST, 0, **tls)
        return port_of(self.publisher)

    async def stop(self) -> None:
        await self.publisher.stop()

    def publish(self, values: list[Any]) -> None:
        self.round += 1
        self.notifier["values"] = []
        for value in values:
            self.notifier["values"].append(value)
        self.notifier["round"] = self.round

    def complete(self, struct: Any) -> bool:
        """Tell whether a copy has all of this round."""
        return bool(struct) and struct["round"] == self.round


@row(Publisher, Subscriber, dialects=DIALECTS)
class Subscription(Published):
    comes_back = True

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.copy: Any = None
        self.subscriber = Subscriber("n", self.build, reconnect=0.001)
        await self.subscriber.connect(HOST, port, **tls)

    def build(self, struct: Any) -> Any:
        self.copy = struct
        return struct

    async def carry(self, values: list[Any]) -> list[Any]:
        self.publish(values)
        await comes_true(lambda: self.complete(self.copy))
        return list(self.copy["values"])

    async def disconnect(self) -> None:
        await self.subscriber.close()


@row(ThreadSubscriber, dialects=DIALECTS)
class SubscriptionInThread(Published):
    comes_back = True

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.subscriber = await asyncio.to_thread(
            ThreadSubscriber, HOST, port, "n", reconnect=0.001, **tls
        )

    async def carry(self, values: list[Any]) -> list[Any]:
        self.publish(values)
        await asyncio.to_thread(self.subscriber.wait_for, self.complete, DEADLINE)
        return list(self.subscriber.copy()["values"])

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.subscriber.close)


@row(snapshot, dialects=DIALECTS)
class Snapshots(Published):
    """A snapshot for each value."""

    many = 5

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.port, self.tls = port, tls

    async def carry(self, values: list[Any]) -> list[Any]:
        got = []
        for value in values:
            self.publish([value])
            struct = await self.snapshot()
            assert self.complete(struct)
            got += struct["values"]
        return got

    async def snapshot(self) -> Any:
        return await snapshot(HOST, self.port, "n", **self.tls)


@row(blocking_snapshot, dialects=DIALECTS)
class BlockingSnapshots(Snapshots):
    async def snapshot(self) -> Any:
        return await asyncio.to_thread(blocking_snapshot, HOST, self.port, "n", **self.tls)


def old_broadcaster(self: Broadcaster, name: str, obj: Any) -> None:
    """Broadcast as programs from before 2025 did."""
    if name in self._feeds:
        self._feeds[name].put(pyon_v1.encode(obj).encode() + b"\n")


@row(Broadcaster, Receiver, dialects=DIALECTS)
class Broadcasts(Feed):
    comes_back = True

    async def listen(self, tls: dict[str, Any]) -> int:
        self.patches = ExitStack()
        if self.dialect == "pyon_v1":
            patch = mock.patch.object(Broadcaster, "broadcast", old_broadcaster)
            self.patches.enter_context(patch)
        self.broadcaster = Broadcaster()
        await self.broadcaster.start(HOST, 0, **tls)
        return port_of(self.broadcaster)

    async def stop(self) -> None:
        self.patches.close()
        await self.broadcaster.stop()

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.listens = False
        self.received: list[Any] = []
        self.receiver = Receiver(
            "c", self.received.append, reconnect=0.001, state_cb=self.on_state
        )
        await self.receiver.connect(HOST, port, **tls)

    def on_state(self, state: SubscriptionState) -> None:
        if state is SubscriptionState.disconnected:
            self.listens = False

    async def carry(self, values: list[Any]) -> list[Any]:
        await self.until_it_listens()
        for value in values:
            self.broadcaster.broadcast("c", value)
        await comes_true(lambda: not self.listens or len(self.received) == len(values))
        return self.received.copy()

    async def until_it_listens(self) -> None:
        """Wait until the receiver gets what is sent: nothing tells the broadcaster's program."""
        self.received.clear()
        while not self.listens:
            self.broadcaster.broadcast("c", "probe")
            await asyncio.sleep(0.001)
            self.listens = bool(self.received)
        self.broadcaster.broadcast("c", "end of the probes")
        await comes_true(lambda: "end of the probes" in self.received or not self.listens)
        self.received.clear()

    async def disconnect(self) -> None:
        await self.receiver.close()
