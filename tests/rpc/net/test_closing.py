"""`AsyncioClient.close_rpc`, made early and run late, or dropped; under each event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from sipyco_rpc._client.aio.closing import Closing
from sipyco_rpc.pc_rpc import AsyncioClient, Server
from support.certificates import paths_of
from support.event_loops import LOOPS, loop_factory
from support.peers import DEADLINE, HOST, running_server, until


class Target:
    def echo(self, x: Any) -> Any:
        return x


class CountingServer(Server):
    """Tells how many connections there are."""

    made: CountingServer

    def __init__(self) -> None:
        super().__init__({"t": Target()})
        CountingServer.made = self

    @property
    def connections(self) -> int:
        return self._admission.count


class Connected(NamedTuple):
    loop: asyncio.AbstractEventLoop
    client: AsyncioClient
    server: CountingServer


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, dict[str, Any]]]:
    tls = request.param == "tls"
    theirs: dict[str, Any] = paths_of("server", "client") if tls else {}
    ours: dict[str, Any] = paths_of("client", "server") if tls else {}
    with running_server(CountingServer, **theirs) as port:
        yield port, ours


@pytest.fixture(params=LOOPS)
def connected(
    request: pytest.FixtureRequest, server: tuple[int, dict[str, Any]]
) -> Iterator[Connected]:
    port, ours = server
    loop = loop_factory(request.param)()
    client = AsyncioClient()
    loop.run_until_complete(client.connect_rpc(HOST, port, **ours))
    assert CountingServer.made.connections == 1
    yield Connected(loop, client, CountingServer.made)
    until(lambda: CountingServer.made.connections == 0)
    if not loop.is_closed():
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@contextmanager
def no_warning_of_ours() -> Iterator[None]:
    """Fail if something warns; uvloop does, of a loop that is closed with a connection in it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    texts = [str(warning.message) for warning in caught]
    assert [text for text in texts if "<TCPTransport closed=False" not in text] == []


def test_what_is_made_early_closes_when_it_is_run(connected: Connected) -> None:
    # addCleanup(loop.run_until_complete, client.close_rpc())
    loop, client, server = connected
    closing = client.close_rpc()
    assert loop.run_until_complete(client.echo(1)) == 1
    assert server.connections == 1
    loop.run_until_complete(closing)
    with pytest.raises(ConnectionError, match="closed by this program"):
        loop.run_until_complete(client.echo(2))


def test_what_is_made_before_connecting_closes_what_is_connected_later() -> None:
    async def main() -> None:
        client = AsyncioClient()
        closing = client.close_rpc()
        async with Server({"t": Target()}) as server:
            await server.start(HOST, 0)
            assert server.server is not None
            await client.connect_rpc(HOST, server.server.sockets[0].getsockname()[1])
            assert await client.echo(1) == 1
            await closing
            with pytest.raises(ConnectionError, match="closed by this program"):
                await client.echo(2)

    asyncio.run(main())


def test_what_is_dropped_closes_then(connected: Connected) -> None:
    loop, client, server = connected
    with no_warning_of_ours():
        closing = client.close_rpc()
        assert loop.run_until_complete(client.echo(1)) == 1
        del closing
        until(lambda: server.connections == 0)


def test_what_was_ended_without_being_run_closes_when_it_is_dropped(connected: Connected) -> None:
    loop, client, server = connected
    closing = client.close_rpc()
    closing.close()
    assert loop.run_until_complete(client.echo(1)) == 1
    del closing
    until(lambda: server.connections == 0)


def test_a_task_that_is_cancelled_before_it_begins_has_closed(connected: Connected) -> None:
    loop, client, _ = connected

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(client.close_rpc())
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        with pytest.raises(ConnectionError, match="closed by this program"):
            await client.echo(1)

    loop.run_until_complete(main())


@pytest.mark.parametrize("awaited", [False, True], ids=["dropped", "awaited"])
def test_after_the_loop_is_closed_nothing_is_raised(connected: Connected, awaited: bool) -> None:
    loop, client, server = connected
    with no_warning_of_ours():
        early = client.close_rpc()
        loop.close()
        if awaited:
            asyncio.run(client.close_rpc())  # type: ignore[arg-type]
            asyncio.run(early)  # type: ignore[arg-type]
        client.close_rpc()
        del early, loop, client, connected
    until(lambda: server.connections == 0)


@pytest.mark.parametrize("awaited", [False, True], ids=["dropped", "awaited"])
def test_another_thread_may_close_while_the_loop_runs(connected: Connected, awaited: bool) -> None:
    loop, client, _ = connected
    closings = [client.close_rpc()]

    def close() -> None:
        if awaited:
            asyncio.run(closings.pop())  # type: ignore[arg-type]
        closings.clear()

    async def main() -> None:
        connection = client._AsyncioClient__connection  # type: ignore[attr-defined]
        thread = threading.Thread(target=close)
        thread.start()
        async with asyncio.timeout(DEADLINE):
            await connection.lost
        thread.join(DEADLINE)

    loop.run_until_complete(main())


def test_another_thread_may_drop_it_while_the_loop_stands_still(connected: Connected) -> None:
    loop, client, server = connected
    closings = [client.close_rpc()]
    thread = threading.Thread(target=closings.clear)
    thread.start()
    thread.join(DEADLINE)
    assert server.connections == 1  # nobody but its loop may touch it
    loop.run_until_complete(asyncio.sleep(0))


def test_a_task_that_is_cancelled_while_it_closes_has_closed(connected: Connected) -> None:
    loop, client, _ = connected

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(client.close_rpc())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        with pytest.raises(ConnectionError, match="closed by this program"):
            await client.echo(1)

    loop.run_until_complete(main())


def test_what_is_dropped_never_raises() -> None:
    def connection() -> Any:
        raise ZeroDivisionError

    Closing(connection)  # pytest would tell of an error in `__del__`


def test_a_loop_may_be_closed_in_the_moment_in_which_another_thread_closes() -> None:
    class Loop:
        def is_running(self) -> bool:
            return True

        def call_soon_threadsafe(self, callback: Any) -> None:
            raise RuntimeError("Event loop is closed")

    class Connection:
        loop = Loop()
        closed = 0

        def close(self) -> None:
            self.closed += 1

    connection = Connection()
    Closing(lambda: connection)  # type: ignore[arg-type, return-value]
    assert connection.closed == 1
