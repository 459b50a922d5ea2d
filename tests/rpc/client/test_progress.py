"""`call_progress`: how far large calls have come, of all clients, and what a callback may do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    AutoTarget,
    BestEffortClient,
    Client,
    Server,
    SimpleSSLConfig,
    call_progress,
    call_timeout,
)
from sipyco_rpc.wire.messages import MessageReader
from support.certificates import paths_of
from support.peers import DEADLINE, HOST, connection_of, rpc_server, running_server, until

DATA = bytes(8 * 1024 * 1024)
Seen = list[tuple[str, int, "int | None"]]


class Camera:
    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def echo(self, value: Any) -> Any:
        return value

    def take(self, value: Any) -> int:
        return len(value)

    def images(self, count: int) -> Any:
        for _ in range(count):
            yield DATA

    async def wait(self, value: Any) -> Any:
        await asyncio.Event().wait()

    async def hold(self) -> None:
        self.entered.set()
        while not self.leave.is_set():
            await asyncio.sleep(0.005)


@pytest.fixture(params=["frames", "lines", "TLS"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    if request.param == "TLS":
        config = SimpleSSLConfig(*paths_of("server", "client").values())
        with running_server(lambda: Server({"camera": Camera()}), ssl_config=config) as port:
            yield port
    else:
        with rpc_server({"camera": Camera()}, frames=request.param == "frames") as port:
            yield port


@pytest.fixture
def config(port: int, request: pytest.FixtureRequest) -> SimpleSSLConfig | None:
    if request.node.callspec.params["port"] != "TLS":
        return None
    return SimpleSSLConfig(*paths_of("client", "server").values())


def check(seen: Seen, framed: bool) -> None:
    """Look at what was told of one call that carries the data there and back."""
    for direction in ("sent", "received"):
        told = [(done, total) for which, done, total in seen if which == direction]
        dones = [done for done, _ in told]
        assert len(told) > 1
        assert dones == sorted(dones)
        if framed or direction == "sent":
            (total,) = {total for _, total in told}
            assert dones[-1] == total
            assert total is not None
            assert len(DATA) < total < 2 * len(DATA)
        else:
            assert {total for _, total in told} == {None}
            assert dones[-1] <= 2 * len(DATA)


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_blocking_call_is_told_of(
    timeout: float | None, port: int, config: SimpleSSLConfig | None
) -> None:
    seen: Seen = []
    with Client(HOST, port, AutoTarget, timeout, config) as camera:
        framed = connection_of(camera).session.framed
        with call_progress(camera, lambda *told: seen.append(told)):
            assert camera.echo(DATA) == DATA
        check(seen, framed)
        del seen[:]
        camera.echo(DATA)
        with call_progress(camera, lambda *told: seen.append(told)):
            camera.echo(5)
        assert seen == []  # what is small goes at once


def test_an_asyncio_call_is_told_of(port: int, config: SimpleSSLConfig | None) -> None:
    seen: Seen = []
    others: Seen = []

    async def main() -> None:
        async with AsyncioClient() as camera, AsyncioClient() as other:
            await camera.connect_rpc(HOST, port, AutoTarget, config)
            await other.connect_rpc(HOST, port, AutoTarget, config)
            with call_progress(camera, lambda *told: seen.append(told)):
                assert await camera.echo(DATA) == DATA
                await other.echo(DATA)
                with call_progress(None, lambda *told: others.append(told)):
                    await other.take(DATA)
            await camera.echo(DATA)

    asyncio.run(main())
    assert len([told for told in seen if told[0] == "sent"]) >= 1
    directions = [told[0] for told in seen]
    assert directions == sorted(directions, reverse=True)  # sent, then received
    total = max(told[1] for told in seen if told[0] == "received")
    assert len(DATA) <= total < 2 * len(DATA)
    assert {direction for direction, _, _ in others} == {"sent"}
    assert others[-1][1] == others[-1][2]


def test_calls_side_by_side_are_told_apart() -> None:
    first: Seen = []
    second: Seen = []

    async def call(camera: Any, seen: Seen, size: int) -> None:
        with call_progress(camera, lambda *told: seen.append(told)):
            assert len(await camera.echo(bytes(size))) == size

    async def main(port: int) -> None:
        async with AsyncioClient() as camera:
            await camera.connect_rpc(HOST, port)
            await asyncio.gather(call(camera, first, 5_000_000), call(camera, second, 3_000_000))

    with rpc_server({"camera": Camera()}, allow_parallel=True) as port:
        asyncio.run(main(port))
    for seen, size in ((first, 5_000_000), (second, 3_000_000)):
        totals = {total for _, _, total in seen}
        assert all(total is not None and size < total < size + 1000 for total in totals)
        assert [done for which, done, _ in seen if which == "received"][-1] in totals


def test_what_a_generator_gives_is_told_of_while_the_block_lasts() -> None:
    seen: Seen = []
    with rpc_server({"camera": Camera()}) as port, Client(HOST, port) as camera:
        with call_progress(camera, lambda *told: seen.append(told)):
            images = camera.images(5)
            assert next(images) == next(images) == DATA
            camera.echo(b"x")  # another call between them changes nothing
            assert next(images) == DATA
        ends = [told for told in seen if told[1] == told[2]]
        assert len(ends) >= 3
        del seen[:]
        assert len(list(images)) == 2
    assert seen == []


def test_a_best_effort_client_is_told_of() -> None:
    seen: Seen = []
    with rpc_server({"camera": Camera()}) as port:
        camera = BestEffortClient(HOST, port, "camera")
        try:
            with call_progress(camera, lambda *told: seen.append(told)):
                assert camera.echo(DATA) == DATA
        finally:
            camera.close_rpc()
    check(seen, True)


@pytest.mark.parametrize("error", [ValueError("mine"), OSError("mine"), TimeoutError("mine")])
def test_what_a_callback_raises_is_raised_by_the_block(error: Exception) -> None:
    seen: Seen = []

    def fail(*told: Any) -> None:
        seen.append(told)
        raise error

    with rpc_server({"camera": Camera()}) as port, Client(HOST, port) as camera:
        with pytest.raises(type(error), match="mine"):
            with call_progress(camera, fail):
                assert camera.echo(DATA) == DATA  # the call is not disturbed
        assert len(seen) == 1
        assert camera.echo(5) == 5


def test_an_error_of_the_block_goes_before_that_of_the_callback() -> None:
    def fail(*told: Any) -> None:
        raise ValueError("mine")

    with rpc_server({"camera": Camera()}) as port, Client(HOST, port) as camera:
        block = call_progress(camera, fail)
        with pytest.raises(AttributeError), block:  # noqa: PT012
            camera.echo(DATA)
            camera.nosuch()


def test_a_limit_of_time_holds_inside_and_outside() -> None:
    seen: Seen = []
    with rpc_server({"camera": Camera()}) as port, Client(HOST, port) as camera:
        with call_progress(camera, lambda *told: seen.append(told)), call_timeout(camera, 0.2):
            with pytest.raises(TimeoutError):
                camera.wait(5)  # which is sent at once: the connection lives on
        with call_timeout(camera, DEADLINE), call_progress(None, lambda *told: seen.append(told)):
            assert camera.echo(DATA) == DATA
    received = [done for which, done, _ in seen if which == "received"]
    assert received == sorted(received)
    assert len(DATA) <= received[-1]


def test_who_waits_for_another_thread_sends_what_was_given() -> None:
    service = Camera()
    seen: Seen = []
    value = [DATA, 1]
    results: list[bool] = []

    def call(camera: Any) -> None:
        with call_progress(camera, lambda *told: seen.append(told)):
            results.append(camera.echo(value) == [DATA, 1])

    with rpc_server({"camera": service}) as port, Client(HOST, port) as camera:
        threads = [
            threading.Thread(target=camera.hold),
            threading.Thread(target=call, args=(camera,)),
        ]
        threads[0].start()
        assert service.entered.wait(DEADLINE)
        threads[1].start()
        until(lambda: bool(connection_of(camera).lock.waiting))
        value[1] = 2
        service.leave.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert results == [True]
    check(seen, True)


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a client of sipyco, or None, got 5"):
        with call_progress(5, print):
            pass


def test_parts_of_messages_are_reported_as_they_come() -> None:
    told: list[tuple[int, int, int | None]] = []
    reader = MessageReader()
    reader.report = lambda *part: told.append(part)
    assert reader.feed(b"[1") == []
    assert reader.feed(b"]\n") == [(1, b"[1]", [])]
    assert set(told) == {(1, 2, None)}
    reader.expect_frames()
    del told[:]
    assert reader.feed(b"#7 3 3\n[1") == []
    reader.feed(b"]ab")
    assert [message[0] for message in reader.feed(b"c")] == [7]
    assert told[-1] == (7, 6, 6)
    assert [part[0] for part in told] == [7] * len(told)
    reader.feed(b"#8 2\n[]")  # all of it at once
    assert told[-1][0] == 7
