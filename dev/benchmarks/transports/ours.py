"""Our server and clients, through their public names only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, Arrays, Driver
from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.pc_rpc import AsyncioClient, Client, Server

__all__ = ["AsyncioDriver", "BlockingDriver", "serve"]

_PAUSE = 0.001  # seconds that a slow method sleeps


class _Target:
    def __init__(self) -> None:
        self._arrays = Arrays()

    def echo(self, value: object) -> object:
        return value

    async def pause(self) -> None:
        await asyncio.sleep(_PAUSE)

    def take(self, array: object) -> None:
        pass

    def give(self, size: int) -> Any:
        return self._arrays.of(size)


async def _serve(allow_parallel: bool, tls: dict[str, str]) -> None:
    async with Server({"target": _Target()}, allow_parallel=allow_parallel) as server:
        await server.start(HOST, 0, SimpleSSLConfig(**tls) if tls else None)
        assert server.server is not None
        announce(server.server.sockets[0].getsockname()[1])
        await server.wait_terminate()


def serve(allow_parallel: bool = False, tls: dict[str, str] | None = None) -> None:
    """Serve for ever.

    Args:
        allow_parallel: as for `Server`.
        tls: the arguments of `SimpleSSLConfig`, or None.
    """
    asyncio.run(_serve(allow_parallel, tls or {}))


class BlockingDriver(Driver):
    """`Client`."""

    def __init__(self, port: int, tls: dict[str, str] | None = None) -> None:
        super().__init__(port)
        self._tls = SimpleSSLConfig(**tls) if tls else None
        self._client = self._open()

    def _open(self) -> Client:
        return Client(HOST, self._port, "target", ssl_config=self._tls)

    def connect_once(self) -> None:
        with self._open() as client:
            client.echo(42)

    def echo_once(self) -> None:
        self._client.echo(42)

    def up_once(self, array: Any) -> None:
        self._client.take(array)

    def down_once(self, size: int) -> None:
        self._client.give(size)


class AsyncioDriver(Driver):
    """`AsyncioClient`, or many of them, in a loop that runs while something is measured."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._runner = asyncio.Runner()
        self._clients: list[AsyncioClient] = []
        self._connect(1)

    def _connect(self, number: int) -> list[AsyncioClient]:
        async def more() -> None:
            while len(self._clients) < number:
                client = AsyncioClient()
                await client.connect_rpc(HOST, self._port, "target")
                self._clients.append(client)

        self._runner.run(more())
        return self._clients[:number]

    def _timed(self, call: Callable[[], Awaitable[object]], count: int) -> float:
        async def calls() -> float:
            begin = time.perf_counter()
            for _ in range(count):
                await call()
            return (time.perf_counter() - begin) / count

        return self._runner.run(calls())

    def _tasks(self, calls: list[Callable[[], Awaitable[object]]], count: int) -> float:
        """Call from one task for each of `calls`, `count` times in all."""
        each = max(1, count // len(calls))

        async def repeat(call: Callable[[], Awaitable[object]]) -> None:
            for _ in range(each):
                await call()

        async def together() -> float:
            begin = time.perf_counter()
            await asyncio.gather(*map(repeat, calls))
            return (time.perf_counter() - begin) / (each * len(calls))

        return self._runner.run(together())

    def echo(self, count: int) -> float:
        client = self._clients[0]
        return self._timed(lambda: client.echo(42), count)

    def up(self, size: int, count: int) -> float:
        client, array = self._clients[0], self._arrays.of(size)
        return self._timed(lambda: client.take(array), count)

    def down(self, size: int, count: int) -> float:
        client = self._clients[0]
        return self._timed(lambda: client.give(size), count)

    def echo_tasks(self, tasks: int, count: int) -> float:
        """Return the seconds for each of `count` small calls by `tasks` tasks of one client."""
        client = self._clients[0]
        return self._tasks([lambda: client.echo(42)] * tasks, count)

    def pause_tasks(self, tasks: int, count: int) -> float:
        """The same, with a method that sleeps 1 ms."""
        client = self._clients[0]
        return self._tasks([client.pause] * tasks, count)

    def echo_clients(self, clients: int, count: int) -> float:
        """Return the seconds for each of `count` small calls by `clients` clients."""

        def call_of(client: AsyncioClient) -> Callable[[], Awaitable[object]]:
            return lambda: client.echo(42)

        return self._tasks([call_of(client) for client in self._connect(clients)], count)

    def pause_clients(self, clients: int, count: int) -> float:
        """The same, with a method that sleeps 1 ms."""
        return self._tasks([client.pause for client in self._connect(clients)], count)
