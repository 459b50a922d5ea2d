"""Subscribers over loopback: our publisher, older ones, broken ones, and those that vanish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_sync.sync_struct import (
    Notifier,
    Publisher,
    Subscriber,
    SubscriptionState,
    blocking_snapshot,
    snapshot,
)
from support.certificates import paths_of
from support.feeds import BANNER, comes_true, is_asked, serving
from support.peers import DEADLINE, HOST

INIT = b'{"action":"init","struct":{"a":[]}}\n'

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def publisher_that(*plays: Play) -> AsyncIterator[int]:
    """Serve the connections one after another, each as its play says; the last play repeats."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        play = plays[min(count, len(plays) - 1)]
        count += 1
        try:
            if await is_asked(reader, BANNER, b"n\n"):
                await play(reader, writer)
        except ConnectionError:
            pass  # the subscriber has gone
        except asyncio.CancelledError:
            pass  # asyncio of Python 3.11 takes it for an error
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def sends(*lines: bytes, stay: bool = False) -> Play:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(lines))
        await writer.drain()
        if stay:
            await reader.read()

    return play


class Copy:
    """A target builder, and what became of what it built."""

    def __init__(self) -> None:
        self.built: list[Any] = []
        self.mods: list[dict[str, Any]] = []

    def __call__(self, struct: Any) -> Any:
        self.built.append(struct)
        return struct


async def received(subscriber: Subscriber, port: int) -> None:
    """Connect, and wait for the end of the subscription."""
    await subscriber.connect(HOST, port)
    async with asyncio.timeout(DEADLINE):
        await subscriber.receive_task


def test_the_copy_follows_and_callbacks_see_it_changed() -> None:
    async def main() -> None:
        copy, seen = Copy(), list[Any]()
        n = Notifier({"a": []})

        def notify(mod: dict[str, Any]) -> None:
            seen.append((mod["action"], repr(copy.built[-1])))

        async with serving(Publisher({"n": n})) as port:
            async with Subscriber("n", copy, notify) as subscriber:
                await subscriber.connect(HOST, port)
                await comes_true(lambda: seen)
                n["a"].append((1,))
                n["k"] = {2}
                await comes_true(lambda: len(seen) == 3)
        assert seen == [
            ("init", "{'a': []}"),
            ("append", "{'a': [(1,)]}"),
            ("setitem", "{'a': [(1,)], 'k': {2}}"),
        ]

    asyncio.run(main())


def test_older_publishers_speak_the_older_dialect() -> None:
    async def main() -> None:
        copy = Copy()
        lines = (
            b'{"action": "init", "struct": {"a": [], "t": (1, ), 5: {2}}}\n',
            b'{"action": "append", "path": ["a"], "x": nan}\n',
            b'{"action": "setitem", "path": [], "key": (1, 2), "value": OrderedDict([(1, 2)])}\n',
            b'{"action": "setitem", "path": [], "key": "plain", "value": 1}\n',
        )
        async with publisher_that(sends(*lines)) as port:
            await received(Subscriber("n", copy), port)
        assert repr(copy.built[0]["a"]) == "[nan]"
        assert copy.built[0]["t"] == (1,)
        assert copy.built[0][5] == {2}
        assert copy.built[0][(1, 2)] == {1: 2}
        assert copy.built[0]["plain"] == 1

    asyncio.run(main())


def test_our_publisher_can_speak_it_too() -> None:
    async def main() -> None:
        copy = Copy()
        n = Notifier({"t": (1,)})
        async with serving(Publisher({"n": n}, dialect="pyon_v1")) as port:
            async with Subscriber("n", copy) as subscriber:
                await subscriber.connect(HOST, port)
                await comes_true(lambda: copy.built)
                n[(1, 2)] = {3}
                await comes_true(lambda: copy.built[0] == {"t": (1,), (1, 2): {3}})

    asyncio.run(main())


def test_a_second_init_replaces_the_copy() -> None:
    async def main() -> None:
        copy = Copy()
        lines = (INIT, b'{"action":"init","struct":[1]}\n', b'{"action":"pop","path":[],"i":0}\n')
        async with publisher_that(sends(*lines)) as port:
            await received(Subscriber("n", copy), port)
        assert copy.built == [{"a": []}, []]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "it has probably no notifier `n`"),
        ((b'{"action":"pop","path":[],"i":0}\n',), "expected `init` as the first mod, got `pop`"),
        ((b'{"action":"init"}\n',), "`init` without a structure"),
        ((INIT, b'{"action":"pop","path":["x"],"i":0}\n'), "does not fit the copy: KeyError: 'x'"),
        ((INIT, b'{"action":"explode","path":[]}\n'), "unknown action of a mod: 'explode'"),
        ((INIT, b"[1]\n"), "expected a mod, got [1]"),
        ((INIT, b'{"action":[1]}\n'), "expected a mod, got {'action': [1]}"),
        ((INIT, b'{"path":[]}\n'), "expected a mod, got {'path': []}"),
        ((INIT, b"1+" * 30 + b"1\n"), "cannot use"),
        ((INIT, b"garbage\n"), "cannot use"),
        ((INIT, b'{"__jsonclass__":["nosuch",[]]}\n'), "nosuch"),
        ((INIT, b'"' + b"x" * 200 + b'"\n'), "line of 202 bytes is too long"),
        ((INIT,), "closed the connection"),
    ],
)
def test_every_end_has_a_reason(
    lines: tuple[bytes, ...], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        lost: list[int] = []
        async with publisher_that(sends(*lines)) as port:
            subscriber = Subscriber("n", Copy(), None, lambda: lost.append(1), max_line=100)
            await received(subscriber, port)
            assert lost == [1]
            await subscriber.close()
            assert lost == [1]

    caplog.set_level(logging.INFO)
    asyncio.run(main())
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"lost `n` of {HOST} port ")
    assert reason in caplog.messages[0]


def test_of_what_a_peer_sends_no_long_text_is_made(caplog: pytest.LogCaptureFixture) -> None:
    """That of an array of many dimensions would take minutes, for a line of a hundred bytes."""
    pytest.importorskip("numpy")
    array = b'{"__jsonclass__":["nparray",[[2,2],"|V0",""]]}'
    digits = b"1" * 50

    async def main() -> None:
        for line in (array, b'[1.5,null,"' + b"x" * 50 + b'",' + digits + b",12]"):
            async with publisher_that(sends(INIT, line + b"\n")) as port:
                subscriber = Subscriber("n", Copy())
                await received(subscriber, port)
                await subscriber.close()
        mod = (
            b'{"action":"pop","path":["a"],"i":0,"key":' + array + b',"value":[' + array + b"]}\n"
        )
        async with publisher_that(sends(INIT, mod)) as port:
            subscriber = Subscriber("n", Copy())
            await received(subscriber, port)
            await subscriber.close()

    caplog.set_level(logging.DEBUG, "sipyco.sync_struct")
    asyncio.run(main())
    assert "expected a mod, got <ndarray>" in caplog.text
    shown = "[1.5, None, '" + "x" * 24 + "'..., <int>, 12]"
    assert f"expected a mod, got {shown}" in caplog.text
    assert (
        "mod that cannot be applied: {'action': 'pop', 'path': ['a'], 'i': 0, 'key': <ndarray>, "
        "'value': [<ndarray>]}"
    ) in caplog.text


@pytest.mark.parametrize("passes", range(4))
def test_close_while_it_takes_leave_of_a_lost_connection(passes: int) -> None:
    async def main() -> None:
        async with publisher_that(sends(INIT)) as port:
            subscriber = Subscriber("n", Copy(), reconnect=60)
            await subscriber.connect(HOST, port)
            while not subscriber.writer.transport.is_closing():
                await asyncio.sleep(0)
            for _ in range(passes):
                await asyncio.sleep(0)
            await subscriber.close()
            assert subscriber.receive_task.done()

    asyncio.run(main())


def test_close_is_not_a_lost_connection() -> None:
    async def main() -> None:
        lost: list[int] = []
        copy = Copy()
        async with publisher_that(sends(INIT, stay=True)) as port:
            subscriber = Subscriber("n", copy, None, lambda: lost.append(1))
            await subscriber.connect(HOST, port)
            await comes_true(lambda: copy.built)
            with pytest.raises(RuntimeError, match="connected already"):
                await subscriber.connect(HOST, port)
            await subscriber.close()
            await subscriber.close()
            assert subscriber.receive_task.done()
            await subscriber.connect(HOST, port)  # it may be used again
            await comes_true(lambda: len(copy.built) == 2)
            await subscriber.close()
        assert lost == []

    asyncio.run(main())


def test_callbacks_may_be_coroutine_functions_and_are_awaited_in_order() -> None:
    async def main() -> None:
        seen: list[Any] = []
        gate = asyncio.Event()

        async def builder(struct: Any) -> Any:
            await asyncio.sleep(0)
            seen.append("built")
            return struct

        async def slow(mod: dict[str, Any]) -> None:
            seen.append(("slow", mod["action"]))
            await gate.wait()

        def plain(mod: dict[str, Any]) -> None:
            seen.append(("plain", mod["action"]))

        async def before() -> None:
            await asyncio.sleep(0)
            seen.append(subscriber.writer.get_extra_info("socket").getsockname()[0])

        async def lost() -> None:
            await asyncio.sleep(0)
            seen.append("lost")

        lines = (INIT, b'{"action":"append","path":["a"],"x":1}\n')
        async with publisher_that(sends(*lines)) as port:
            subscriber = Subscriber("n", builder, [slow, plain])
            subscriber.disconnect_cb = lost
            await subscriber.connect(HOST, port, before)
            await comes_true(lambda: ("slow", "init") in seen)
            assert seen == [HOST, "built", ("slow", "init")]
            gate.set()
            await subscriber.receive_task
        assert seen[2:] == [
            ("slow", "init"),
            ("plain", "init"),
            ("slow", "append"),
            ("plain", "append"),
            "lost",
        ]

    asyncio.run(main())


def test_callbacks_come_and_go_while_connected() -> None:
    async def main() -> None:
        n = Notifier([])
        mine: list[Callable[..., Any]] = []
        async with serving(Publisher({"n": n})) as port:
            async with Subscriber("n", Copy()) as subscriber:
                await subscriber.connect(HOST, port)
                seen: list[str] = []
                subscriber.notify_cbs.append(lambda mod: seen.append(mod["action"]))
                await comes_true(lambda: seen)
                del subscriber.notify_cbs[0]
                others: list[str] = []
                subscriber.notify_cbs.append(lambda mod: others.append(mod["action"]))
                n.append(1)
                await comes_true(lambda: others)
                assert (seen, others) == (["init"], ["append"])
        assert Subscriber("n", Copy(), mine).notify_cbs is mine
        assert Subscriber("n", Copy(), print).notify_cbs == [print]

    asyncio.run(main())


def test_an_error_in_a_callback_is_logged_and_ends_the_subscription(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        lost: list[int] = []

        def bad(mod: dict[str, Any]) -> None:
            raise ZeroDivisionError("from the program")

        async with publisher_that(sends(INIT, stay=True)) as port:
            subscriber = Subscriber("n", Copy(), bad, lambda: lost.append(1), reconnect=0.001)
            await received(subscriber, port)
            assert lost == [1]

    asyncio.run(main())
    assert "error in a callback" in caplog.messages[0]
    assert "from the program" in caplog.text


def test_a_callback_may_close_or_connect_again() -> None:
    async def main() -> None:
        builds = Copy()
        async with publisher_that(sends(INIT, stay=True)) as port:

            async def close(mod: dict[str, Any]) -> None:
                await subscriber.close()

            subscriber = Subscriber("n", builds, close)
            await received(subscriber, port)
        async with publisher_that(sends(INIT), sends(INIT, stay=True)) as port:

            async def again() -> None:
                await other.connect(HOST, port)

            other = Subscriber("n", builds, None, again)
            await received(other, port)
            await comes_true(lambda: len(builds.built) == 3)
            await other.close()

    asyncio.run(main())


def test_errors_in_the_callbacks_of_states_are_logged_and_change_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        copy = Copy()

        def state(new: SubscriptionState) -> None:
            raise ZeroDivisionError("told of a state")

        async def lost() -> None:
            raise ZeroDivisionError("told of the end")

        async with publisher_that(sends(INIT)) as port:
            subscriber = Subscriber("n", copy, None, lost, reconnect=0.001, state_cb=state)
            async with subscriber:
                await subscriber.connect(HOST, port)
                await comes_true(lambda: len(copy.built) >= 2)  # it came back all the same

    asyncio.run(main())
    for message, text in (
        ("error in the callback of state changes", "ZeroDivisionError: told of a state"),
        ("error in the callback of a lost connection", "ZeroDivisionError: told of the end"),
    ):
        assert message in caplog.messages
        assert text in caplog.text


def test_it_does_not_come_back_where_the_program_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        attempts: list[int] = []
        states: list[SubscriptionState] = []

        def before() -> None:
            attempts.append(1)
            if len(attempts) == 2:
                raise ZeroDivisionError("before it receives")

        async with publisher_that(sends(INIT)) as port:
            subscriber = Subscriber("n", Copy(), reconnect=0.001, state_cb=states.append)
            await subscriber.connect(HOST, port, before)
            await subscriber.receive_task
            await subscriber.connect(HOST, port)  # it may be used again
            await subscriber.close()
        assert attempts == [1, 1]
        assert [state.value for state in states[:3]] == ["connected", "disconnected", "retrying"]

    asyncio.run(main())
    assert f"cannot connect to {HOST} port " in caplog.text
    assert "ZeroDivisionError: before it receives" in caplog.text


def test_close_while_it_connects_leaves_no_connection() -> None:
    async def main() -> None:
        gate, entered = asyncio.Event(), asyncio.Event()

        async def before() -> None:
            entered.set()
            await gate.wait()

        async with publisher_that(sends(INIT, stay=True)) as port:
            subscriber = Subscriber("n", Copy())
            connecting = asyncio.create_task(subscriber.connect(HOST, port, before))
            await entered.wait()
            await subscriber.close()
            gate.set()
            with pytest.raises(ConnectionAbortedError, match="closed while it was connecting"):
                await connecting
            assert subscriber.writer.transport.is_closing()
            await asyncio.sleep(0)

    asyncio.run(main())


def test_who_cannot_connect_says_so_and_may_try_again() -> None:
    async def main() -> None:
        copy = Copy()
        subscriber = Subscriber("n", copy)
        server = await asyncio.start_server(lambda r, w: None, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await subscriber.connect(HOST, port)
        await subscriber.close()
        async with publisher_that(sends(INIT, stay=True)) as port:

            def before() -> None:
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await subscriber.connect(HOST, port, before)
            async with subscriber:
                await subscriber.connect(HOST, port)
                await comes_true(lambda: copy.built)

    asyncio.run(main())


def test_it_comes_back_by_itself_when_asked_to() -> None:
    async def main() -> None:
        copy = Copy()
        states: list[str] = []
        lost: list[int] = []

        async def state(new: SubscriptionState) -> None:
            states.append(new.value)

        plays = (
            sends(INIT),
            sends(),  # it is starting, and has no notifier yet
            sends(INIT, b'{"action":"append","path":["a"],"x":1}\n', stay=True),
        )
        async with publisher_that(*plays) as port:
            subscriber = Subscriber(
                "n", copy, None, lambda: lost.append(1), reconnect=0.001, state_cb=state
            )
            async with subscriber:
                await subscriber.connect(HOST, port)
                await comes_true(lambda: copy.built[-1:] == [{"a": [1]}])
        assert copy.built == [{"a": []}, {"a": [1]}]
        assert lost == [1, 1]
        assert states == [
            "connected",
            "disconnected",
            "retrying",
            "disconnected",
            "retrying",
            "connected",
            "closed",
        ]

    asyncio.run(main())


def test_it_waits_for_a_publisher_that_is_down_and_close_ends_that() -> None:
    async def main() -> None:
        states: list[SubscriptionState] = []
        async with publisher_that(sends(INIT)) as port:
            subscriber = Subscriber("n", Copy(), reconnect=0.001, state_cb=states.append)
            await subscriber.connect(HOST, port)
        await comes_true(lambda: states.count(SubscriptionState.retrying) >= 3)
        await subscriber.close()
        assert states[-1] is SubscriptionState.closed
        assert subscriber.receive_task.done()

    asyncio.run(main())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Subscriber("two\nlines", list),
        lambda: Subscriber("n", list, reconnect=0),
        lambda: Subscriber("n", list, max_line=0),
    ],
)
def test_arguments_that_make_no_sense(make: Callable[[], Subscriber]) -> None:
    with pytest.raises(ValueError, match=r"line|reconnect"):
        make()


def test_it_can_be_one_of_several_bases() -> None:
    class Manager:
        def __init__(self) -> None:
            self.model: Any = None

        def build(self, struct: Any) -> Any:
            self.model = struct
            return struct

    class ModelSubscriber(Manager, Subscriber):
        def __init__(self, name: str) -> None:
            Manager.__init__(self)
            Subscriber.__init__(self, name, self.build)

    async def main() -> None:
        async with publisher_that(sends(INIT, stay=True)) as port:
            async with ModelSubscriber("n") as subscriber:
                await subscriber.connect(HOST, port)
                await comes_true(lambda: subscriber.model == {"a": []})

    asyncio.run(main())


def test_tls_in_both_ways_of_saying_it(caplog: pytest.LogCaptureFixture) -> None:
    server = SimpleSSLConfig(**paths_of("server", "client"))
    paths = paths_of("client", "server")
    config = SimpleSSLConfig(**paths)

    async def main() -> None:
        n = Notifier([1])
        async with serving(Publisher({"n": n}), ssl_config=server) as port:
            ways: list[dict[str, Any]] = [{"ssl_config": config}, paths]
            for way in ways:
                copy = Copy()
                async with Subscriber("n", copy) as subscriber:
                    await subscriber.connect(HOST, port, **way)
                    await comes_true(lambda: copy.built)
                    n[0] = "x" * 1_000_000
                    await comes_true(lambda: len(str(copy.built[0])) > 1_000_000)
                    n[0] = 1
                    await comes_true(lambda: copy.built == [[1]])
                assert await snapshot(HOST, port, "n", **way) == [1]
                assert await asyncio.to_thread(
                    lambda: blocking_snapshot(HOST, port, "n", **way)
                ) == [1]
            with pytest.raises(ValueError, match="either"):
                await Subscriber("n", list).connect(HOST, port, None, config, **paths)

    asyncio.run(main())
    assert not [name for name, _, _ in caplog.record_tuples if name == "asyncio"]
