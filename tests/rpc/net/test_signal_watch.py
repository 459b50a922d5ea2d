"""Signals that a thread hears of, and whoever was told of them before."""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sipyco_rpc.net import signal_watch
from sipyco_rpc.net.signal_watch import SignalWatch
from support.forks import fork
from support.peers import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals can be sent there")

NUMBERS = (signal.SIGUSR1, signal.SIGUSR2)


class Watch(SignalWatch):
    """Remembers what it has heard of."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[int] = queue.SimpleQueue()
        super().__init__(self.heard.put)

    def next(self) -> int:
        return self.heard.get(timeout=DEADLINE)


@contextmanager
def watching() -> Iterator[Watch]:
    before = {number: signal.signal(number, lambda *_: None) for number in NUMBERS}
    watch = Watch()
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def wakeup_fd() -> int:
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    return descriptor


def test_a_thread_hears_of_signals() -> None:
    before = wakeup_fd()
    with watching() as watch:
        assert watch.active
        signal.raise_signal(signal.SIGUSR1)
        assert watch.next() == signal.SIGUSR1
        signal.raise_signal(signal.SIGUSR2)
        assert watch.next() == signal.SIGUSR2
    assert not watch.active
    watch.stop()
    assert wakeup_fd() == before


def test_signals_while_it_pauses_are_heard_of_later() -> None:
    with watching() as watch:
        watch.pause()
        watch.pause()
        assert not watch.active
        signal.raise_signal(signal.SIGUSR1)
        watch.resume()
        assert watch.next() == signal.SIGUSR1


@pytest.mark.parametrize("kind", ["socket", "pipe"])
def test_who_was_told_before_is_told_on(kind: str) -> None:
    if kind == "socket":
        sockets = socket.socketpair()
        reads, writes = (sock.detach() for sock in sockets)
    else:
        reads, writes = os.pipe()
    os.set_blocking(writes, False)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    try:
        with watching() as watch:
            signal.raise_signal(signal.SIGUSR1)
            assert watch.next() == signal.SIGUSR1
            assert os.read(reads, 10) == bytes([signal.SIGUSR1])
            while True:
                try:
                    os.write(writes, bytes(1000))
                except BlockingIOError:
                    break
            signal.raise_signal(signal.SIGUSR2)
            assert watch.next() == signal.SIGUSR2
        assert wakeup_fd() == writes
    finally:
        signal.set_wakeup_fd(before)
        os.close(reads)
        os.close(writes)


def test_what_others_have_set_meanwhile_stays() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        with watching():
            before = signal.set_wakeup_fd(theirs.fileno())
        assert before != theirs.fileno()
        assert signal.set_wakeup_fd(-1) == theirs.fileno()


def test_it_is_for_the_main_thread() -> None:
    watch = Watch()
    thread = threading.Thread(target=watch.start)
    thread.start()
    thread.join(DEADLINE)
    assert not watch.active
    watch.resume()
    assert not watch.active


@pytest.mark.parametrize("lacking", ["descriptors", "threads"])
def test_it_does_without_what_is_not_there(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pair() -> Any:
        raise OSError(24, "Too many open files")

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    if lacking == "descriptors":
        monkeypatch.setattr(signal_watch.socket, "socketpair", no_pair)
    else:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
    before = wakeup_fd()
    with watching() as watch:
        assert not watch.active
        assert wakeup_fd() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_child_of_a_fork_has_signals_of_its_own() -> None:
    with watching() as watch:
        watch.pause()
        child = fork()
        if child == 0:
            watch.abandon()
            signal.raise_signal(signal.SIGUSR2)
            os._exit(0 if wakeup_fd() == -1 else 1)
        watch.resume()
        assert os.waitpid(child, 0)[1] == 0
        signal.raise_signal(signal.SIGUSR1)
        assert watch.next() == signal.SIGUSR1
