"""The lock of threads that share one connection: in the order in which they came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from sipyco_rpc._client.blocking import lock as lock_module
from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc._client.blocking.lock import CallLock
from sipyco_rpc.pc_rpc import Client
from support.forks import outcome
from support.peers import DEADLINE, HOST, rpc_server, until


def connection_of(client: Client) -> BlockingConnection:
    return cast(BlockingConnection, vars(client)["_Client__connection"])


def release(lock: CallLock, holder: int) -> None:
    lock.release(holder)
    lock.wake()


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield thread
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_whoever_comes_back_at_once_is_behind_those_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock_module, "_TIMEOUT", DEADLINE)
    lock, order = CallLock(), []

    def once(name: str, number: int) -> None:
        assert lock.acquire(number, time.monotonic() + DEADLINE)
        order.append(name)
        release(lock, number)

    assert lock.acquire(1, None)
    with in_thread(lambda: once("second", 2)):
        until(lambda: len(lock.waiting) == 1)
        with in_thread(lambda: once("third", 3)):
            until(lambda: len(lock.waiting) == 2)
            release(lock, 1)
            once("first again", 1)
    assert order == ["second", "third", "first again"]
    assert not lock.locked()
    assert lock.waiting == []


def test_whoever_does_not_take_its_turn_keeps_nobody_waiting() -> None:
    lock = CallLock()
    lock.waiting.append(threading.Lock())  # in a signal handler, for as long as it likes
    assert lock.acquire(1, time.monotonic() + DEADLINE)
    assert lock.holder == {1}


def test_whoever_waits_too_long_makes_room_for_the_next() -> None:
    lock = CallLock()
    assert lock.acquire(1, None)
    assert not lock.acquire(2, time.monotonic())
    assert lock.waiting == []
    release(lock, 1)
    assert lock.acquire(3, time.monotonic())


class Device:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def note(self, name: str) -> None:
        self.calls.append(name)


def test_a_call_is_made_after_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "_TIMEOUT", DEADLINE)
    device = Device()
    with rpc_server({"device": device}) as port, Client(HOST, port) as client:
        lock = connection_of(client).lock
        assert lock.try_acquire(1)
        with in_thread(lambda: client.note("first")):
            until(lambda: len(lock.waiting) == 1)
            release(lock, 1)
            client.note("second")
    assert device.calls == ["first", "second"]


def test_a_call_in_a_signal_handler_tells_of_a_connection_that_has_ended() -> None:
    with rpc_server({"device": Device()}) as port, Client(HOST, port) as client:
        connection = connection_of(client)
        assert connection.lock.try_acquire(threading.get_ident())
        assert outcome(lambda: client.note("late")).startswith(
            "RuntimeError: call of `device.note`"
        )
        connection.transport.closed = "it is over"
        assert outcome(lambda: client.note("late")).startswith(
            "ConnectionLost: call of `device.note`: it is over"
        )
        connection.lock.release(threading.get_ident())
