"""The bar of large transfers: on a terminal, after a while, and gone when there is a result."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from sipyco_tools._cli import progress_bar
from sipyco_tools._cli.progress_bar import ProgressBar
from support.peers import DEADLINE, HOST, Peer, handshake, scripted_server, until
from support.terminals import Terminal


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_bar_is_there_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress_bar, "time", clock)
    monkeypatch.setenv("COLUMNS", "80")
    bar = ProgressBar()
    bar.update("sent", 1 << 20, 1 << 22)
    bar.clear()
    assert terminal.text == ""
    clock.now += 1
    bar.update("sent", 1 << 20, 1 << 22)
    bar.update("sent", 1 << 21, 1 << 22)  # too soon to be seen
    assert terminal.text == "\rsent 1.0 MiB of 4.0 [#######" + 23 * " " + "] 25 %\x1b[K"
    clock.now += 1
    bar.update("received", 1 << 21, None)
    assert terminal.text.endswith("\rreceived 2.0 MiB\x1b[K")
    bar.clear()
    bar.clear()
    assert terminal.text.endswith("MiB\x1b[K\r\x1b[K")
    monkeypatch.setenv("COLUMNS", "10")
    clock.now += 1
    bar.update("sent", 1 << 20, 1 << 22)
    assert terminal.text.endswith("\rsent 1.0 \x1b[K")


def test_where_nobody_looks_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress_bar, "time", clock)
    bar = ProgressBar()
    clock.now += 1
    bar.update("sent", 1, 2)
    bar.clear()
    assert capsys.readouterr() == ("", "")


def test_a_call_that_takes_long_has_a_bar() -> None:
    pty = pytest.importorskip("pty")
    shown = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        # White space is part of the reply, which is long in coming.
        until(lambda: (peer.send(b" " * 100_000), shown.is_set())[1])
        peer.send(b'{"status":"ok","ret":5}\n')

    parent, child = pty.openpty()
    received = bytearray()

    def seen(text: bytes) -> bool:
        if text not in received:
            received.extend(os.read(parent, 1000))
        return text in received

    with scripted_server(play) as port:
        command: list[Any] = [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", HOST, str(port)]
        process = subprocess.Popen(
            [*command, "call", "f"], stdout=subprocess.PIPE, stderr=child, text=True
        )
        os.close(child)
        try:
            until(lambda: seen(b"received "))
            shown.set()
            out, _ = process.communicate(timeout=DEADLINE)
            until(lambda: seen(b"\r\x1b[K"))
        finally:
            shown.set()
            process.kill()
            process.communicate()
            os.close(parent)
    assert (out, process.returncode) == ("5\n", 0)
