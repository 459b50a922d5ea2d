"""The examples are complete programs, and they run."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading

import pytest

from sipyco.pc_rpc import Client, SimpleSSLConfig
from support.certificates import identity
from support.peers import DEADLINE, HOST, until
from support.programs import EXAMPLES, free_port

pytestmark = pytest.mark.one_python


@pytest.fixture
def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def start(port: int, *options: str) -> subprocess.Popen[bytes]:
    own = ["--no-localhost-bind", "--bind", HOST, "--port", str(port)]
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / "lda.py"), *own, *options], stderr=subprocess.PIPE
    )


def connect(port: int, **options: SimpleSSLConfig) -> Client:
    clients: list[Client] = []

    def answers() -> bool:
        try:
            clients.append(Client(HOST, port, timeout=DEADLINE, **options))
        except OSError:
            return False
        return True

    until(answers)
    return clients[0]


def test_the_demonstration_runs() -> None:
    # The only test with the port of the README: another one at the same time might take it.
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "demo.py")], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert "call -t lda get_attenuation\n5.0\n" in done.stdout
    assert "'np.array([1.0, 2.0], dtype=float)'\n2\n" in done.stdout
    assert done.stdout.endswith("the service has ended\n")


def test_the_demonstration_takes_another_port_of_the_same_host(has_ipv6: bool) -> None:
    host, family = ("::1", socket.AF_INET6) if has_ipv6 else ("127.0.0.1", socket.AF_INET)
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "demo.py"), str(port)],
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0].split()
    assert first[first.index("--bind") + 1] == host
    assert first[first.index("--port") + 1] != str(port)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends programs without a signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demonstration_that_is_stopped_leaves_no_service(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "demo.py"), "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline().split()
        host, port = (first[first.index(name) + 1] for name in ("--bind", "--port"))
        assert "list-targets" in process.stdout.readline()  # the service answers by now
        process.send_signal(number)
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 128 + number
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), DEADLINE)
    finally:
        process.kill()
        process.communicate()


def test_the_driver_over_tls() -> None:
    server, client = identity("server"), identity("client")
    port = free_port()
    process = start(port, "--simulation", "--ssl", server.cert, server.key, client.cert)
    try:
        config = SimpleSSLConfig(client.cert, client.key, server.cert)
        with connect(port, ssl_config=config) as lda:
            lda.set_attenuation(3.3)
            assert lda.get_attenuation() == 3.25
            with pytest.raises(ValueError, match=r"from 0 to 63\.0 dB, got 64"):
                lda.load_sample_values([1, 64])
            assert lda.get_attenuation() == 3.25
            lda.terminate()
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


class Instrument:
    """An attenuator that gives these answers, then hangs up, to each that connects in turn."""

    def __init__(self, *conversations: list[bytes]) -> None:
        self.received: list[list[bytes]] = []
        self._conversations = conversations
        self._listening = socket.create_server((HOST, 0))
        self._listening.settimeout(DEADLINE)
        self.address = f"{HOST}:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self) -> None:
        with self._listening:
            for answers in self._conversations:
                lines: list[bytes] = []
                self.received.append(lines)
                sock, _ = self._listening.accept()
                sock.settimeout(DEADLINE)
                with sock, sock.makefile("rwb", buffering=0) as file:
                    for answer in answers:
                        lines.append(file.readline())
                        file.write(answer)

    def join(self) -> list[list[bytes]]:
        """Return the lines of each conversation when all are over."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        return self.received


def test_the_driver_speaks_to_an_instrument() -> None:
    port = free_port()
    instrument = Instrument([b"1\n", b"5.25\n", b"hot\n"], [b"1\n"])
    process = start(port, "--device", instrument.address)
    try:
        with connect(port) as lda:
            lda.set_attenuation(5.2)
            assert lda.get_attenuation() == 5.25
            with pytest.raises(ValueError, match=r"expected an attenuation .* got 'hot'"):
                lda.get_attenuation()
            # The instrument hung up: the caller is told, and the next call connects anew.
            with pytest.raises((EOFError, ConnectionError)):
                lda.set_attenuation(6)
            assert lda.load_sample_values([7]) == 1
            lda.terminate()
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
    assert instrument.join() == [
        [b"ATT 5.25;*OPC?\n", b"ATT?\n", b"ATT?\n"],
        [b"ATT 7.00;*OPC?\n"],
    ]


def test_the_driver_says_what_is_missing() -> None:
    process = start(free_port())
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert b"one of the arguments --simulation -d/--device is required" in errors
    process = start(free_port(), "--device", f"{HOST}:1")
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert b"cannot reach the instrument at 127.0.0.1:1" in errors
    process = start(free_port(), "--device", "/dev/ttyUSB0")
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert b"expected HOST:PORT, got `/dev/ttyUSB0`" in errors
