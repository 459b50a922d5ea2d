"""The rows of RPC: all clients, all ways to serve, and generators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any, ClassVar
from unittest import mock

from matrix.component import Component, row
from sipyco_pyon import pyon
from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    BestEffortClient,
    Client,
    ConnectionLost,
    Server,
)
from sipyco_rpc.support.memory import MIB
from sipyco_rpc.wire.server_handshake import ServerHandshake
from support.feeds import port_of
from support.peers import DEADLINE, HOST

DIALECTS = ("v1", "v2", "frames")
GENERATORS = ("plain", "async")  # in frames: there are none without


class Target:
    """What the server offers."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def echo(self, value: Any) -> Any:
        return value

    async def echo_later(self, value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    def keep(self, value: Any) -> None:
        self.kept.append(value)

    def plain_items(self) -> Iterator[Any]:
        yield from self.kept

    async def async_items(self) -> AsyncIterator[Any]:
        for value in self.kept:
            await asyncio.sleep(0)
            yield value


def old_greeting(greeting: Any) -> Any:
    """Greet as servers from before 2025 did, which know PYON v1 only."""

    def old(handshake: ServerHandshake) -> bytes:
        said = pyon.decode(greeting(handshake))
        del said["features"]
        return pyon.encode_bytes(said, end="\n")

    return old


class Served(Component):
    """A server with the target `t`."""

    options: ClassVar[dict[str, Any]] = {}  # of the server
    slow = ("up", "down")

    def value(self, number: int, size: int) -> Any:
        return super().value(number, size if self.dialect != "v1" else min(size, MIB))

    async def listen(self, tls: dict[str, Any]) -> int:
        self.target = Target()
        self.patches = ExitStack()
        if self.dialect == "v1":
            old = old_greeting(ServerHandshake._greeting)
            self.patches.enter_context(mock.patch.object(ServerHandshake, "_greeting", old))
        self.server = Server(
            {"t": self.target}, frames=self.dialect not in ("v1", "v2"), **self.options
        )
        await self.server.start(HOST, 0, **tls)
        return port_of(self.server)

    async def stop(self) -> None:
        self.patches.close()
        await self.server.stop()


@row(Client, Server, dialects=DIALECTS)
class BlockingCalls(Served):
    """A `Client`, in a thread."""

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.client: Any = await asyncio.to_thread(Client, HOST, port, "t", **tls)

    async def carry(self, values: list[Any]) -> list[Any]:
        return await asyncio.to_thread(lambda: [self.client.echo(value) for value in values])

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.client.close_rpc)


@row(BestEffortClient, dialects=DIALECTS)
class BestEffortCalls(BlockingCalls):
    comes_back = True

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.client = await asyncio.to_thread(
            BestEffortClient, HOST, port, "t", retry=0.001, **tls
        )


@row(AsyncioClient, dialects=DIALECTS)
class AsyncioCalls(Served):
    """An `AsyncioClient`, all whose calls are made at once."""

    method: ClassVar[str] = "echo"

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.client = AsyncioClient()
        await self.client.connect_rpc(HOST, port, "t", **tls)

    async def carry(self, values: list[Any]) -> list[Any]:
        return await asyncio.gather(*map(getattr(self.client, self.method), values))

    async def disconnect(self) -> None:
        await self.client.close_rpc()


@row(dialects=DIALECTS[1:])
class BlockingProperties(BlockingCalls):
    """Values that a property is set to, and that are read again."""

    options: ClassVar = {"properties": {"t": ["kept"]}}

    async def carry(self, values: list[Any]) -> list[Any]:
        def through(value: Any) -> Any:
            self.client.kept = value
            return self.client.kept

        return await asyncio.to_thread(lambda: [through(value) for value in values])


@row(dialects=DIALECTS[1:])
class AsyncioProperties(AsyncioCalls):
    options: ClassVar = {"properties": {"t": ["kept"]}, "threaded": True}

    async def carry(self, values: list[Any]) -> list[Any]:
        carried = []
        for value in values:
            await self.client.kept.set(value)
            carried.append(await self.client.kept)
        return carried


@row(dialects=DIALECTS)
class ReconnectingCalls(BlockingCalls):
    """A `Client` that reconnects."""

    comes_back = True

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.client = await asyncio.to_thread(Client, HOST, port, "t", reconnect=DEADLINE, **tls)

    async def carry(self, values: list[Any]) -> list[Any]:
        try:
            return await super().carry(values)
        except ConnectionLost:
            return []


@row(dialects=DIALECTS)
class ReconnectingAsyncioCalls(AsyncioCalls):
    """An `AsyncioClient` that reconnects."""

    comes_back = True

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.client = AsyncioClient(reconnect=DEADLINE)
        await self.client.connect_rpc(HOST, port, "t", **tls)

    async def carry(self, values: list[Any]) -> list[Any]:
        try:
            return await super().carry(values)
        except ConnectionLost:
            return []


@row(dialects=DIALECTS)
class ThreadedServer(AsyncioCalls):
    options: ClassVar = {"threaded": True}


@row(dialects=DIALECTS)
class ParallelServer(AsyncioCalls):
    options: ClassVar = {"allow_parallel": True}
    method = "echo_later"


@row()
class FireAndForget(BlockingCalls):
    """An `FFProxy` of a `Client`."""

    slow = ("up",)

    async def carry(self, values: list[Any]) -> list[Any]:
        self.target.kept = []
        proxy = FFProxy(self.client)

        def calls() -> None:
            for value in values:
                proxy.keep(value)
                proxy.ff_join()

        await asyncio.to_thread(calls)
        if len(self.target.kept) != len(values):
            raise ConnectionError("what was lost is said in the log only")
        return self.target.kept


class Items(Component):
    """The items of a generator, plain or asynchronous."""

    dialect: str
    target: Target
    client: Any
    slow = ("down",)

    def generator(self, values: list[Any]) -> Any:
        """Have these values given by the remote method that is returned."""
        self.target.kept = values
        return getattr(self.client, f"{self.dialect}_items")


@row(dialects=GENERATORS)
class BlockingItems(Items, BlockingCalls):
    async def carry(self, values: list[Any]) -> list[Any]:
        generator = self.generator(values)
        return await asyncio.to_thread(lambda: list(generator()))


@row(dialects=GENERATORS)
class BestEffortItems(Items, BestEffortCalls):
    async def carry(self, values: list[Any]) -> list[Any]:
        generator = self.generator(values)
        return await asyncio.to_thread(lambda: list(generator() or ()))


@row(dialects=GENERATORS)
class AsyncioItems(Items, AsyncioCalls):
    async def carry(self, values: list[Any]) -> list[Any]:
        return [item async for item in await self.generator(values)()]
