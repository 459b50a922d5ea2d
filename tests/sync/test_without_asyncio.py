"""For programs without asyncio: a subscriber in a thread, and snapshots."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from sipyco_sync.sync_struct import (
    Notifier,
    Publisher,
    ThreadSubscriber,
    blocking_snapshot,
    snapshot,
)
from support.peers import DEADLINE, HOST, Peer, running_server, scripted_server

INIT = b'{"action":"init","struct":{"a":[]}}\n'
EARLY_END = "it has probably no notifier `nosuch`"


def greeted(peer: Peer) -> None:
    assert peer.line() == b"ARTIQ sync_struct\n"
    peer.line()


def test_a_copy_in_a_thread() -> None:
    n = Notifier({"a": []})
    with running_server(lambda: Publisher({"n": n})) as port:
        seen: list[str] = []
        names: list[str] = []

        def notify(mod: dict[str, Any]) -> None:
            seen.append(mod["action"])
            names.append(threading.current_thread().name)

        with ThreadSubscriber(HOST, port, "n", notify) as subscriber:
            mine = subscriber.copy()
            assert mine == {"a": []}
            assert subscriber.connected
            n["a"].append(1)
            assert subscriber.wait_for(lambda struct: struct["a"], DEADLINE) == [1]
            assert mine == {"a": []}
            assert subscriber.wait_for(lambda struct: subscriber.copy() == {"a": [1]}, DEADLINE)
            with pytest.raises(TimeoutError, match=r"0\.01 seconds"):
                subscriber.wait_for(lambda struct: False, 0.01)
        subscriber.close()
        assert not subscriber.connected
        assert seen == ["init", "append"]
        assert set(names) == {"subscriber of `n`"}
        with pytest.raises(EOFError, match="has ended"):
            subscriber.wait_for(lambda struct: False)


def test_waiting_ends_when_the_subscription_does() -> None:
    def play(peer: Peer) -> None:
        greeted(peer)
        peer.send(INIT)

    lost = threading.Event()
    with scripted_server(play) as port:
        with ThreadSubscriber(HOST, port, "n", disconnect_cb=lost.set) as subscriber:
            with pytest.raises(EOFError, match="subscription to `n` has ended"):
                subscriber.wait_for(lambda struct: False, DEADLINE)
            assert lost.wait(DEADLINE)
            assert subscriber.copy() == {"a": []}


def test_a_thread_comes_back_when_asked_to() -> None:
    count = 0

    def play(peer: Peer) -> None:
        nonlocal count
        if peer.line() != b"ARTIQ sync_struct\n":
            return  # it was closed as it came back
        count += 1
        peer.send(b'{"action":"init","struct":[%d]}\n' % count)

    with scripted_server(play) as port:
        with ThreadSubscriber(HOST, port, "n", reconnect=0.001) as subscriber:
            assert subscriber.wait_for(lambda struct: struct[0] > 2, DEADLINE)


def test_a_thread_says_at_once_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    with running_server(lambda: Publisher({"n": Notifier([])})) as port:
        with pytest.raises(EOFError, match=EARLY_END):
            ThreadSubscriber(HOST, port, "nosuch")
    with pytest.raises(ConnectionRefusedError):
        ThreadSubscriber(HOST, port, "n")
    with pytest.raises(ValueError, match="reconnect"):
        ThreadSubscriber(HOST, port, "n", reconnect=-1)
    with scripted_server(lambda peer: peer.socket.recv(100) and peer.line() and None) as port:
        with pytest.raises(TimeoutError, match=r"`n` has not arrived within 0\.05 seconds"):
            ThreadSubscriber(HOST, port, "n", timeout=0.05)


def test_a_callback_may_close_its_thread() -> None:
    n = Notifier([])
    with running_server(lambda: Publisher({"n": n})) as port:
        closed = threading.Event()

        def notify(mod: dict[str, Any]) -> None:
            if mod["action"] == "append":
                subscriber.close()
                closed.set()

        callbacks = [notify]
        subscriber = ThreadSubscriber(HOST, port, "n", callbacks)
        n.append(1)
        assert closed.wait(DEADLINE)
        subscriber.close()
        assert callbacks == [notify]


def test_a_snapshot_in_both_forms() -> None:
    n = Notifier({"a": [1, (2,)], "big": "x" * 1_000_000})
    with running_server(lambda: Publisher({"n": n})) as port:
        assert blocking_snapshot(HOST, port, "n") == n.raw_view
        assert asyncio.run(snapshot(HOST, port, "n")) == n.raw_view
    with running_server(lambda: Publisher({"n": n}, dialect="pyon_v1")) as port:
        assert blocking_snapshot(HOST, port, "n") == n.raw_view


@pytest.mark.parametrize("form", ["blocking", "coroutine"])
def test_a_snapshot_that_does_not_come_says_why(form: str) -> None:
    def get(port: int, name: str = "nosuch", **options: Any) -> Any:
        if form == "blocking":
            return blocking_snapshot(HOST, port, name, **options)
        return asyncio.run(snapshot(HOST, port, name, **options))

    with running_server(lambda: Publisher({"n": Notifier(["x" * 1000])})) as port:
        with pytest.raises(EOFError, match=EARLY_END):
            get(port)
        with pytest.raises(ValueError, match="limit is 100 bytes"):
            get(port, "n", max_line=100)
        with pytest.raises(ValueError, match="no line breaks"):
            get(port, "n\n")
    with pytest.raises(ConnectionRefusedError):
        get(port)

    ended = threading.Event()

    def silent(peer: Peer) -> None:
        greeted(peer)
        ended.wait(DEADLINE)

    with scripted_server(silent) as port:
        with pytest.raises(TimeoutError, match=rf"{HOST} port {port} has not answered within"):
            get(port, timeout=0.05)
        ended.set()

    def mod_first(peer: Peer) -> None:
        greeted(peer)
        peer.send(b'{"action":"pop","path":[],"i":0}\n')

    with scripted_server(mod_first) as port:
        with pytest.raises(ValueError, match="expected `init` as the first mod, got `pop`"):
            get(port)


def test_an_error_in_a_callback_ends_the_thread_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    def bad(mod: dict[str, Any]) -> None:
        raise ZeroDivisionError("from the program")

    with running_server(lambda: Publisher({"n": Notifier([])})) as port:
        with ThreadSubscriber(HOST, port, "n", bad) as subscriber:
            with pytest.raises(EOFError):
                subscriber.wait_for(lambda struct: False, DEADLINE)
    assert "from the program" in caplog.text
