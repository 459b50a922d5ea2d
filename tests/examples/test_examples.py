"""The examples are complete programs, and they run."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sipyco.pc_rpc import Client, SimpleSSLConfig
from support.certificates import identity
from support.peers import DEADLINE, HOST, until

EXAMPLES = Path(__file__).parents[2] / "examples"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as sock:
        return int(sock.getsockname()[1])


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
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "demo.py")], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert "call -t lda get_attenuation\n5.0\n" in done.stdout
    assert "'np.array([1.0, 2.0], dtype=float)'\n2\n" in done.stdout
    assert done.stdout.endswith("the service has ended\n")


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


def test_the_driver_speaks_to_an_instrument() -> None:
    port = free_port()
    with socket.create_server((HOST, 0)) as instrument:
        written: list[bytes] = []

        def play() -> None:
            sock, _ = instrument.accept()
            with sock, sock.makefile("rwb", buffering=0) as file:
                for line in file:
                    written.append(line)
                    if line == b"ATT?\n":
                        file.write(b"5.25\n")

        thread = threading.Thread(target=play)
        thread.start()
        process = start(port, "--device", f"{HOST}:{instrument.getsockname()[1]}")
        try:
            with connect(port) as lda:
                lda.set_attenuation(5.2)
                assert lda.get_attenuation() == 5.25
                lda.terminate()
            process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
            process.communicate()
        thread.join(DEADLINE)
    assert written == [b"ATT 5.25\n", b"ATT?\n"]


def test_the_driver_says_what_is_missing() -> None:
    process = start(free_port())
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert b"one of the arguments --simulation -d/--device is required" in errors
    process = start(free_port(), "--device", f"{HOST}:1")
    _, errors = process.communicate(timeout=DEADLINE)
    assert b"cannot reach the instrument at 127.0.0.1:1" in errors
