"""What systemd is told, by datagrams that a test takes in its place."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipyco_rpc.net.systemd import ServiceManager
from sipyco_rpc.pc_rpc import Client
from support.environment import as_installed
from support.peers import DEADLINE, HOST, until
from support.programs import free_port

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there is no systemd")


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0", 1))
        self.socket.settimeout(DEADLINE)
        self.environment = {"NOTIFY_SOCKET": name}

    def told(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("Linux only has them")
    abstract = request.param == "abstract"
    manager = Systemd(f"@sipyco-test-{os.getpid()}" if abstract else str(tmp_path / "notify"))
    with manager.socket:
        yield manager


def test_it_is_told_of_the_beginning_and_the_end(systemd: Systemd) -> None:
    manager = ServiceManager(systemd.environment)
    manager.ready("serving lda")
    assert systemd.told() == ["READY=1", "STATUS=serving lda"]
    manager.stopping("stopping: SIGTERM")
    assert systemd.told() == ["STOPPING=1", "STATUS=stopping: SIGTERM"]
    manager.close()


def test_signs_of_life_come_from_the_loop(systemd: Systemd) -> None:
    async def main() -> None:
        manager = ServiceManager({**systemd.environment, "WATCHDOG_USEC": "20000"})
        assert manager.watchdog_interval == 0.01
        manager.ready("")
        assert systemd.told()[0] == "READY=1"
        for _ in range(3):
            assert await asyncio.to_thread(systemd.told) == ["WATCHDOG=1"]
        manager.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "18446744073709551615"}, 9223372036854.775),
        ({"WATCHDOG_USEC": "9" * 400}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({"WATCHDOG_USEC": "1"}, 0.01),
    ],
)
def test_signs_of_life_are_for_who_asks(
    environment: dict[str, str], interval: float | None
) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": "/run/systemd/notify", **environment})
    assert manager.watchdog_interval == interval


def test_without_systemd_nothing_is_done() -> None:
    manager = ServiceManager({"WATCHDOG_USEC": "3000000"})
    manager.ready("serving lda")
    manager.stopping("stopping")
    assert manager.watchdog_interval is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [("/nowhere/notify", "No such file"), ("vsock:2:1", "expected a path, or `@` and a name")],
)
def test_what_cannot_be_told_is_a_warning(
    name: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager({"NOTIFY_SOCKET": name}).stopping("so it is")
    (text,) = caplog.messages
    assert text.startswith(f"systemd is not told that 'STOPPING=1': NOTIFY_SOCKET={name}: ")
    assert reason in text


def test_what_cannot_be_told_again_and_again_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "notify"
    manager = ServiceManager({"NOTIFY_SOCKET": str(place)})
    manager.stopping("one")
    manager.stopping("two")
    assert len(caplog.records) == 1
    systemd = Systemd(str(place))
    with systemd.socket:
        manager.stopping("three")
        assert systemd.told() == ["STOPPING=1", "STATUS=three"]
    manager.stopping("four")
    assert len(caplog.records) == 2


PROGRAM = """
import sys, threading
from sipyco_rpc.pc_rpc import simple_server_loop

class Target:
    def block(self):
        threading.Event().wait()

threaded = sys.argv[2] == "threaded"
simple_server_loop({"t": Target()}, "127.0.0.1", int(sys.argv[1]), threaded=threaded)
"""


def service(systemd: Systemd, port: int, how: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port), how],
        env={**as_installed(), **systemd.environment, **environment},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def test_a_service_is_ready_when_it_can_be_called(systemd: Systemd) -> None:
    port = free_port()
    process = service(systemd, port, "plain")
    try:
        assert systemd.told() == [
            "READY=1",
            f"STATUS=serving t on {HOST} port {port} (this computer only, no TLS)",
        ]
        Client(HOST, port, timeout=DEADLINE).close_rpc()
        process.send_signal(signal.SIGTERM)
        assert systemd.told() == ["STOPPING=1", "STATUS=stopping: SIGTERM"]
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


def told(systemd: Systemd) -> bool:
    try:
        systemd.told()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("how", ["plain", "threaded"])
def test_only_a_loop_that_is_stuck_shows_no_life(systemd: Systemd, how: str) -> None:
    port = free_port()
    process = service(systemd, port, how, WATCHDOG_USEC="20000")

    def block() -> None:
        with pytest.raises(EOFError), Client(HOST, port) as client:
            client.block()

    thread = threading.Thread(target=block)
    try:
        assert systemd.told()[0] == "READY=1"
        assert systemd.told() == ["WATCHDOG=1"]
        thread.start()
        if how == "threaded":
            for _ in range(20):
                assert systemd.told() == ["WATCHDOG=1"]
        else:
            systemd.socket.settimeout(1)  # a hundred times as long as a loop would take
            until(lambda: not told(systemd))
    finally:
        process.kill()
        process.wait()
        thread.join(DEADLINE)
