"""Bytes of a publisher over loopback: snapshots, mods, and what happens to the slow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_sync import _publisher
from sipyco_sync.sync_struct import Notifier, Publisher, Subscriber, process_mod
from support.feeds import BANNER, RawPeer, comes_true, serving
from support.peers import HOST

BIG = "x" * 10_000


def peer_of(port: int, name: bytes = b"n", **options: Any) -> RawPeer:
    return RawPeer(port, BANNER + name + b"\n", **options)


def subscribers(publisher: Publisher) -> list[Any]:
    return [queue for feed in publisher._feeds.values() for queue in feed.queues]


def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a list that grows by the action of everything that is encoded."""
    found: list[str] = []
    real = _publisher.pyon.encode_bytes

    def encode(value: Any, **options: Any) -> bytes:
        found.append(value["action"])
        return real(value, **options)

    monkeypatch.setattr(_publisher.pyon, "encode_bytes", encode)
    return found


def test_a_snapshot_then_each_mod() -> None:
    async def main() -> None:
        n = Notifier({"a": [1, 2]})
        async with serving(Publisher({"n": n})) as port:
            with peer_of(port) as peer:
                assert await peer.line() == b'{"action":"init","struct":{"a":[1,2]}}'
                n["a"].append(3)
                n["a"].insert(0, "i")
                n["a"].pop()
                n["k"] = None
                del n["k"]
                assert await peer.line() == b'{"action":"append","path":["a"],"x":3}'
                assert await peer.line() == b'{"action":"insert","path":["a"],"i":0,"x":"i"}'
                assert await peer.line() == b'{"action":"pop","path":["a"],"i":-1}'
                assert (
                    await peer.line() == b'{"action":"setitem","path":[],"key":"k","value":null}'
                )
                assert await peer.line() == b'{"action":"delitem","path":[],"key":"k"}'

    asyncio.run(main())


def test_a_snapshot_is_encoded_once_between_two_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        n = Notifier({})
        async with serving(Publisher({"n": n})) as port:
            found = encodings(monkeypatch)
            with peer_of(port) as one, peer_of(port) as two:
                await one.line()
                await two.line()
                assert found == ["init"]
                n["k"] = 1
                assert found == ["init", "setitem"]
                with peer_of(port) as three, peer_of(port) as four:
                    assert await three.line() == b'{"action":"init","struct":{"k":1}}'
                    await four.line()
                    await one.line()
                assert found == ["init", "setitem", "init"]
                n.raw_view = {"assigned": 1}
                with peer_of(port) as five:
                    assert await five.line() == b'{"action":"init","struct":{"assigned":1}}'

    asyncio.run(main())


def test_a_value_that_cannot_be_encoded_is_refused_before_anything_changes() -> None:
    async def main() -> None:
        n = Notifier({"a": [1]})
        cycle: list[Any] = []
        cycle.append(cycle)
        async with serving(Publisher({"n": n})) as port:
            with peer_of(port) as peer:
                await peer.line()
                refusals: list[Any] = [
                    lambda: n.__setitem__("k", object()),
                    lambda: n["a"].append(object()),
                    lambda: n["a"].insert(0, {1: object()}),
                    lambda: n.__setitem__("a", cycle),
                    lambda: n["a"].extend([2, object()]),
                    lambda: n.update({"k": 1, "l": object()}),
                ]
                for refused in refusals:
                    with pytest.raises((TypeError, ValueError, RecursionError)):
                        refused()
                for own in (n.raw_view, [n.raw_view["a"]], {"deep": (n.raw_view,)}):
                    with pytest.raises(ValueError, match="contains the structure"):
                        n["a"].append(own)
                assert n.raw_view == {"a": [1]}
                n["k"] = 1
                assert b'"k"' in await peer.line()
                with peer_of(port) as new:
                    assert await new.line() == b'{"action":"init","struct":{"a":[1],"k":1}}'

    asyncio.run(main())


def test_a_change_that_fails_is_sent_to_nobody() -> None:
    async def main() -> None:
        n = Notifier({"a": []})
        async with serving(Publisher({"n": n})) as port:
            with peer_of(port) as peer:
                await peer.line()
                with pytest.raises(IndexError):
                    n["a"].pop()
                with pytest.raises(KeyError):
                    del n["nosuch"]
                n["a"].append(1)
                assert await peer.line() == b'{"action":"append","path":["a"],"x":1}'

    asyncio.run(main())


def test_an_unknown_name_is_logged_with_the_peer(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(Publisher({"b": Notifier({}), "a": Notifier([])})) as port:
            with peer_of(port, b"nosuch") as peer:
                own = peer.socket.getsockname()[1]
                assert await peer.ends() == b""
            assert caplog.messages == [f"{HOST} port {own} asks for `nosuch`; there are: `a`, `b`"]

    asyncio.run(main())
    assert caplog.record_tuples[0][:2] == ("sipyco.sync_struct", logging.WARNING)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "expected the banner b'ARTIQ sync_struct\\n', got b'GET"),
        (BANNER + b"\xff\n", "invalid start byte"),
        (BANNER + b"n" * 70_000, "the name has more than 65536 bytes"),
    ],
)
def test_strangers_are_turned_away(
    sent: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(Publisher({"n": Notifier({})})) as port:
            with RawPeer(port, sent) as peer:
                try:
                    assert await peer.ends() == b""
                except ConnectionResetError:
                    pass  # closed with some of our bytes unread

    asyncio.run(main())
    assert len(caplog.messages) == 1
    assert reason in caplog.messages[0]


def test_a_peer_that_closes_its_half_gets_the_snapshot_and_the_end() -> None:
    async def main() -> None:
        big = BIG * 200
        async with serving(Publisher({"n": Notifier([big])})) as port:
            with peer_of(port) as peer:
                peer.socket.shutdown(socket.SHUT_WR)
                assert pyon.decode(await peer.ends())["struct"] == [big]

    asyncio.run(main())


def test_a_slow_peer_that_closes_its_half_is_closed_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        publisher = Publisher({"n": Notifier([BIG])})
        async with serving(publisher) as port:
            assert publisher.server is not None
            for sock in publisher.server.sockets:  # what is accepted has the same
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            with peer_of(port) as peer:
                peer.socket.shutdown(socket.SHUT_WR)
                await comes_true(lambda: subscribers(publisher))
                assert pyon.decode(await peer.ends())["struct"] == [BIG]
                await comes_true(lambda: not subscribers(publisher))

    asyncio.run(main())
    assert caplog.messages == []  # asyncio logs it if it has to end a connection twice


def test_a_slow_peer_that_reads_again_while_it_stops_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        publisher = Publisher({"n": Notifier([BIG * 7])})
        async with serving(publisher) as port:
            assert publisher.server is not None
            for sock in publisher.server.sockets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            with peer_of(port) as peer:
                await comes_true(lambda: subscribers(publisher))
                _, received = await asyncio.gather(publisher.stop(), peer.ends())
                assert received.startswith(b'{"action":"init","struct":["xxx')

    asyncio.run(main())
    assert caplog.messages == []  # such as that asyncio's streams were resumed, and not paused


def test_notifiers_come_and_go_while_it_runs() -> None:
    async def main() -> None:
        publisher = Publisher({})
        async with serving(publisher) as port:
            n = Notifier([])
            publisher.add("n", n)
            publisher.add("alias", n)
            with pytest.raises(ValueError, match="`n` already"):
                publisher.add("n", Notifier([]))
            with pytest.raises(ValueError, match="part"):
                publisher.add("part", Notifier([[]])[0])
            with peer_of(port) as peer, peer_of(port, b"alias") as other:
                await peer.line()
                await other.line()
                n.append(1)
                publisher.remove("n")
                assert await peer.ends() == b'{"action":"append","path":[],"x":1}\n'
                assert await other.line() == b'{"action":"append","path":[],"x":1}'
                n.append(2)
                assert await other.line() == b'{"action":"append","path":[],"x":2}'
                assert list(publisher.notifiers) == ["alias"]
            publisher.remove("alias")
            assert n.publish is None
            n.append(object())  # nobody minds any more
            with pytest.raises(KeyError):
                publisher.remove("alias")

    asyncio.run(main())


def test_several_publishers_share_a_notifier() -> None:
    async def main() -> None:
        n = Notifier([])
        async with serving(Publisher({"n": n})) as one:
            async with serving(Publisher({"n": n}, dialect="pyon_v1")) as two:
                with peer_of(one) as new, peer_of(two) as old:
                    await new.line()
                    await old.line()
                    n.append((1,))
                    assert await new.line() == (
                        b'{"action":"append","path":[],"x":{"__jsonclass__":["tuple",[[1]]]}}'
                    )
                    assert await old.line() == b'{"action": "append", "path": [], "x": (1, )}'

    asyncio.run(main())


def test_plain_floats_for_programs_that_expect_them() -> None:
    np = pytest.importorskip("numpy")

    async def main() -> None:
        n = Notifier({})
        async with serving(Publisher({"n": n}, plain_float64=True)) as port:
            with peer_of(port) as peer:
                await peer.line()
                n["k"] = np.float64(0.5)
                assert await peer.line() == b'{"action":"setitem","path":[],"key":"k","value":0.5}'

    asyncio.run(main())


@pytest.mark.parametrize(
    "arguments", [{"max_backlog": 0}, {"dialect": "pyon_v3"}], ids=["max_backlog", "dialect"]
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Publisher({}, **arguments)


def test_mods_from_many_threads_keep_their_order() -> None:
    count, threads = 200, 4

    async def main() -> None:
        n = Notifier({str(i): [] for i in range(threads)} | {"all": []})
        async with serving(Publisher({"n": n})) as port:
            with peer_of(port) as peer:
                copy = pyon.decode(await peer.line())["struct"]

                def work(name: str) -> None:
                    for i in range(count):
                        n[name].append(i)
                        n["all"].append(i)

                workers = [threading.Thread(target=work, args=(str(i),)) for i in range(threads)]
                for worker in workers:
                    worker.start()
                for _ in range(2 * count * threads):
                    process_mod(copy, pyon.decode(await peer.line()))
                for worker in workers:
                    worker.join()
                assert copy == n.raw_view
                assert copy["0"] == list(range(count))

    asyncio.run(main())


def test_subscribers_that_come_while_threads_change_miss_nothing() -> None:
    async def main() -> None:
        n = Notifier([])
        over = threading.Event()
        async with serving(Publisher({"n": n})) as port:

            def work() -> None:
                i = 0
                while not over.is_set():
                    n.append(i)
                    i += 1
                    if i % 64 == 0:
                        over.wait(0.001)
                n.append("end")

            worker = threading.Thread(target=work)
            worker.start()
            try:
                for _ in range(30):
                    with peer_of(port, receive_buffer=1 << 20) as peer:
                        copy = pyon.decode(await peer.line())["struct"]
                        for _ in range(20):
                            process_mod(copy, pyon.decode(await peer.line()))
                        assert copy == list(range(len(copy)))
            finally:
                over.set()
                worker.join()

    asyncio.run(main())


def test_what_changes_as_a_subscriber_comes_reaches_everyone_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        n = Notifier([])
        publisher = Publisher({"n": n})
        find = publisher._feed

        def change_then_find(name: str, peer: str) -> Any:
            n.append(1)  # in the very pass of the loop in which the subscriber joins
            return find(name, peer)

        async with serving(publisher) as port:
            with peer_of(port) as first:
                assert await first.line() == b'{"action":"init","struct":[]}'
                monkeypatch.setattr(publisher, "_feed", change_then_find)
                with peer_of(port) as second:
                    assert await second.line() == b'{"action":"init","struct":[1]}'
                    assert await first.line() == b'{"action":"append","path":[],"x":1}'
                    n.append(2)
                    assert await first.line() == b'{"action":"append","path":[],"x":2}'
                    assert await second.line() == b'{"action":"append","path":[],"x":2}'

    asyncio.run(main())


async def stall(n: Notifier, peer: RawPeer, publisher: Publisher) -> None:
    """Change a notifier until its stalled peer has lost something."""
    feed = next(iter(publisher._feeds.values()))
    async with asyncio.timeout(20):
        while not feed._stale:
            n["big"] = BIG
            n["count"] = n.raw_view["count"] + 1
            await asyncio.sleep(0)


def test_a_stalled_subscriber_gets_one_fresh_copy(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        n = Notifier({"count": 0})
        publisher = Publisher({"n": n}, max_backlog=100_000)
        async with serving(publisher) as port:
            with peer_of(port) as slow, peer_of(port) as quick:
                assert (await slow.line()).startswith(b'{"action":"init"')
                copy = pyon.decode(await quick.line())["struct"]

                async def follow() -> int:
                    mods = 0
                    while copy.get("last") is None:
                        process_mod(copy, pyon.decode(await quick.line()))
                        mods += 1
                    return mods

                following = asyncio.create_task(follow())
                await stall(n, slow, publisher)
                for i in range(20):
                    n["more"] = i
                n["last"] = True
                # The one that reads has got every mod: two each round, and those at the end.
                assert await following == 2 * n.raw_view["count"] + 20 + 1
                lines = []
                while not lines or lines[-1]["action"] != "init":
                    lines.append(pyon.decode(await slow.line()))
                # Whole lines only, in order, then the present state, once.
                stale: dict[str, Any] = {"count": 0}
                for mod in lines[:-1]:
                    process_mod(stale, mod)
                assert 0 < stale["count"] < n.raw_view["count"]
                assert lines[-1]["struct"] == n.raw_view == copy
                n["next"] = 1
                assert await slow.line() == (
                    b'{"action":"setitem","path":[],"key":"next","value":1}'
                )
        assert len(caplog.messages) == 1
        assert "is more than 100000 bytes behind" in caplog.messages[0]

    asyncio.run(main())


def test_a_structure_larger_than_the_limit_arrives_all_the_same() -> None:
    async def main() -> None:
        n = Notifier({"big": "y" * 3_000_000})
        async with serving(Publisher({"n": n}, max_backlog=1000)) as port:
            with peer_of(port) as peer:
                await comes_true(lambda: n.publish.feeds[0].queues)  # type: ignore[union-attr]
                n["k"] = 1
                assert len(await peer.line()) > 3_000_000
                assert await peer.line() == b'{"action":"setitem","path":[],"key":"k","value":1}'
                n["big"] = "z" * 2_000_000
                assert len(await peer.line()) > 2_000_000

    asyncio.run(main())


def test_a_fast_thread_costs_bounded_memory_and_loses_nothing_for_good() -> None:
    async def main() -> None:
        n = Notifier({})
        publisher = Publisher({"n": n}, max_backlog=50_000)
        async with serving(publisher) as port:
            with peer_of(port, receive_buffer=1 << 20) as peer:
                copy = pyon.decode(await peer.line())["struct"]

                def work() -> None:
                    for i in range(300):
                        n["k"] = [i, BIG]
                        assert publisher._feeds[id(n)]._pending_size < 70_000

                worker = threading.Thread(target=work)
                worker.start()
                worker.join()  # the loop cannot deliver meanwhile
                while copy.get("k", [0])[0] != 299:
                    mod = pyon.decode(await peer.line())
                    if mod["action"] == "init":
                        copy = mod["struct"]
                    else:
                        process_mod(copy, mod)
                assert copy == n.raw_view

    asyncio.run(main())


def test_stop_ends_in_spite_of_a_stalled_subscriber() -> None:
    async def main() -> None:
        n = Notifier({"count": 0})
        publisher = Publisher({"n": n}, max_backlog=100_000)
        async with serving(publisher) as port:
            with peer_of(port) as peer:
                await peer.line()
                await stall(n, peer, publisher)
                await publisher.stop()
                await publisher.stop()
                await comes_true(lambda: not subscribers(publisher))
                n["k"] = 1

    asyncio.run(main())


def test_a_callback_of_the_programs_own_may_stand_in_between() -> None:
    async def main() -> None:
        n = Notifier({})
        publisher = Publisher({"n": n})
        announce: Any = n.publish
        seen: list[Any] = []
        n.publish = lambda mod: (seen.append(mod["key"]), announce(mod))
        async with serving(publisher) as port:
            with peer_of(port) as peer:
                await peer.line()
                n["k"] = 1
                assert b'"k"' in await peer.line()
                with pytest.raises(TypeError):
                    n["bad"] = object()
                del n.raw_view["bad"]
                publisher.publish(n, {"action": "delitem", "path": [], "key": "nosuch"})
                # The change that could not be sent was applied: everyone gets a fresh copy.
                assert await peer.line() == b'{"action":"init","struct":{"k":1}}'
                assert seen == ["k", "bad"]
        with pytest.raises(ValueError, match="not published here"):
            publisher.publish(Notifier({}), {"action": "pop", "path": [], "i": 0})

    asyncio.run(main())


def test_programs_publish_mods_that_they_applied_themselves() -> None:
    async def main() -> None:
        n = Notifier({})
        publisher = Publisher(notifiers={"n": n})
        async with serving(publisher) as port:
            with peer_of(port) as peer:
                await peer.line()
                mod = {"action": "setitem", "path": [], "key": "k", "value": 1}
                process_mod(n.raw_view, mod)
                publisher.publish(n, mod)
                assert await peer.line() == b'{"action":"setitem","path":[],"key":"k","value":1}'
                with peer_of(port) as new:
                    assert await new.line() == b'{"action":"init","struct":{"k":1}}'

    asyncio.run(main())


def test_a_mod_that_was_applied_and_cannot_be_sent_makes_copies_fresh() -> None:
    async def main() -> None:
        n = Notifier({})
        publisher = Publisher({"n": n})
        async with serving(publisher) as port:
            with peer_of(port) as peer:
                await peer.line()
                n.raw_view["k"] = object()
                with pytest.raises(TypeError, match="is not PYON encodable"):
                    publisher.publish(
                        n, {"action": "setitem", "path": [], "key": "k", "value": n.raw_view["k"]}
                    )
                n.raw_view["k"] = 1
                publisher.publish(n, {"action": "setitem", "path": [], "key": "k", "value": 1})
                assert await peer.line() == b'{"action":"init","struct":{"k":1}}'

    asyncio.run(main())


def test_a_stranger_without_an_end_of_its_name_is_turned_away_by_its_length(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with serving(Publisher({"n": Notifier([])})) as port:
            with RawPeer(port, BANNER + b"n" * 70_000) as peer:
                with contextlib.suppress(ConnectionError):
                    assert await peer.ends() == b""

    asyncio.run(main())
    [message] = caplog.messages
    assert message.endswith("the name has more than 65536 bytes")


def test_arrays_can_be_changed_in_place() -> None:
    np = pytest.importorskip("numpy")

    async def main() -> None:
        n = Notifier({"image": np.zeros((2, 2))})
        changed = asyncio.Event()
        async with serving(Publisher({"n": n})) as port:
            copies: list[Any] = []
            subscriber = Subscriber(
                "n",
                lambda struct: copies.append(struct) or struct,
                lambda mod: mod["action"] == "setitem" and changed.set(),
            )
            async with subscriber:
                await subscriber.connect(HOST, port)
                await comes_true(lambda: copies)
                n["image"][0] = [1.0, 2.0]
                await changed.wait()
                assert copies[0]["image"].tolist() == [[1.0, 2.0], [0.0, 0.0]]

    asyncio.run(main())
