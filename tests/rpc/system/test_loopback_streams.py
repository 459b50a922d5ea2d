"""Generators over loopback: items as they are asked for, and every way to end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from sipyco_rpc._server import connection
from sipyco_rpc._server import target as target_module
from sipyco_rpc._server.generator import ServedGenerator
from sipyco_rpc._server.lock import CallLock
from sipyco_rpc._server.worker import Outcome, Worker
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server, call_timeout
from support.feeds import comes_true, port_of
from support.generators import Items, record_of_call
from support.peers import DEADLINE, HOST, connected, running_server, until

SERVERS: dict[str, dict[str, bool]] = {
    "plain": {},
    "threaded": {"threaded": True},
    "parallel": {"allow_parallel": True},
}
every_server = pytest.mark.parametrize("options", SERVERS.values(), ids=SERVERS)
both_generators = pytest.mark.parametrize("kind", ["plain", "asynchronous"])


class Target:
    """Generators that tell how far they have come."""

    def __init__(self) -> None:
        self.given = 0
        self.ended: list[str] = []
        self.released = threading.Event()
        self.running = 0  # steps, and calls of `alone`

    def plain(self, count: int, size: int = 0) -> Iterator[Any]:
        try:
            for number in range(count):
                self.given += 1
                yield bytes([number % 256]) * size if size else number
        finally:
            self.ended.append("plain")

    async def asynchronous(self, count: int, size: int = 0) -> AsyncIterator[Any]:
        try:
            for number in range(count):
                await asyncio.sleep(0)
                self.given += 1
                yield bytes([number % 256]) * size if size else number
        finally:
            await asyncio.sleep(0)
            self.ended.append("asynchronous")

    def plain_failing(self, count: int) -> Iterator[int]:
        yield from range(count)
        raise KeyError("in mid-stream")

    async def asynchronous_failing(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        raise KeyError("in mid-stream")

    async def plain_later(self, count: int) -> Iterator[int]:
        """Return a generator after a while."""
        await asyncio.sleep(0)
        return self.plain(count)

    async def asynchronous_later(self, count: int) -> AsyncIterator[int]:
        await asyncio.sleep(0)
        return self.asynchronous(count)

    def plain_odd(self) -> Iterator[Any]:
        try:
            yield 1
            yield object()
            yield 3
        finally:
            self.ended.append("plain")

    async def asynchronous_odd(self) -> AsyncIterator[Any]:
        try:
            yield 1
            yield object()
            yield 3
        finally:
            self.ended.append("asynchronous")

    async def asynchronous_gated(self) -> AsyncIterator[int]:
        """Give items, but the second only when it is released."""
        yield 0
        while not self.released.is_set():
            await asyncio.sleep(0.002)
        yield 1
        yield 2

    def plain_gated(self) -> Iterator[int]:
        yield 0
        assert self.released.wait(DEADLINE)
        yield 1
        yield 2

    def plain_steps(self, count: int) -> Iterator[int]:
        for number in range(count):
            assert self.running == 0
            self.running += 1
            self.running -= 1
            yield number

    async def asynchronous_steps(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            assert self.running == 0
            self.running += 1
            for _ in range(3):
                await asyncio.sleep(0)
            self.running -= 1
            yield number

    async def alone(self, x: Any = None) -> Any:
        assert self.running == 0
        self.running += 1
        for _ in range(3):
            await asyncio.sleep(0)
        self.running -= 1
        return x

    def arrays(self, count: int) -> Iterator[Any]:
        import numpy

        for number in range(count):
            yield numpy.full((100, 100), number), [numpy.arange(number * 1000)]

    def echo(self, x: Any = None) -> Any:
        return x

    def progress(self) -> int:
        return self.given

    def nested(self) -> Any:
        return [self.plain(3)]


@contextlib.contextmanager
def serving(target: Any, **options: Any) -> Iterator[int]:
    with running_server(lambda: Server({"t": target}, **options)) as port:
        yield port


def run(port: int, work: Callable[[AsyncioClient], Any]) -> None:
    """Run a coroutine function with a client."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE), AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            await work(client)

    asyncio.run(main())


async def items_of(generator: Any) -> list[Any]:
    return [item async for item in await generator]


# --- all items -------------------------------------------------------------------------------


@every_server
@both_generators
def test_all_items_come_in_order(kind: str, options: dict[str, bool]) -> None:
    target = Target()
    counts = [0, 1, 2, 3, 200]
    with serving(target, **options) as port:
        with Client(HOST, port) as client, BestEffortClient(HOST, port, "t", DEADLINE) as best:
            for name in (kind, f"{kind}_later"):
                for some in (client, best):
                    for count in counts:
                        assert list(getattr(some, name)(count)) == list(range(count))
                    assert some.echo(1) == 1

        async def work(client: AsyncioClient) -> None:
            for name in (kind, f"{kind}_later"):
                for count in counts:
                    assert await items_of(getattr(client, name)(count)) == list(range(count))
                assert await client.echo(1) == 1

        run(port, work)
    assert len(target.ended) == 6 * len(counts)


@every_server
@both_generators
def test_an_exception_in_mid_stream_comes_after_the_items(
    kind: str, options: dict[str, bool]
) -> None:
    name = f"{kind}_failing"
    with serving(Target(), **options) as port:
        with Client(HOST, port) as client, BestEffortClient(HOST, port, "t", DEADLINE) as best:
            for some in (client, best):
                for count in (0, 1, 5):
                    items = getattr(some, name)(count)
                    assert [next(items) for _ in range(count)] == list(range(count))
                    with pytest.raises(KeyError, match="in mid-stream"):
                        next(items)
                    with pytest.raises(StopIteration):
                        next(items)
                    assert some.echo(1) == 1

        async def work(client: AsyncioClient) -> None:
            items = await getattr(client, name)(2)
            assert [await anext(items), await anext(items)] == [0, 1]
            with pytest.raises(KeyError, match="in mid-stream"):
                await anext(items)
            with pytest.raises(StopAsyncIteration):
                await anext(items)
            assert await client.echo(1) == 1

        run(port, work)


@every_server
def test_arrays_as_items(options: dict[str, bool]) -> None:
    numpy = pytest.importorskip("numpy")

    def check(number: int, item: Any) -> None:
        assert (item[0] == numpy.full((100, 100), number)).all()
        assert (item[1][0] == numpy.arange(number * 1000)).all()
        assert item[0].flags.writeable

    with serving(Target(), **options) as port:
        with Client(HOST, port) as client:
            for number, item in enumerate(client.arrays(50)):
                check(number, item)

        async def work(client: AsyncioClient) -> None:
            for number, item in enumerate(await items_of(client.arrays(50))):
                check(number, item)

        run(port, work)


@both_generators
def test_large_items(kind: str) -> None:
    with serving(Target()) as port:
        with Client(HOST, port) as client:
            for number, item in enumerate(getattr(client, kind)(20, 5_000_000)):
                assert item == bytes([number]) * 5_000_000

        async def work(client: AsyncioClient) -> None:
            one, two = await client.plain(10, 5_000_000), await client.asynchronous(10, 3_000_000)
            for number in range(10):
                assert await anext(one) == bytes([number]) * 5_000_000
                assert await anext(two) == bytes([number]) * 3_000_000

        run(port, work)


@every_server
@both_generators
def test_an_item_that_cannot_be_sent_ends_the_generator(
    kind: str, options: dict[str, bool]
) -> None:
    target = Target()
    with serving(target, **options) as port, Client(HOST, port) as client:
        items = getattr(client, f"{kind}_odd")()
        assert next(items) == 1
        with pytest.raises(TypeError, match="object"):
            next(items)
        with pytest.raises(StopIteration):
            next(items)
        until(lambda: target.ended == [kind])
        assert client.echo(1) == 1


def test_a_generator_inside_of_a_value_cannot_be_sent() -> None:
    with serving(Target()) as port, Client(HOST, port) as client:
        with pytest.raises(TypeError, match="generator"):
            client.nested()


@pytest.mark.parametrize("options", [{"frames": False}, {}], ids=["old server", "old client"])
@both_generators
def test_without_frames_a_generator_is_an_error_that_says_why(
    kind: str, options: dict[str, bool]
) -> None:
    target = Target()
    with serving(target, **options) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n")
        peer.line()
        peer.line()
        for name in (kind, f"{kind}_later"):
            peer.send(
                b'{"action":"call","name":"%b","args":[3],"kwargs":{}}\n' % name.encode("ascii")
            )
            answer = peer.line()
            assert answer.startswith(b'{"status":"failed","exception":{"class":"TypeError"')
            assert b"the method returns a generator; its items can only be sent to" in answer
        peer.send(b'{"action":"call","name":"echo","args":[1],"kwargs":{}}\n')
        assert peer.line() == b'{"status":"ok","ret":1}\n'
    assert target.given == 0


# --- as they are asked for -------------------------------------------------------------------


@every_server
@both_generators
def test_a_generator_runs_only_a_few_items_ahead(kind: str, options: dict[str, bool]) -> None:
    target = Target()
    with serving(target, **options) as port, Client(HOST, port) as client:
        items = getattr(client, kind)(1000)
        for _ in range(20):
            assert client.echo(1) == 1
        assert target.given == 0  # nothing runs before the first is asked for
        assert next(items) == 0
        for _ in range(20):
            assert client.echo(1) == 1  # other calls of the client go on
        assert target.given <= 2
        for number in range(1, 101):
            assert next(items) == number
        for _ in range(20):
            assert client.echo(1) == 1
        assert target.given <= 101 + 64
        items.close()


@both_generators
def test_a_generator_of_large_items_runs_two_ahead(kind: str) -> None:
    target = Target()
    with serving(target) as port, Client(HOST, port) as client:
        items = getattr(client, kind)(1000, 1_000_000)
        for number in range(5):
            assert next(items) == bytes([number]) * 1_000_000
            for _ in range(5):
                assert client.echo(1) == 1
            assert target.given <= number + 3


def test_a_reader_that_stops_reading_stalls_the_generator() -> None:
    """Whatever was allowed: what cannot be sent is not made."""
    target = Target()
    with serving(target) as port, connected(port) as peer, Client(HOST, port) as other:
        peer.send(b"ARTIQ pc_rpc\nt pyon_v2 frames\n")
        peer.line()
        call = b'{"action":"call","name":"plain","args":[1000,1000000],"kwargs":{}}'
        peer.send(b"#1 %d\n%b" % (len(call), call))
        peer.send(b'#1 31\n{"action":"next","n":100000000}')
        until(lambda: target.given > 0)
        seen = -1
        while seen != target.given:
            seen = target.given
            for _ in range(20):
                assert other.echo(1) == 1
        assert seen < 50


@pytest.mark.parametrize("options", [{}, {"threaded": True}], ids=["plain", "threaded"])
@both_generators
def test_calls_of_others_run_between_items_and_never_in_a_step(
    kind: str, options: dict[str, bool]
) -> None:
    target = Target()

    async def main(port: int) -> None:
        async with asyncio.timeout(DEADLINE), AsyncioClient() as one, AsyncioClient() as two:
            await one.connect_rpc(HOST, port)
            await two.connect_rpc(HOST, port)
            streams = [await getattr(client, f"{kind}_steps")(100) for client in (one, two, one)]

            async def read(stream: Any) -> None:
                assert [item async for item in stream] == list(range(100))

            reading = asyncio.gather(*(read(stream) for stream in streams))
            answered = 0
            while not reading.done():
                assert await two.alone(answered) == answered
                answered += 1
            await reading
            assert answered

    with serving(target, **options) as port:
        asyncio.run(main(port))


@every_server
def test_two_streams_of_one_client_are_interleaved(options: dict[str, bool]) -> None:
    with serving(Target(), **options) as port:
        with Client(HOST, port) as client:
            pairs = zip(
                client.plain(100), client.asynchronous(100), client.plain(100), strict=True
            )
            assert list(pairs) == [(n, n, n) for n in range(100)]

        async def work(client: AsyncioClient) -> None:
            names = [client.plain(100), client.asynchronous(100), client.plain_later(100)]
            assert await asyncio.gather(*map(items_of, names)) == [list(range(100))] * 3

        run(port, work)


# --- ends before the end ---------------------------------------------------------------------


def leave_with(items: Any) -> None:
    with items:
        next(items)


def leave_loop(items: Any) -> None:
    for _ in items:
        break
    del items


def close(items: Any) -> None:
    next(items)
    items.close()
    items.close()
    assert list(items) == []


def close_before_the_first(items: Any) -> None:
    items.close()


@every_server
@both_generators
@pytest.mark.parametrize("way", [leave_with, leave_loop, close])
@pytest.mark.parametrize("best", [False, True], ids=["Client", "BestEffortClient"])
def test_leaving_ends_the_generator(
    way: Callable[[Any], None], kind: str, options: dict[str, bool], best: bool
) -> None:
    target = Target()
    with serving(target, **options) as port:
        with BestEffortClient(HOST, port, "t", DEADLINE) if best else Client(HOST, port) as client:
            for number in range(1, 4):
                way(getattr(client, kind)(1000))
                gc.collect()
                until(lambda: len(target.ended) == number)
                assert client.echo(1) == 1
            assert target.given < 10


@both_generators
def test_leaving_before_the_first_item_begins_nothing(kind: str) -> None:
    target = Target()
    with serving(target) as port, Client(HOST, port) as client:
        getattr(client, kind)(10).close()
        assert client.echo(1) == 1
        assert list(getattr(client, kind)(1)) == [0]
    assert target.given == 1
    assert target.ended == [kind]


@pytest.mark.parametrize("items", [0, 1])
def test_a_step_that_is_cancelled_before_it_begins_leaves_the_generator_to_be_closed(
    items: int,
) -> None:
    async def main() -> None:
        target, lock = Target(), CallLock()
        table = Items(credit=items)
        generator = target.asynchronous(9)
        served = target_module.Target("t", target, lock=lock)
        record = record_of_call()
        stream = ServedGenerator(1, generator, served, table, record)  # type: ignore[arg-type]
        stream.resume_soon()
        while len(table.given) < items:
            await asyncio.sleep(0)
        table.left += 1
        stream.resume_soon()
        while stream.job is None:
            await asyncio.sleep(0)
        stream.cancel()
        async with asyncio.timeout(DEADLINE):
            while not table.finished:
                await asyncio.sleep(0)
        assert table.given == [0] * items
        assert [type(exc) for exc in table.ends] == [asyncio.CancelledError]
        assert target.ended == ["asynchronous"] * items  # one that has not begun has no end
        assert not lock.locked

    asyncio.run(main())


async def many_passes() -> None:
    """Let the loop do more than a server takes to cancel its handlers and close connections."""
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.parametrize("waits", [True, False], ids=["soon", "after the stop"])
def test_a_generator_in_the_midst_of_a_step_in_a_thread_cleans_up_when_the_server_stops(
    waits: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if waits:
        request.getfixturevalue("patient")
    else:
        monkeypatch.setattr(connection, "_CLOSE_TIMEOUT", 0.001)

    class Gated(Target):
        entered = threading.Event()

        def gated(self) -> Iterator[int]:
            try:
                yield 0
                self.entered.set()
                assert self.released.wait(DEADLINE)
                yield 1
            finally:
                self.ended.append("gated")

    async def main() -> None:
        target = Gated()
        server = Server({"t": target}, threaded=True)
        await server.start(HOST, 0)
        assert server.server is not None
        port = server.server.sockets[0].getsockname()[1]
        async with asyncio.timeout(DEADLINE), AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            items = await client.gated()
            assert await anext(items) == 0
            while not target.entered.is_set():
                await asyncio.sleep(0.001)
            stopping = asyncio.create_task(server.stop())
            if waits:
                await many_passes()
                assert not stopping.done()
            else:
                await stopping
            assert target.ended == []
            target.released.set()
            await stopping
            if not waits:
                while not target.ended:
                    await asyncio.sleep(0.001)
            assert target.ended == ["gated"]
            with pytest.raises(EOFError):
                await anext(items)

    asyncio.run(main())


def test_what_a_worker_is_given_after_its_end_is_done_and_no_thread_stays() -> None:
    async def main() -> None:
        before = set(threading.enumerate())
        for begins in (False, True):
            worker = Worker("late")
            done: list[Outcome] = []
            if begins:
                worker.submit(lambda: True, lambda: 1, done.append)
            worker.stop()
            worker.submit(lambda: True, lambda: 2, done.append)
            async with asyncio.timeout(DEADLINE):
                while [2] not in done or set(threading.enumerate()) - before:
                    await asyncio.sleep(0.001)
            assert sorted(done) == [[1], [2]][not begins :]

    asyncio.run(main())


@every_server
@both_generators
@pytest.mark.parametrize("way", ["aclose", "async with", "del"])
def test_leaving_ends_the_generator_for_the_asyncio_client(
    way: str, kind: str, options: dict[str, bool]
) -> None:
    async def work(client: AsyncioClient) -> None:
        items = await getattr(client, kind)(1000)
        assert await anext(items) == 0
        if way == "aclose":
            await items.aclose()
            await items.aclose()
            assert [item async for item in items] == []
        elif way == "async with":
            async with items:
                assert await anext(items) == 1
        else:
            del items
            gc.collect()
        while not target.ended:
            assert await client.echo(1) == 1
        assert target.given < 100

    target = Target()
    with serving(target, **options) as port:
        run(port, work)
    assert target.ended == [kind]


@every_server
@both_generators
def test_a_client_that_is_gone_ends_its_generators(kind: str, options: dict[str, bool]) -> None:
    target = Target()
    with serving(target, **options) as port:
        client = Client(HOST, port)
        items = getattr(client, kind)(1000)
        next(items)
        client.close_rpc()
        until(lambda: target.ended == [kind])
        with pytest.raises(ConnectionError, match="closed by this program"):
            list(items)  # one may have come before
        assert list(items) == []
        items.close()

        async def work(client: AsyncioClient) -> None:
            items = await getattr(client, kind)(1000)
            await anext(items)
            await client.close_rpc()
            with pytest.raises(ConnectionError, match="closed by this program"):
                [item async for item in items]

        run(port, work)
        until(lambda: target.ended == [kind, kind])


def test_a_server_that_is_gone_ends_the_items(caplog: pytest.LogCaptureFixture) -> None:
    target = Target()
    with contextlib.ExitStack() as stack:
        with serving(target) as port:
            client = stack.enter_context(Client(HOST, port))
            best = stack.enter_context(BestEffortClient(HOST, port, "t", DEADLINE))
            items, few = client.plain(1000), best.plain(1000)
            assert (next(items), next(few)) == (0, 0)
        with pytest.raises((EOFError, ConnectionError)):
            list(items)
        with caplog.at_level(logging.WARNING, "sipyco.pc_rpc"):
            assert len(list(few)) < 10
        assert "call of `t.plain` failed, reconnecting in the background" in caplog.text


def test_a_generator_that_fails_when_it_is_ended_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fails(Target):
        def fails(self) -> Iterator[int]:
            try:
                yield from range(10)
            finally:
                raise RuntimeError("while closing")

        def goes_on(self) -> Iterator[int]:
            try:
                while True:
                    yield 0
            except GeneratorExit:
                yield 1

    target = Fails()
    with serving(target) as port, Client(HOST, port) as client:
        for name in ("fails", "goes_on"):
            items = getattr(client, name)()
            assert next(items) == 0
            items.close()
            assert client.echo(1) == 1
        until(lambda: caplog.text.count("a generator of `t` that was ended raised ") == 2)
    assert "while closing" in caplog.text
    assert "generator ignored GeneratorExit" in caplog.text


class Shutter(Target):
    """Has steps that fail when, or after, their generator is ended."""

    async def asynchronous_step(self) -> AsyncIterator[int]:
        try:
            yield 0
            self.given = 1
            await asyncio.Event().wait()
        finally:
            raise OSError("the shutter did not close")

    def plain_step(self) -> Iterator[int]:
        yield 0
        self.given = 1
        assert self.released.wait(DEADLINE)
        raise OSError("the shutter did not close")

    async def asynchronous_last(self) -> AsyncIterator[int]:
        """End, and not only by the cancellation, when it is ended."""
        try:
            yield 0
            self.given = 1
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        finally:
            self.ended.append("asynchronous_last")

    def plain_last(self) -> Iterator[int]:
        try:
            yield 0
            self.given = 1
            assert self.released.wait(DEADLINE)
        finally:
            self.ended.append("plain_last")


@contextlib.contextmanager
def ended_in_a_step(name: str) -> Iterator[Shutter]:
    """Have a client end a generator in the midst of its second step, which then goes on."""
    target = Shutter()
    with serving(target, threaded=True) as port, Client(HOST, port) as client:
        items = getattr(client, name)()
        assert next(items) == 0
        until(lambda: target.given == 1)
        items.close()
        client.get_rpc_method_list()  # after it
        target.released.set()
        yield target


def check_failure(name: str, caplog: pytest.LogCaptureFixture) -> None:
    [text] = caplog.messages
    assert text.startswith("a generator of `t` that was ended raised OSError (")
    assert text.endswith(f", in {name}): the shutter did not close")


steps_that_fail = pytest.mark.parametrize("name", ["asynchronous_step", "plain_step"])


@steps_that_fail
def test_a_generator_that_fails_in_the_midst_of_a_step_when_it_is_ended_is_in_the_log(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ended_in_a_step(name):
        until(lambda: bool(caplog.messages))
    check_failure(name, caplog)


@steps_that_fail
@pytest.mark.usefixtures("patient")
def test_a_generator_that_fails_in_the_midst_of_a_step_when_the_server_stops_is_in_the_log(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        target = Shutter()
        server = Server({"t": target}, threaded=True)
        await server.start(HOST, 0)
        async with asyncio.timeout(DEADLINE), AsyncioClient() as client:
            await client.connect_rpc(HOST, port_of(server))
            items = await getattr(client, name)()
            assert await anext(items) == 0
            await comes_true(lambda: target.given)
            stopping = asyncio.create_task(server.stop())
            await many_passes()
            target.released.set()
            await stopping

    asyncio.run(main())
    check_failure(name, caplog)


@pytest.mark.parametrize("name", ["asynchronous_last", "plain_last"])
def test_a_generator_that_comes_to_its_end_as_it_is_ended_has_not_failed(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ended_in_a_step(name) as target:
        until(lambda: target.ended == [name])
    assert caplog.messages == []


def test_one_client_has_a_limited_number_of_generators() -> None:
    with serving(Target()) as port, Client(HOST, port) as client:
        many = [client.plain(3) for _ in range(1000)]
        with pytest.raises(RuntimeError, match="1000 generators of this client are under way"):
            client.plain(3)
        assert list(many.pop()) == [0, 1, 2]
        assert list(client.plain(3)) == [0, 1, 2]


# --- waiting for an item ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["asynchronous_gated", "plain_gated"])
def test_waiting_that_took_too_long_can_go_on(name: str) -> None:
    target = Target()
    options = {"threaded": name == "plain_gated"}
    with serving(target, **options) as port, Client(HOST, port) as client:
        items = getattr(client, name)()
        assert next(items) == 0
        for _ in range(3):
            with pytest.raises(TimeoutError, match=rf"`t\.{name}`"), call_timeout(client, 0.02):
                next(items)
        target.released.set()
        with call_timeout(client, DEADLINE):
            assert list(items) == [1, 2]
        assert client.echo(1) == 1


def test_waiting_that_was_cancelled_can_go_on() -> None:
    async def work(client: AsyncioClient) -> None:
        items = await client.asynchronous_gated()
        assert await anext(items) == 0
        for _ in range(3):
            waiting = asyncio.ensure_future(anext(items))
            assert await client.echo(1) == 1
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(TimeoutError, match=r"`t\.asynchronous_gated`"):
                with call_timeout(client, 0.02):
                    await anext(items)
        target.released.set()
        assert [item async for item in items] == [1, 2]

    target = Target()
    with serving(target, allow_parallel=True) as port:
        run(port, work)


def test_ending_while_a_step_runs_cancels_it() -> None:
    class Waits(Target):
        async def waits(self) -> AsyncIterator[int]:
            try:
                yield 0
                self.given = 1
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.ended.append("cancelled")
                raise
            finally:
                self.ended.append("finally")

    target = Waits()
    with serving(target) as port, Client(HOST, port) as client:
        items = client.waits()
        assert next(items) == 0
        until(lambda: target.given == 1)
        items.close()
        assert client.echo(1) == 1
        until(lambda: target.ended == ["cancelled", "finally"])


def test_ending_while_a_step_runs_in_a_thread_waits_for_it() -> None:
    class Blocks(Target):
        def blocks(self) -> Iterator[int]:
            try:
                yield 0
                self.given = 1
                assert self.released.wait(DEADLINE)
                yield 1
            finally:
                self.ended.append("finally")

    target = Blocks()
    with serving(target, threaded=True) as port, Client(HOST, port) as client:
        items = client.blocks()
        assert next(items) == 0
        until(lambda: target.given == 1)
        items.close()
        client.get_rpc_method_list()
        assert target.ended == []
        target.released.set()
        assert client.echo(1) == 1  # after the step, as it has the turn
        until(lambda: target.ended == ["finally"])


def test_items_may_be_dropped_by_the_garbage_collector_at_any_time() -> None:
    target = Target()
    with serving(target, threaded=True) as port, Client(HOST, port) as client:
        for _ in range(30):
            items = client.plain(1000)
            assert next(items) == 0
            thread = threading.Thread(target=items.__del__)  # in another thread, beside a call
            thread.start()
            assert client.echo(b"x" * 100_000) == b"x" * 100_000
            thread.join()
            del items

        def all_ended() -> bool:
            client.echo(1)  # tells of those that could not be told of at once
            return len(target.ended) == 30

        until(all_ended)
