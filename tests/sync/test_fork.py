"""Publishers, subscribers and notifiers in a process that was forked."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from typing import Any

import pytest

from sipyco_sync.broadcast import Broadcaster, Receiver
from sipyco_sync.sync_struct import Notifier, Publisher, Subscriber, ThreadSubscriber
from support.certificates import paths_of
from support.event_loops import every_loop, loop_factory
from support.feeds import comes_true, port_of, serving
from support.forks import in_child, outcome
from support.peers import DEADLINE, HOST, running_server, until
from support.transports import secured

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


@every_loop
@secured
def test_subscribers_and_receivers_may_connect_anew_in_a_child(tls: bool, loop: str) -> None:
    ours = paths_of("server", "client") if tls else {}
    theirs = paths_of("client", "server") if tls else {}

    async def connected(port: int) -> Any:
        copies: list[Any] = []
        subscriber = Subscriber("n", lambda struct: copies.append(struct) or struct)
        await subscriber.connect(HOST, port, **theirs)
        await comes_true(lambda: copies)
        return subscriber, copies

    async def anew(subscriber: Subscriber, port: int) -> str:
        await subscriber.close()  # what was the parent's
        came = asyncio.Event()
        subscriber.target_builder = lambda struct: came.set() or struct
        await subscriber.connect(HOST, port, **theirs)
        async with asyncio.timeout(DEADLINE):
            await came.wait()
        await subscriber.close()
        return "connected anew"

    with running_server(lambda: Publisher({"n": notifier}), **ours) as port:
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            subscriber, copies = runner.run(connected(port))
            assert in_child(lambda: asyncio.run(anew(subscriber, port))) == "connected anew"
            notifier["after"] = port

            async def end() -> None:
                await comes_true(lambda: copies[0].get("after") == port)
                await subscriber.close()

            runner.run(end())


notifier = Notifier({"x": 1})


@every_loop
def test_servers_in_a_child_have_no_peers_and_may_be_started_anew(loop: str) -> None:
    structure = Notifier({"x": 1})
    publisher, broadcaster = Publisher({"n": structure}), Broadcaster()

    async def use(port: int) -> str:
        structure["x"] = 5  # nobody is told
        assert structure.raw_view == {"x": 5}
        said = outcome(lambda: broadcaster.broadcast("c", 5))
        messages: list[Any] = []
        async with serving(publisher) as port, serving(broadcaster) as other:
            async with Receiver("c", messages.append) as receiver:
                await receiver.connect(HOST, other)
                subscriber = Subscriber("n", lambda struct: messages.append(struct) or struct)
                await subscriber.connect(HOST, port)
                await comes_true(lambda: messages == [{"x": 5}] and broadcaster._feeds)
                broadcaster.broadcast("c", "hello")
                structure["y"] = 6
                await comes_true(lambda: messages == [{"x": 5, "y": 6}, "hello"])
                await subscriber.close()
        return said

    async def main() -> None:
        messages: list[Any] = []
        async with serving(publisher) as port, serving(broadcaster) as other:
            copies: list[Any] = []
            async with Subscriber("n", lambda s: copies.append(s) or s) as subscriber:
                await subscriber.connect(HOST, port)
                async with Receiver("c", messages.append) as receiver:
                    await receiver.connect(HOST, other)
                    await comes_true(lambda: copies and broadcaster._feeds)
                    thread = await asyncio.to_thread(lambda: in_child(lambda: asyncio.run(use(0))))
                    assert thread == (
                        f"RuntimeError: the broadcaster belongs to process {os.getpid()}, "
                        "from which this one was forked: start one in this process"
                    )
                    structure["z"] = 7
                    broadcaster.broadcast("c", "ours")
                    await comes_true(lambda: copies == [{"x": 1, "z": 7}])
                    await comes_true(lambda: messages == ["ours"])

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_a_fork_while_another_thread_changes_a_notifier_leaves_no_lock_held() -> None:
    structure = Notifier({"x": 1})

    async def main() -> None:
        async with serving(Publisher({"n": structure})):
            held, release = threading.Event(), threading.Event()

            def hold() -> None:
                with structure.changes.lock:
                    held.set()
                    assert release.wait(DEADLINE)

            thread = threading.Thread(target=hold)
            thread.start()
            assert held.wait(DEADLINE)

            def use() -> Any:
                structure["x"] = 2
                structure.setdefault("y", []).append(3)
                return structure.raw_view

            try:
                assert in_child(use) == "{'x': 2, 'y': [3]}"
            finally:
                release.set()
                thread.join(DEADLINE)
            structure["x"] = 4

    asyncio.run(main())


def test_a_subscriber_in_a_thread_refuses_in_a_child_or_connects_anew() -> None:
    structure = Notifier({"x": 1})
    with running_server(lambda: Publisher({"n": structure})) as port:
        with (
            ThreadSubscriber(HOST, port, "n") as plain,
            ThreadSubscriber(HOST, port, "n", reconnect=0.01) as lasting,
        ):
            held, release = threading.Event(), threading.Event()

            def hold() -> None:
                with plain._subscription.changed, lasting._subscription.changed:
                    held.set()
                    assert release.wait(DEADLINE)

            thread = threading.Thread(target=hold)
            thread.start()
            assert held.wait(DEADLINE)

            def use() -> str:
                said = [outcome(plain.copy), outcome(lambda: plain.wait_for(bool))]
                assert not plain.connected
                said.append(outcome(plain.close))
                said += [outcome(lasting.copy), str(lasting.connected)]
                said.append(outcome(lambda: lasting.wait_for(lambda struct: struct["x"])))
                lasting.close()
                return "\n".join(said)

            text = (
                f"ConnectionLost: the subscription to `n` belongs to process {os.getpid()}, "
                "from which this one was forked: make another one in this process"
            )
            try:
                said = in_child(use).split("\n")
                assert said == [text, text, "None", "{'x': 1}", "True", "1"]
            finally:
                release.set()
                thread.join(DEADLINE)
            structure["x"] = 2
            for subscriber in (plain, lasting):
                assert subscriber.wait_for(lambda struct: struct["x"] == 2, DEADLINE)


def test_a_subscriber_in_a_thread_that_is_dropped_ends_with_a_warning() -> None:
    publishers: list[Publisher] = []

    def publisher() -> Publisher:
        publishers.append(Publisher({"n": Notifier({"x": 1})}))
        return publishers[0]

    with running_server(publisher) as port:
        subscriber = ThreadSubscriber(HOST, port, "n", reconnect=0.01)
        thread = subscriber._subscription.thread
        assert thread.is_alive()
        with pytest.warns(ResourceWarning, match="unclosed subscriber of `n`"):
            del subscriber
        thread.join(DEADLINE)
        assert not thread.is_alive()
        until(lambda: not any(feed.queues for feed in publishers[0]._feeds.values()))


@pytest.mark.parametrize("method", ["start", "__init__"])
def test_a_thread_that_cannot_be_started_for_a_subscriber(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("can't start new thread")

    with running_server(lambda: Publisher({"n": Notifier(1)})) as port:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, method, refuse)
            text = "no thread can be started for the subscriber of `n`: can't start new thread"
            with pytest.raises(RuntimeError, match=text):
                ThreadSubscriber(HOST, port, "n")
        with ThreadSubscriber(HOST, port, "n") as subscriber:
            assert subscriber.copy() == 1


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "dropped"])
@every_loop
def test_servers_that_are_started_again_in_another_loop(loop: str, stopped: bool) -> None:
    structure = Notifier({"x": 1})
    publisher, broadcaster = Publisher({"n": structure}), Broadcaster()

    async def run(number: int) -> None:
        messages: list[Any] = []
        await publisher.start(HOST, 0)
        await broadcaster.start(HOST, 0)
        subscriber = Subscriber("n", lambda struct: messages.append(struct) or struct)
        await subscriber.connect(HOST, port_of(publisher))
        receiver = Receiver("c", messages.append)
        await receiver.connect(HOST, port_of(broadcaster))
        await comes_true(lambda: messages and broadcaster._feeds)
        structure["x"] = number
        broadcaster.broadcast("c", number)
        await comes_true(lambda: messages == [{"x": number}, number])
        structure["x"] = -number  # is not sent before the end
        if stopped or number == 3:
            await subscriber.close()
            await receiver.close()
            await publisher.stop()
            await broadcaster.stop()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of what is dropped, as it should be
        for number in (1, 2, 3):
            with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
                runner.run(run(number))
