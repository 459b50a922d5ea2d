"""Servers that start again, clients in a second loop, threads that cannot be started, copies."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sipyco_rpc._server.worker import Worker
from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.net.keepalive import async_open_connection
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server
from support.event_loops import every_loop, loop_factory
from support.peers import DEADLINE, HOST, connect_elsewhere, rpc_server, until


class Target:
    def __init__(self) -> None:
        self.calls = 0
        self.entered = threading.Event()
        self.released = threading.Event()

    def echo(self, x: Any) -> Any:
        self.calls += 1
        return x

    def items(self) -> Iterator[int]:
        yield from range(5)

    def wait(self) -> str:
        self.entered.set()
        assert self.released.wait(DEADLINE)
        return "waited"


def port_of(server: AsyncioServer) -> int:
    assert server.server is not None
    port: int = server.server.sockets[0].getsockname()[1]
    return port


async def terminated(server: Server) -> None:
    """Start a server, use it, and have a client terminate it."""
    await server.start(HOST, 0)
    async with AsyncioClient() as client:
        await client.connect_rpc(HOST, port_of(server))
        waiting = asyncio.ensure_future(server.wait_terminate())
        assert await client.echo("there") == "there"
        assert [item async for item in await client.items()] == [0, 1, 2, 3, 4]
        assert not waiting.done()
        await client.terminate()
        await waiting
    await server.stop()
    await server.wait_terminate()  # until the next start it is over


@every_loop
@pytest.mark.parametrize("threaded", [False, True])
def test_a_server_serves_again_after_it_was_terminated(loop: str, threaded: bool) -> None:
    server = Server({"t": Target()}, builtin_terminate=True, threaded=threaded)

    async def twice() -> None:
        for _ in range(2):
            async with asyncio.timeout(DEADLINE):
                await terminated(server)

    for _ in range(2):
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            runner.run(twice())


@every_loop
def test_a_server_serves_again_after_its_loop_ended_without_stop(loop: str) -> None:
    server = Server({"t": Target()})

    async def use() -> None:
        await server.start(HOST, 0)
        client = AsyncioClient()
        await client.connect_rpc(HOST, port_of(server))
        assert await client.echo(1) == 1
        with pytest.raises(RuntimeError, match="the server has been started already"):
            await server.start(HOST, 0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of what is dropped, as it should be
        for _ in range(3):
            with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
                runner.run(use())
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            runner.run(server.stop())


def test_a_driver_that_is_stuck_since_the_loop_before_has_its_turn_first() -> None:
    target = Target()
    server = Server({"t": target}, threaded=True)

    async def begin() -> None:
        await server.start(HOST, 0)
        client = AsyncioClient()
        await client.connect_rpc(HOST, port_of(server))
        waiting = asyncio.ensure_future(client.wait())
        await asyncio.to_thread(target.entered.wait, DEADLINE)
        await client.close_rpc()
        with pytest.raises(ConnectionError):
            await waiting
        await server.stop()

    async def go_on() -> None:
        async with server, AsyncioClient() as client:
            await server.start(HOST, 0)
            await client.connect_rpc(HOST, port_of(server))
            echo = asyncio.ensure_future(client.echo(5))
            assert await client.get_rpc_method_list()
            assert target.calls == 0  # the driver is not called twice at a time
            target.released.set()
            async with asyncio.timeout(DEADLINE):
                assert await echo == 5

    asyncio.run(begin())
    asyncio.run(go_on())


def test_a_worker_waits_for_those_before_it() -> None:
    done: list[str] = []
    released = threading.Event()

    def block() -> None:
        assert released.wait(DEADLINE)
        done.append("first")

    async def main() -> None:
        ended = asyncio.Event()
        first = Worker("first")
        first.submit(lambda: True, block, lambda outcome: None)
        first.stop()
        last = Worker("last", Worker("one that had nothing to do", first))
        last.submit(lambda: True, lambda: done.append("last"), lambda outcome: ended.set())
        released.set()
        async with asyncio.timeout(DEADLINE):
            await ended.wait()
        last.stop()

    asyncio.run(main())
    assert done == ["first", "last"]


@every_loop
def test_a_client_in_a_second_loop_refuses_before_anything_is_sent(loop: str) -> None:
    target = Target()
    with rpc_server({"t": target}) as port:
        client = AsyncioClient()

        async def begin() -> AsyncIterator[int]:
            await client.connect_rpc(HOST, port)
            items: AsyncIterator[int] = await client.items()
            assert await anext(items) == 0
            return items

        async def elsewhere(items: Any) -> None:
            text = (
                f"the client of {HOST} port {port} was connected in another event loop: "
                "use it there, or make another client in this one"
            )
            for work in (lambda: client.echo(1), client.get_rpc_method_list, lambda: anext(items)):
                with pytest.raises(RuntimeError) as caught:
                    await work()
                assert str(caught.value) == text

        async def end(items: Any) -> None:
            assert target.calls == 0
            assert await client.echo(2) == 2
            assert [item async for item in items] == [1, 2, 3, 4]
            others = await client.items()
            thread = threading.Thread(target=lambda: asyncio.run(others.aclose()))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert [item async for item in others] == []
            await client.close_rpc()

        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            items = runner.run(begin())
            with asyncio.Runner(loop_factory=loop_factory(loop)) as second:
                second.run(elsewhere(items))
            runner.run(end(items))


def refuse_to_start(self: threading.Thread, *args: Any, **kwargs: Any) -> None:
    raise RuntimeError("can't start new thread")


# The system may have no thread; a subinterpreter may refuse even to make a daemon of one.
refusing = pytest.mark.parametrize("method", ["start", "__init__"])


@refusing
def test_a_call_whose_thread_cannot_be_started_fails_and_the_next_one_works(
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with rpc_server({"t": Target()}, threaded=True) as port, Client(HOST, port) as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, method, refuse_to_start)
            for _ in range(3):
                with pytest.raises(
                    RuntimeError, match="no thread can be started for calls of t: "
                ):
                    client.echo(1)
        assert client.echo(2) == 2
        assert list(client.items()) == [0, 1, 2, 3, 4]


@refusing
def test_a_best_effort_client_whose_thread_cannot_be_started_tries_again_with_the_next_call(
    method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with rpc_server({"t": Target()}) as port:
        client = BestEffortClient(HOST, port, "t", DEADLINE, 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, method, refuse_to_start)
        for _ in range(3):
            assert client.echo(1) is None
    said = [record.getMessage() for record in caplog.records if "thread" in record.getMessage()]
    text = f"no thread can be started to reconnect to {HOST} port {port}, trying again at the next"
    assert said == [f"{text} call: can't start new thread"]
    with rpc_server({"t": Target()}) as other:
        connect_elsewhere(client, other)
        until(lambda: client.echo(2) == 2)
    client.close_rpc()
    client.close_rpc()

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, method, refuse_to_start)
        client = BestEffortClient(HOST, port, "t", DEADLINE, 0.01)
        client.close_rpc()


@refusing
def test_a_process_that_is_out_of_threads_serves_when_it_has_some_again(
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same for coroutine methods and generators, and for the end of generators."""

    class Asynchronous(Target):
        async def later(self) -> str:
            await asyncio.sleep(0)
            return "later"

    with rpc_server({"t": Asynchronous()}, threaded=True) as port, Client(HOST, port) as client:
        items = client.items()
        assert next(items) == 0
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, method, refuse_to_start)
            assert client.later() == "later"
            assert client.echo(1) == 1  # its thread is there
        assert list(items) == [1, 2, 3, 4]


@refusing
def test_a_name_that_is_not_looked_up_for_want_of_a_thread_is_an_error_of_the_network(
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        text = "could not look up 'localhost': can't start new thread"
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, method, refuse_to_start)
            with pytest.raises(OSError, match=text):
                await async_open_connection("localhost", 1)

    asyncio.run(main())


def copies_of(value: Any) -> Iterator[str]:
    for work in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            work(value)
        yield str(caught.value)


def refusal(value: Any) -> str:
    (text,) = set(copies_of(value))
    return text


def test_what_belongs_to_a_process_is_not_copied() -> None:
    one = "it is a connection of this process; make one where it is needed"
    items = "its items come over a connection of this process"

    async def asynchronous(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            text = f"`AsyncioClient` cannot be copied or pickled: {one}"
            assert set(copies_of(client)) == {text}
            text = f"`RemoteAsyncIterator` cannot be copied or pickled: {items}"
            assert set(copies_of(await client.items())) == {text}

    with rpc_server({"t": Target()}) as port:
        with Client(HOST, port) as client, BestEffortClient(HOST, port, "t") as best:
            assert set(copies_of(client)) == {f"`Client` cannot be copied or pickled: {one}"}
            text = f"`BestEffortClient` cannot be copied or pickled: {one}"
            assert set(copies_of(best)) == {text}
            assert set(copies_of(client.items())) == {
                f"`RemoteIterator` cannot be copied or pickled: {items}"
            }
            (text,) = set(copies_of(best.items()))
            assert text.endswith(items)
            text = "it is called by a client of this process; make one where it is needed"
            for work in (copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match=text):
                    work({"callback": client.echo})
            assert refusal(FFProxy(client)) == (
                "`FFProxy` cannot be copied or pickled: "
                "it has a thread of this process; make one where it is needed"
            )
            assert client.echo(1) == best.echo(1) == 1
        asyncio.run(asynchronous(port))
    assert refusal(Server({"t": Target()})) == (
        "`Server` cannot be copied or pickled: "
        "it listens in this process; make one where it is needed"
    )


def test_a_class_of_a_program_may_say_how_its_clients_are_copied() -> None:
    with rpc_server({"t": Target()}) as port:

        class Again(Client):
            def __reduce__(self) -> Any:
                return Again, (HOST, port)

        with Again(HOST, port) as client, copy.copy(client) as other:
            assert client.echo(1) == other.echo(1) == 1
