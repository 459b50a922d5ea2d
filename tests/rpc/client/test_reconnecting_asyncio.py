"""The asyncio client that reconnects in the background: what waits, what is not sent twice."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from sipyco_rpc._client.aio import connector
from sipyco_rpc._client.aio import lasting as lasting_module
from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    ConnectionLost,
    IncompatibleServer,
    Server,
    call_timeout,
)
from sipyco_rpc.support.lost import not_sent
from support.event_loops import every_loop, loop_factory
from support.forks import in_child
from support.peers import (
    DEADLINE,
    HOST,
    Peer,
    connection_of,
    handshake,
    rpc_server,
    scripted_server,
)
from support.programs import free_port
from support.servers import server_at
from support.transports import TRANSPORTS, every_transport

REFUSED = "Connection refused: could not connect to"


class Target:
    def __init__(self, name: str = "") -> None:
        self.name = name

    def echo(self, value: Any) -> Any:
        return value

    def who(self) -> str:
        return self.name

    def items(self) -> Iterator[int]:
        yield from range(1000)


class Other:
    def look(self) -> int:
        return 7


class Looked:
    @property
    def look(self) -> int:
        return 8


def run(main: Callable[[], Coroutine[Any, Any, None]], loop: str = "asyncio") -> None:
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(asyncio.wait_for(main(), DEADLINE))


@asynccontextmanager
async def serving(port: int, target: Any, name: str = "t", **tls: Any) -> AsyncIterator[None]:
    server = Server({name: target})
    await server.start(HOST, port, **tls)
    try:
        yield
    finally:
        await server.stop()


class States:
    """What a client tells, and waiting for it."""

    def __init__(self) -> None:
        self.seen: list[bool] = []
        self.reasons: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, connected: bool, reason: str) -> None:
        self.seen.append(connected)
        self.reasons.append(reason)
        self._changed.set()

    async def until(self, seen: list[bool]) -> None:
        while self.seen != seen:
            self._changed.clear()
            await self._changed.wait()


@every_loop
@every_transport
def test_a_call_waits_for_a_server_that_comes_back(transport: str, loop: str) -> None:
    ours, theirs = TRANSPORTS[transport]()
    port = free_port()

    async def main() -> None:
        states = States()
        async with AsyncioClient(reconnect=DEADLINE, state_cb=states) as client:
            async with serving(port, Target("first"), **ours):
                await client.connect_rpc(HOST, port, **theirs)
                who = client.who
                assert await who() == "first"
            await states.until([True, False])
            given = [1]
            calls = asyncio.gather(who(), client.echo(given))
            await asyncio.sleep(0)
            given.append(2)
            async with serving(port, Target("second"), **ours):
                assert await calls == ["second", [1]]
                assert states.seen == [True, False, True]
                assert client.get_rpc_id() == (["t"], None)
                assert (await client.get_rpc_method_list())["methods"].keys() >= {"who"}
                assert client.get_local_host() == HOST

    run(main, loop)


@every_loop
def test_it_connects_again_without_a_call(loop: str) -> None:
    port = free_port()

    async def main() -> None:
        states = States()
        async with AsyncioClient(reconnect=DEADLINE, state_cb=states) as client:
            async with serving(port, Target()):
                await client.connect_rpc(HOST, port)
            await states.until([True, False])
            async with serving(port, Target()):
                await states.until([True, False, True])
            await states.until([True, False, True, False])
        where = f"{HOST} port {port}"
        assert states.reasons[:2] == [
            f"connected to {where}",
            f"the connection to {where} was closed by the other side earlier",
        ]

    run(main, loop)


def test_connecting_waits_and_raises_what_a_plain_client_does() -> None:
    async def main() -> None:
        port = free_port()
        with pytest.raises(ConnectionRefusedError, match=REFUSED):
            await AsyncioClient(reconnect=0.05).connect_rpc(HOST, port)
        with pytest.raises(ConnectionRefusedError, match=REFUSED):
            await AsyncioClient(reconnect=0).connect_rpc(HOST, port)
        with pytest.raises(TimeoutError, match="connecting on"):
            await AsyncioClient(0.05, reconnect=1000).connect_rpc(HOST, port)
        async with AsyncioClient(reconnect=DEADLINE) as client:
            connecting = asyncio.create_task(client.connect_rpc(HOST, port))
            await asyncio.sleep(0)
            async with serving(port, Target()):
                await connecting
                assert await client.echo(5) == 5
                with pytest.raises(RuntimeError, match="already connected"):
                    await client.connect_rpc(HOST, port)
        async with serving(port, Target()):
            with pytest.raises(IncompatibleServer, match="no target `c`"):
                await AsyncioClient(reconnect=1000).connect_rpc(HOST, port, "c")
        tasks = [task for task in asyncio.all_tasks() if "connecting" in task.get_name()]
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main)


def test_a_call_raises_when_its_time_is_over_and_says_that_it_was_not_sent() -> None:
    port = free_port()

    async def main() -> None:
        for seconds, within in ((0.05, " within 0.05 s"), (0, "")):
            async with AsyncioClient(reconnect=DEADLINE) as client:
                async with serving(port, Target()):
                    await client.connect_rpc(HOST, port)
                vars(client)["_AsyncioClient__connection"]._patience = seconds
                text = rf"call of `t\.echo`: no connection to {HOST} port {port}{within}: "
                for _ in range(2):
                    with pytest.raises(ConnectionLost, match=text) as caught:
                        await client.echo(1)
                    assert not caught.value.sent

    run(main)


def test_a_call_that_was_under_way_is_an_error_and_never_sent_twice() -> None:
    calls: list[bytes] = []

    def play(peer: Peer) -> None:
        handshake(peer)
        calls.append(peer.line())
        if b'"g"' in calls[-1]:
            peer.send(b'{"status":"ok","ret":5}\n')
            peer.line()

    async def main() -> None:
        async with AsyncioClient(reconnect=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(ConnectionLost, match="connected again in the background") as lost:
                await client.f(1)
            assert lost.value.sent
            assert await client.g(2) == 5

    with scripted_server(play) as port:
        run(main)
    assert [b'"f"' in call for call in calls] == [True, False]


@every_loop
@every_transport
def test_a_call_is_not_sent_into_a_connection_that_has_ended(transport: str, loop: str) -> None:
    """The server has gone while the loop did something else."""
    ours, theirs = TRANSPORTS[transport]()
    port = free_port()

    async def main() -> None:
        async with AsyncioClient(reconnect=DEADLINE) as client:
            with server_at(port, {"t": Target("first")}, **ours):
                await client.connect_rpc(HOST, port, **theirs)
                assert await client.who() == "first"
            # Nothing has run in this loop since the server went.
            with server_at(port, {"t": Target("second")}, **ours):
                assert await client.who() == "second"

    run(main, loop)


def test_call_timeout_and_timeout_count_the_waiting() -> None:
    port = free_port()

    async def main() -> None:
        async with (
            AsyncioClient(reconnect=1000) as client,
            AsyncioClient(0.2, reconnect=1000) as hasty,
        ):
            async with serving(port, Target()):
                await client.connect_rpc(HOST, port)
                await hasty.connect_rpc(HOST, port)
            text = r"call of `t\.echo` on .* timed out after .* s, waiting for a connection: "
            with call_timeout(client, 0.1), pytest.raises(TimeoutError, match=text):
                await client.echo(1)
            with pytest.raises(TimeoutError, match=text):
                await hasty.echo(1)

    run(main)


def test_connections_that_are_lost_at_once_do_not_make_a_call_wait_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now)
    until: list[float] = []
    wait_for_news = connector.AsyncioConnector._news

    async def news(self: Any, seconds: float) -> None:
        until.append(now + seconds)
        await wait_for_news(self, DEADLINE)

    async def lose(connection: Any) -> None:
        nonlocal now
        now += 600
        connection._abort("lost")
        raise not_sent("lost")

    async def main() -> None:
        async with serving(port, Target()), AsyncioClient(reconnect=1000) as client:
            await client.connect_rpc(HOST, port)
            lasting = connection_of(client)
            for module in (connector, lasting_module):
                monkeypatch.setattr(module, "time", clock)
            monkeypatch.setattr(connector.AsyncioConnector, "_news", news)
            with pytest.raises(ConnectionLost):
                await lasting.ask("asking", lose)
            assert now == 1800

    port = free_port()
    run(main)
    assert set(until) == {1600}


def test_close_rpc_and_cancellation_end_the_waiting() -> None:
    port = free_port()

    async def main() -> None:
        client = AsyncioClient(reconnect=1000)
        async with serving(port, Target()):
            await client.connect_rpc(HOST, port)
        await asyncio.sleep(0)
        calls = [asyncio.create_task(client.echo(n)) for n in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        await asyncio.wait(calls[:1])
        assert calls[0].cancelled()
        await client.close_rpc()
        await client.close_rpc()
        for call in calls[1:]:
            with pytest.raises(ConnectionLost, match="closed by this program"):
                await call
        with pytest.raises(ConnectionLost, match="closed by this program"):
            await client.echo(1)
        assert len(asyncio.all_tasks()) <= 2

    run(main)


def test_a_callback_that_closes_the_client_leaves_no_task_behind() -> None:
    port = free_port()

    async def main() -> None:
        async def state_cb(connected: bool, reason: str) -> None:
            if not connected:
                await client.close_rpc()
                closed.set()

        closed = asyncio.Event()
        client = AsyncioClient(reconnect=1000, state_cb=state_cb)
        async with serving(port, Target()):
            await client.connect_rpc(HOST, port)
        await closed.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not [task for task in asyncio.all_tasks() if "connecting" in task.get_name()]

    run(main)


def test_a_target_that_has_gone_and_a_method_that_has_gone() -> None:
    port = free_port()

    async def main() -> None:
        async with AsyncioClient(reconnect=DEADLINE) as client:
            async with serving(port, Target()):
                await client.connect_rpc(HOST, port)
                echo = client.echo
            async with serving(port, Target(), "u"):
                with pytest.raises(IncompatibleServer, match="no target `t`"):
                    await echo(1)
            async with serving(port, Other()):
                with pytest.raises(AttributeError, match="`t` has no method `echo`"):
                    await echo(1)
                assert await client.look() == 7

    run(main)


def test_a_target_that_is_selected_later_is_selected_again() -> None:
    port = free_port()

    async def main() -> None:
        async with AsyncioClient(reconnect=DEADLINE) as client:
            async with serving(port, Target("first")):
                await client.connect_rpc(HOST, port, None)
                await client.select_rpc_target("t")
                assert await client.who() == "first"
            async with serving(port, Target("second")):
                assert await client.who() == "second"

    run(main)


def test_the_items_of_a_generator_end_with_the_connection() -> None:
    port = free_port()

    async def main() -> None:
        async with AsyncioClient(reconnect=DEADLINE) as client:
            async with serving(port, Target()):
                await client.connect_rpc(HOST, port)
                items = await client.items()
                assert await anext(items) == 0
            with pytest.raises(ConnectionLost):
                async for _ in items:
                    pass
            async with serving(port, Target()):
                assert [item async for item in await client.items()] == list(range(1000))

    run(main)


def test_a_coroutine_function_is_awaited_and_may_call_methods(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()

    async def main() -> None:
        told: list[Any] = []
        back = asyncio.Event()

        async def tell(connected: bool, reason: str) -> None:
            told.append(connected)
            if not connected:
                raise ValueError("no lamp")
            if len(told) > 1:
                told.append(await client.who())
                back.set()

        async with AsyncioClient(reconnect=DEADLINE, state_cb=tell) as client:
            async with serving(port, Target()):
                await client.connect_rpc(HOST, port)
            async with serving(port, Target("second")):
                await back.wait()
        assert told[:4] == [True, False, True, "second"]

    run(main)
    assert "no lamp" in caplog.text


@every_loop
def test_a_callback_may_wait_for_the_next_connection(loop: str) -> None:
    port = free_port()

    async def main() -> None:
        told: list[Any] = []
        done = asyncio.Event()

        async def tell(connected: bool, reason: str) -> None:
            told.append((connected, await client.who()))
            if len(told) == 3:
                done.set()

        async with AsyncioClient(reconnect=DEADLINE, state_cb=tell) as client:
            async with serving(port, Target("first")):
                await client.connect_rpc(HOST, port)
                while not told:
                    await client.echo(1)
            async with serving(port, Target("second")):
                await done.wait()
            assert told[:3] == [(True, "first"), (False, "second"), (True, "second")]

    run(main, loop)


def test_a_callback_that_is_cancelled_does_not_end_the_attempts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()

    async def main() -> None:
        back, asked = asyncio.Event(), asyncio.get_running_loop().create_future()
        asked.cancel()

        async def tell(connected: bool, reason: str) -> None:
            if not connected:
                await asked  # as of a task that something else has cancelled
            back.set()

        async with AsyncioClient(reconnect=DEADLINE, state_cb=tell) as client:
            async with serving(port, Target()):
                await client.connect_rpc(HOST, port)
                await back.wait()
                back.clear()
            async with serving(port, Target()):
                await back.wait()

    run(main)
    assert "error in the callback of state changes" in caplog.text


def test_closing_ends_a_callback_that_waits() -> None:
    port = free_port()

    async def main() -> None:
        waits, ended = asyncio.Event(), asyncio.Event()

        async def tell(connected: bool, reason: str) -> None:
            waits.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with serving(port, Target()):
            async with AsyncioClient(reconnect=DEADLINE, state_cb=tell) as client:
                await client.connect_rpc(HOST, port)
                await waits.wait()
                assert await client.echo(1) == 1
            await ended.wait()

    run(main)


def test_a_method_of_before_does_not_hide_what_is_a_property_now() -> None:
    port = free_port()

    async def main() -> None:
        async with AsyncioClient(reconnect=DEADLINE) as client:
            async with serving(port, Other()):
                await client.connect_rpc(HOST, port)
                look = client.look
                assert await look() == 7
            server = Server({"t": Looked()}, properties=True)
            await server.start(HOST, port)
            try:
                with pytest.raises(AttributeError, match="`t` has no method `look`"):
                    await look()
                assert await client.look == 8
            finally:
                await server.stop()

    run(main)


def test_what_a_property_is_set_to_is_what_was_given() -> None:
    class Settable:
        value: Any = None

        @property
        def setting(self) -> Any:
            return self.value

        @setting.setter
        def setting(self, value: Any) -> None:
            self.value = value

    async def main() -> None:
        target = Settable()
        server = Server({"t": target}, properties=True)
        port = free_port()
        await server.start(HOST, port)
        try:
            async with AsyncioClient(reconnect=DEADLINE) as client:
                await client.connect_rpc(HOST, port)
                given = [1]
                task = asyncio.create_task(client.setting.set(given))
                await asyncio.sleep(0)
                given.append(2)
                await task
                assert target.value == [1]
        finally:
            await server.stop()

    run(main)


def test_a_client_that_nobody_refers_to_ends_its_attempts() -> None:
    port = free_port()

    async def main() -> None:
        client = AsyncioClient(reconnect=DEADLINE)
        async with serving(port, Target()):
            await client.connect_rpc(HOST, port)
            states = vars(client)["_AsyncioClient__connection"]
        while states._task is None:
            await asyncio.sleep(0)
        task = states._task
        del client, states
        await task

    run(main)


def test_another_loop_is_refused() -> None:
    with rpc_server({"t": Target()}) as port:
        client = AsyncioClient(reconnect=DEADLINE)
        with asyncio.Runner() as runner:
            runner.run(client.connect_rpc(HOST, port))

            async def call() -> None:
                with pytest.raises(RuntimeError, match="was connected in another event loop"):
                    await client.echo(1)

            thread = threading.Thread(target=lambda: asyncio.run(call()))
            thread.start()
            thread.join(DEADLINE)
            runner.run(closed(client))


async def closed(client: AsyncioClient) -> None:
    await client.close_rpc()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_was_forked_makes_its_own_connection() -> None:
    with rpc_server({"t": Target()}) as port:
        client = AsyncioClient(reconnect=DEADLINE)

        async def use() -> Any:
            got = await client.echo("ours")
            await client.close_rpc()
            return got

        with asyncio.Runner() as runner:
            runner.run(client.connect_rpc(HOST, port))
            assert in_child(lambda: asyncio.run(use())) == "ours"
            assert runner.run(use()) == "ours"


def test_a_server_that_hangs_up_again_and_again_is_not_flooded() -> None:
    connections: list[float] = []

    def play(peer: Peer) -> None:
        connections.append(time.monotonic())
        handshake(peer)
        peer.socket.shutdown(socket.SHUT_RDWR)

    async def main() -> None:
        async with AsyncioClient(reconnect=0.3) as client:
            await client.connect_rpc(HOST, port)
            for _ in range(4):
                with pytest.raises(ConnectionLost):
                    await client.f()

    with scripted_server(play) as port:
        run(main)
    pauses = [b - a for a, b in itertools.pairwise(connections)]
    assert pauses
    assert min(pauses) > 0.07  # the first one, less its jitter


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"reconnect": -1}, ValueError),
        ({"state_cb": print}, ValueError),
        ({"reconnect": 1, "state_cb": 5}, TypeError),
    ],
)
def test_parameters_that_make_no_sense(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        AsyncioClient(**options)
