"""Server and asyncio client under other event loops: the same behaviour."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from dev.faults.proxy import FaultProxy
from sipyco_rpc.pc_rpc import AsyncioClient, Client, Server, call_timeout
from support.certificates import paths_of
from support.event_loops import every_loop, loop_factory
from support.peers import DEADLINE, HOST
from support.records import recorded
from support.transports import secured

Work = Callable[[Server, int, dict[str, Any]], Coroutine[Any, Any, None]]


class Target:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.entered: asyncio.Event = asyncio.Event()
        self.released: asyncio.Event = asyncio.Event()

    def echo(self, x: Any = None) -> Any:
        return x

    def large(self, size: int) -> bytes:
        self.entered.set()
        return b"x" * size

    async def large_when_released(self, size: int) -> bytes:
        self.entered.set()
        await self.released.wait()
        return b"x" * size

    async def wait(self) -> None:
        self.log.append("begun")
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("ended")

    def numbers(self, count: int, size: int) -> Iterator[Any]:
        try:
            for number in range(count):
                yield number, b"x" * size
        finally:
            self.log.append("closed")

    async def async_numbers(self, count: int, size: int) -> AsyncIterator[Any]:
        try:
            for number in range(count):
                await asyncio.sleep(0)
                yield number, b"x" * size
        finally:
            self.log.append("closed")


def run(loop: str, work: Work, tls: bool = False, **options: Any) -> None:
    """Run a server and a coroutine function in one loop of a kind."""
    certificates: dict[str, Any] = paths_of("server", "client") if tls else {}
    own: dict[str, Any] = paths_of("client", "server") if tls else {}

    async def main() -> None:
        server = Server({"t": Target()}, **options)
        async with asyncio.timeout(DEADLINE), server:
            await server.start(HOST, 0, **certificates)
            assert server.server is not None
            await work(server, server.server.sockets[0].getsockname()[1], own)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())
    gc.collect()


@every_loop
@secured
@pytest.mark.parametrize("threaded", [False, True])
def test_values_and_arrays(loop: str, tls: bool, threaded: bool) -> None:
    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **own)
            for size in (0, 10, 5000, 5_000_000):
                assert await client.echo([b"x" * size, "µ" * size]) == [b"x" * size, "µ" * size]
            values = [b"y" * (k * 1000) for k in range(100)]
            assert await asyncio.gather(*map(client.echo, values)) == values
            with pytest.raises(AttributeError):
                await client.nosuch()
            numpy = pytest.importorskip("numpy")
            for array in (numpy.arange(3.0), numpy.ones((1000, 1000)), numpy.zeros((2, 0))):
                got = await client.echo(array)
                assert (got == array).all()
                assert got.flags.writeable
            arrays = [numpy.full(100_000, k) for k in range(20)]
            for array, got in zip(
                arrays, await asyncio.gather(*map(client.echo, arrays)), strict=True
            ):
                assert (got == array).all()

    run(loop, work, tls, threaded=threaded)


@every_loop
@secured
def test_cancelling(loop: str, tls: bool) -> None:
    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        target = server.targets["t"]
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **own)
            waiting = asyncio.ensure_future(client.wait())
            await target.entered.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await client.echo(1) == 1
            assert target.log == ["begun", "ended"]
            with pytest.raises(TimeoutError), call_timeout(client, 0.02):
                await client.wait()
            assert await client.echo(2) == 2
            assert target.log == ["begun", "ended"] * 2

    run(loop, work, tls)


@every_loop
@secured
def test_generators(loop: str, tls: bool) -> None:
    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        target = server.targets["t"]
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **own)
            for method in (client.numbers, client.async_numbers):
                for size in (0, 1_000_000):
                    items = [item async for item in await method(20, size)]
                    assert items == [(k, b"x" * size) for k in range(20)]
                async with await method(20, 0) as some:
                    assert await anext(some) == (0, b"")
                assert await client.echo(1) == 1
            while len(target.log) < 6:
                assert await client.echo(1) == 1

    run(loop, work, tls)


@every_loop
@secured
def test_a_blocking_client(loop: str, tls: bool) -> None:
    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        def calls() -> None:
            for _ in range(20):  # they send at once, before the server has looked
                with Client(HOST, port, **own) as client:
                    assert client.echo(1) == 1
            with Client(HOST, port, **own) as client:
                for size in (0, 5000, 5_000_000):
                    assert client.echo(b"x" * size) == b"x" * size
                assert list(client.numbers(3, 0)) == [(0, b""), (1, b""), (2, b"")]

        await asyncio.gather(*(asyncio.to_thread(calls) for _ in range(3)))

    run(loop, work, tls)


@every_loop
@secured
@pytest.mark.parametrize("sender", ["server", "client"])
def test_the_loop_does_not_complain_of_what_is_sent_to_a_peer_that_has_gone(
    loop: str, tls: bool, sender: str
) -> None:
    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        target = server.targets["t"]
        with FaultProxy(port) as proxy:
            async with AsyncioClient() as client:
                await client.connect_rpc(HOST, proxy.port, **own)
                if sender == "server":
                    calling = asyncio.ensure_future(client.large_when_released(20_000_000))
                    await target.entered.wait()
                    proxy.reset()
                    target.released.set()
                else:
                    proxy.reset()
                    calling = asyncio.ensure_future(client.echo(b"x" * 20_000_000))
                with pytest.raises(EOFError):
                    await calling

    with recorded("asyncio", logging.WARNING) as complaints:
        run(loop, work, tls)
    assert [text for _, _, text, _ in complaints if not text.startswith("Executing ")] == []


@every_loop
@secured
def test_stop_ends_what_is_under_way(loop: str, tls: bool) -> None:
    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        target = server.targets["t"]
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **own)
            waiting = asyncio.ensure_future(client.wait())
            await target.entered.wait()
            await server.stop()
            with pytest.raises((EOFError, ConnectionError)):
                await waiting
            assert target.log == ["begun", "ended"]

    run(loop, work, tls)


@every_loop
@secured
@pytest.mark.usefixtures("patient")
def test_stop_sends_what_has_been_answered(loop: str, tls: bool) -> None:
    size = 12_000_000  # more than sockets hold

    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **own)
            answered = asyncio.ensure_future(client.large(size))
            await server.targets["t"].entered.wait()
            await asyncio.gather(server.stop(), server.stop())
            assert len(await answered) == size

    run(loop, work, tls)


@every_loop
@secured
def test_a_peer_that_does_not_read_while_the_server_stops(loop: str, tls: bool) -> None:
    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **own)
            calls = [asyncio.ensure_future(client.echo(b"x" * 5_000_000)) for _ in range(5)]
            await asyncio.sleep(0)
            await server.stop()
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, (bytes, EOFError, ConnectionError))

    run(loop, work, tls)


@every_loop
@secured
def test_closing_when_the_loop_is_closed_already(loop: str, tls: bool) -> None:
    client = AsyncioClient()

    async def work(server: Server, port: int, own: dict[str, Any]) -> None:
        await client.connect_rpc(HOST, port, **own)
        assert await client.echo(1) == 1

    run(loop, work, tls)
    _ = client.close_rpc()  # it need not be awaited
    gc.collect()


@every_loop
@secured
def test_closing_between_two_runs_of_the_loop(loop: str, tls: bool) -> None:
    certificates: dict[str, Any] = paths_of("server", "client") if tls else {}
    own: dict[str, Any] = paths_of("client", "server") if tls else {}
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:

        async def begin() -> tuple[Server, AsyncioClient]:
            server, client = Server({"t": Target()}), AsyncioClient()
            await server.start(HOST, 0, **certificates)
            assert server.server is not None
            await client.connect_rpc(HOST, server.server.sockets[0].getsockname()[1], **own)
            return server, client

        server, client = runner.run(begin())
        _ = client.close_rpc()  # it need not be awaited
        runner.run(server.stop())
    gc.collect()
