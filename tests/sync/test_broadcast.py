"""Messages to whoever listens: bytes of a broadcaster, receivers, and what the slow lose."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_sync.broadcast import Broadcaster, Receiver, SubscriptionState
from support.certificates import paths_of
from support.feeds import RawPeer, comes_true, feed_of, is_asked, serving
from support.peers import DEADLINE, HOST

BANNER = b"ARTIQ broadcast\n"
BIG = "x" * 10_000


def peer_of(port: int, name: bytes = b"log", **options: Any) -> RawPeer:
    return RawPeer(port, BANNER + name + b"\n", **options)


def queues(broadcaster: Broadcaster) -> list[Any]:
    return [queue for channel in broadcaster._feeds.values() for queue in channel.queues]


def test_each_message_is_one_line_to_all_that_listen_on_its_channel() -> None:
    async def main() -> None:
        broadcaster = Broadcaster()
        async with serving(broadcaster) as port:
            broadcaster.broadcast("log", "nobody listens yet")
            with peer_of(port) as one, peer_of(port) as two, peer_of(port, b"other") as other:
                await comes_true(lambda: len(queues(broadcaster)) == 3)
                broadcaster.broadcast("log", (20, "src", 1.5, "msg\nline2"))
                broadcaster.broadcast("other", None)
                expected = b'{"__jsonclass__":["tuple",[[20,"src",1.5,"msg\\nline2"]]]}'
                assert await one.line() == expected
                assert await two.line() == expected
                assert await other.line() == b"null"
                with pytest.raises(TypeError):
                    broadcaster.broadcast("log", object())
                with pytest.raises(TypeError):
                    broadcaster.broadcast("nobody", object())
                broadcaster.broadcast("log", 1)
                assert await one.line() == b"1"
            await comes_true(lambda: not broadcaster._feeds)

    asyncio.run(main())


def test_messages_from_threads_keep_their_order() -> None:
    async def main() -> None:
        broadcaster = Broadcaster(queue_limit=10_000)
        async with serving(broadcaster) as port:
            with peer_of(port, receive_buffer=1 << 20) as peer:
                await comes_true(lambda: broadcaster._feeds)

                def work(name: str) -> None:
                    for i in range(300):
                        broadcaster.broadcast("log", [name, i])

                workers = [threading.Thread(target=work, args=(name,)) for name in "ab"]
                for worker in workers:
                    worker.start()
                lines = [eval(await peer.line()) for _ in range(600)]
                for worker in workers:
                    worker.join()
                for name in "ab":
                    assert [i for n, i in lines if n == name] == list(range(300))

    asyncio.run(main())


@pytest.mark.parametrize(
    "limits", [{"queue_limit": 10}, {"max_backlog": 100_000}], ids=["messages", "bytes"]
)
def test_a_slow_receiver_loses_messages_and_the_others_none(
    limits: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        broadcaster = Broadcaster(**limits)
        async with serving(broadcaster) as port:
            with peer_of(port) as slow, peer_of(port, receive_buffer=1 << 20) as quick:
                await comes_true(
                    lambda: broadcaster._feeds and len(broadcaster._feeds["log"].queues) == 2
                )
                channel = broadcaster._feeds["log"]
                sent = 0
                for _ in range(2000):
                    broadcaster.broadcast("log", [sent, BIG])
                    sent += 1
                    assert (await quick.line()).startswith(b"[%d," % (sent - 1))
                    if sum(channel._lost.values()) >= 50:
                        break
                assert sum(channel._lost.values()) == 50
                # It has what was sent until it was too slow, whole, and then goes on.
                got = [(await slow.line())[:8] for _ in range(sent - 50)]
                assert got == [(b"[%d," % i + b'"xxxxxxx')[:8] for i in range(sent - 50)]
                await comes_true(lambda: not channel._lost)
                broadcaster.broadcast("log", "next")
                assert await slow.line() == b'"next"'

    asyncio.run(main())
    assert len(caplog.messages) == 2
    assert caplog.messages[0].endswith("does not keep up with `log`: it is losing messages")
    assert caplog.messages[1].endswith("keeps up with `log` again, after it lost 50 messages")
    assert caplog.record_tuples[0][:2] == ("sipyco.broadcast", logging.WARNING)


def test_a_burst_is_for_those_that_read_whole() -> None:
    async def main() -> None:
        broadcaster = Broadcaster(queue_limit=10)
        async with serving(broadcaster) as port:
            with peer_of(port, receive_buffer=1 << 20) as peer:
                await comes_true(lambda: broadcaster._feeds)
                for i in range(100):
                    broadcaster.broadcast("log", i)
                assert [await peer.line() for _ in range(100)] == [b"%d" % i for i in range(100)]

    asyncio.run(main())


def test_who_leaves_in_the_midst_of_losing_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        broadcaster = Broadcaster(queue_limit=2)
        async with serving(broadcaster) as port:
            with peer_of(port):
                await comes_true(lambda: broadcaster._feeds)
                channel = broadcaster._feeds["log"]
                for _ in range(2000):
                    broadcaster.broadcast("log", BIG)
                    await asyncio.sleep(0)
                    if sum(channel._lost.values()) == 3:
                        break
            await comes_true(lambda: not broadcaster._feeds)

    asyncio.run(main())
    assert "is gone; it lost 3 messages of `log`" in caplog.messages[-1]


def test_a_thread_that_is_faster_than_the_loop_loses_what_does_not_fit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        broadcaster = Broadcaster(max_backlog=100_000)
        async with serving(broadcaster) as port:
            with peer_of(port, receive_buffer=1 << 20) as peer:
                await comes_true(lambda: broadcaster._feeds)

                def work() -> None:
                    for i in range(50):
                        broadcaster.broadcast("log", [i, BIG])

                worker = threading.Thread(target=work)
                worker.start()
                worker.join()  # the loop cannot deliver meanwhile
                for i in range(9):
                    assert (await peer.line()).startswith(b"[%d," % i)
                broadcaster.broadcast("log", 1)
                assert await peer.line() == b"1"

    asyncio.run(main())
    assert caplog.messages == [
        "41 messages of `log` were lost: they came faster than they could be sent"
    ]


def test_what_complains_may_be_broadcast_itself() -> None:
    async def main() -> None:
        broadcaster = Broadcaster(queue_limit=5)

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                broadcaster.broadcast("log", record.getMessage())

        handler = Handler()
        logger = logging.getLogger("sipyco.broadcast")
        logger.addHandler(handler)
        try:
            async with serving(broadcaster) as port:
                with peer_of(port) as peer:
                    await comes_true(lambda: broadcaster._feeds)
                    channel = broadcaster._feeds["log"]
                    while sum(channel._lost.values()) < 20:
                        broadcaster.broadcast("log", BIG)
                        await asyncio.sleep(0)
                    while b"keeps up" not in await peer.line():
                        pass
        finally:
            logger.removeHandler(handler)

    asyncio.run(main())


@pytest.mark.parametrize("limit", ["queue_limit", "max_backlog"])
def test_limits_that_make_no_sense(limit: str) -> None:
    with pytest.raises(ValueError, match=limit):
        Broadcaster(**{limit: 0})


def test_a_receiver_gets_each_message_in_order() -> None:
    async def main() -> None:
        broadcaster = Broadcaster()
        seen: list[Any] = []
        states: list[SubscriptionState] = []

        async def later(message: Any) -> None:
            await asyncio.sleep(0)
            seen.append(("later", message))

        async with serving(broadcaster) as port:
            callbacks = [lambda message: seen.append(("now", message)), later]
            async with Receiver("log", callbacks, state_cb=states.append) as receiver:
                await receiver.connect(HOST, port)
                await comes_true(lambda: broadcaster._feeds)
                assert states == [SubscriptionState.connected]
                broadcaster.broadcast("log", (1,))
                broadcaster.broadcast("log", None)
                await comes_true(lambda: len(seen) == 4)
                assert receiver.writer.get_extra_info("peername")[1] == port
                assert not receiver.receive_task.done()
            assert receiver.receive_task.done()
        assert seen == [("now", (1,)), ("later", (1,)), ("now", None), ("later", None)]

    asyncio.run(main())


def test_every_shape_of_connect_that_programs_use() -> None:
    server = SimpleSSLConfig(**paths_of("server", "client"))
    paths = paths_of("client", "server")
    config = SimpleSSLConfig(**paths)
    called: list[int] = []
    shapes: list[Callable[[Any, int], Any]] = [
        lambda r, port: r.connect(HOST, port, config),
        lambda r, port: r.connect(HOST, port, None, config),
        lambda r, port: r.connect(HOST, port, None, ssl_config=config),
        lambda r, port: r.connect(host=HOST, port=port, ssl_config=config),
        lambda r, port: r.connect(HOST, port, **paths),
        lambda r, port: r.connect(HOST, port, lambda: called.append(1), config),
    ]

    async def main() -> None:
        broadcaster = Broadcaster()
        async with serving(broadcaster, ssl_config=server) as port:
            for shape in shapes:
                got: list[Any] = []
                async with Receiver("log", got.append) as receiver:
                    await shape(receiver, port)
                    await comes_true(lambda: broadcaster._feeds)
                    broadcaster.broadcast("log", 1)
                    await comes_true(lambda: got == [1])
                await comes_true(lambda: not broadcaster._feeds)
            for bad in ((5,), (config, config), (print, print), (None, None, None)):
                with pytest.raises(TypeError):
                    await Receiver("log", print).connect(HOST, port, *bad)

    asyncio.run(main())
    assert called == [1]


def test_a_message_that_cannot_be_read_is_logged_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await is_asked(reader, BANNER, b"log\n")
            writer.write(b'garbage\n"' + b"x" * 200 + b'"\n{"__jsonclass__":["nosuch",[]]}\n1\n')
            writer.close()

        got: list[Any] = []
        lost: list[int] = []
        server = await asyncio.start_server(serve, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        receiver = Receiver("log", got.append, lambda: lost.append(1), max_line=100)
        await receiver.connect(HOST, port)
        async with asyncio.timeout(DEADLINE):
            await receiver.receive_task
        server.close()
        assert (got, lost) == ([1], [1])

    asyncio.run(main())
    assert len(caplog.messages) == 3
    assert "line of 202 bytes is too long" in caplog.messages[1]
    assert "nosuch" in caplog.messages[2]


def test_broadcasts_of_programs_from_before_2025(caplog: pytest.LogCaptureFixture) -> None:
    said = (
        b'{"a": {1, 2}, "t": (1,), "c": 1+2j}\n'
        b"b'bytes'\n"
        b"[true, null, nan]\n"
        b"{}\n"  # the same in both dialects
        b'{"__jsonclass__": ["nosuch", []]}\n'  # of a newer program, and of a type unknown here
        b"().__class__\n"
        b"1\n"
    )

    async def main() -> None:
        got: list[Any] = []
        async with feed_of(said) as port:
            receiver = Receiver("log", got.append)
            await receiver.connect(HOST, port)
            async with asyncio.timeout(DEADLINE):
                await receiver.receive_task
        assert got[:2] == [{"a": {1, 2}, "t": (1,), "c": 1 + 2j}, b"bytes"]
        assert repr(got[2:]) == "[[True, None, nan], {}, 1]"

    asyncio.run(main())
    assert len(caplog.messages) == 3  # of the two, and of the end
    assert "nosuch" in caplog.messages[0]
    assert "cannot use" in caplog.messages[1]


def test_an_error_in_a_callback_ends_the_subscription(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        broadcaster = Broadcaster()
        async with serving(broadcaster) as port:
            receiver = Receiver("log", lambda message: message["nosuch"])
            await receiver.connect(HOST, port)
            await comes_true(lambda: broadcaster._feeds)
            broadcaster.broadcast("log", {})
            async with asyncio.timeout(DEADLINE):
                await receiver.receive_task

    asyncio.run(main())
    assert "KeyError: 'nosuch'" in caplog.text


def test_a_receiver_comes_back_when_asked_to() -> None:
    async def main() -> None:
        got: list[Any] = []
        broadcaster = Broadcaster()
        async with serving(broadcaster) as port:
            async with Receiver("log", got.append, reconnect=0.001) as receiver:
                await receiver.connect(HOST, port)
                for i in range(3):
                    await comes_true(lambda: broadcaster._feeds)
                    broadcaster.broadcast("log", i)
                    await comes_true(lambda i=i: got[-1:] == [i])
                    queue = next(iter(broadcaster._feeds["log"].queues))
                    queue._transport.abort()
                    await comes_true(queue.lost.done)
                    await comes_true(lambda queue=queue: queue not in queues(broadcaster))
        assert got == [0, 1, 2]

    asyncio.run(main())
