"""A server as a process, and more peers than it would like: it serves all, and keeps nothing."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import Client
from support.environment import as_installed
from support.peers import DEADLINE, HOST, Peer, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.one_python,
    pytest.mark.skipif(
        not Path("/proc/self/statm").exists(), reason="what a process has is read from /proc"
    ),
]

MIB = 1024 * 1024
PROGRAM = Path(__file__).with_name("loaded_program.py")
AT_ONCE = 500
IN_SEQUENCE = 10_000
BATCH = 2000
RESET = struct.pack("ii", 1, 0)  # leave with a reset, and no port that waits for its time


@contextlib.contextmanager
def loaded(*arguments: int, said: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run the server; give its port and its process. What it logs is written to a file."""
    with said.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=as_installed(),
        )
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process
        finally:
            process.kill()
            process.communicate()


def connect(port: int) -> socket.socket:
    sock = socket.create_connection((HOST, port), DEADLINE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return sock


def at_rest(client: Any) -> dict[str, int]:
    """Wait until the client is the only one, and tell what the server has then."""
    state: dict[str, int] = {}

    def alone() -> bool:
        state.update(client.state())
        # The tasks of main, of `wait_terminate` and of the connection.
        return state["tasks"] <= 3 and state["connections"] == 1

    until(alone)
    return state


def test_five_hundred_clients_at_once(tmp_path: Path) -> None:
    with (
        loaded(1024, said=tmp_path / "log") as (port, _),
        Client(HOST, port, "t", DEADLINE) as client,
    ):
        before = at_rest(client)
        peers = [Peer(connect(port)) for _ in range(AT_ONCE)]
        try:
            for peer in peers:
                peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n")
            for i, peer in enumerate(peers):
                assert peer.line().startswith(b'{"targets":["t"]')
                assert b"echo" in peer.line()
                peer.send(b'{"action":"call","name":"echo","args":[%d],"kwargs":{}}\n' % i)
            for i, peer in enumerate(peers):
                assert peer.line() == b'{"status":"ok","ret":%d}\n' % i
            assert client.state()["tasks"] == before["tasks"] + AT_ONCE
        finally:
            for peer in peers:
                peer.close()
        after = at_rest(client)
        assert {**after, "resident": 0} == {**before, "resident": 0}


def test_ten_thousand_connections_in_sequence(tmp_path: Path) -> None:
    says = [
        b"",
        b"ARTIQ pc",
        b"ARTIQ pc_rpc\n",
        b"ARTIQ pc_rpc\nt pyon_v2\n",
        b"ARTIQ pc_rpc\nt pyon_v2 frames\n#1 9999999\n",
        b'ARTIQ pc_rpc\nt\n{"action": "call", "name": "echo", "args": [1], "kwargs": {}}\n',
    ]
    with (
        loaded(1024, said=tmp_path / "log") as (port, _),
        Client(HOST, port, "t", DEADLINE) as client,
    ):

        def several(count: int) -> None:
            for i in range(count):
                with connect(port) as sock:
                    sock.sendall(says[i % len(says)])
                if i % 50 == 0:
                    assert client.echo(i) == i  # so that there is always room in its queue

        growths = []
        several(BATCH)
        before = at_rest(client)
        for _ in range(IN_SEQUENCE // BATCH - 1):
            resident = before["resident"]
            several(BATCH)
            after = at_rest(client)
            assert {**after, "resident": resident} == before
            growths.append(after["resident"] - resident)
            before = after
        # It goes up and down with how many there happened to be at a time; a leak would go up.
        assert min(growths) < MIB


def test_more_connections_than_descriptors_are_served_when_others_leave(tmp_path: Path) -> None:
    with loaded(40, 10_000, said=tmp_path / "log") as (port, process):
        peers = [connect(port) for _ in range(100)]
        try:
            with pytest.raises((TimeoutError, OSError, EOFError)):
                Client(HOST, port, "t", timeout=0.2)
        finally:
            for peer in peers:
                peer.close()

        def answers() -> bool:
            try:
                with Client(HOST, port, "t", timeout=10) as client:
                    assert client.echo("there") == "there"
                    client.terminate()
                    return True
            except (OSError, EOFError):
                return False  # the system closes what it had kept for the server

        until(answers)
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    assert "out of system resource" in (tmp_path / "log").read_text()


def test_by_default_there_are_fewer_connections_than_descriptors(tmp_path: Path) -> None:
    with loaded(60, said=tmp_path / "log") as (port, _):
        peers = [connect(port) for _ in range(200)]
        try:
            with Client(HOST, port, "t", timeout=DEADLINE) as client:
                assert client.echo("there") == "there"
                assert client.state()["descriptors"] <= 45  # 30 of them are connections
        finally:
            for peer in peers:
                peer.close()
    assert "connection limit reached (30; see max_connections)" in (tmp_path / "log").read_text()


def test_clients_that_never_read_and_never_end_their_lines_cost_little(tmp_path: Path) -> None:
    """Twenty of each: what they ask for would take a gigabyte, what they send has no end."""
    with (
        loaded(1024, said=tmp_path / "log") as (port, _),
        Client(HOST, port, "t", DEADLINE) as client,
    ):
        before = at_rest(client)
        peers = [connect(port) for _ in range(40)]
        ask = b'{"action":"call","name":"large","args":[],"kwargs":{}}\n'
        try:
            for i, peer in enumerate(peers):
                peer.sendall(b"ARTIQ pc_rpc\nt pyon_v2\n")
                if i % 2:
                    peer.sendall(ask * 12)
                else:
                    peer.settimeout(0.001)
                    with contextlib.suppress(TimeoutError):
                        peer.sendall(b"x" * 4 * MIB)
            growths: list[int] = []

            def come_to_rest() -> bool:
                growths.append(client.state()["resident"] - before["resident"])
                latest = growths[-50:]
                return len(latest) == 50 and max(latest) - min(latest) < MIB < latest[0]

            until(come_to_rest)
            # Each has one reply under way, and no second one is made.
            assert growths[-1] < 20 * 10 * MIB
        finally:
            for peer in peers:
                peer.close()
        assert at_rest(client)["descriptors"] == before["descriptors"]
