"""Help for the tests of drivers: start a driver as a process and call it; certificates for TLS.

It needs the command `openssl` for the certificates, and nothing else. `sipyco_rpc.pytest_plugin`
has the fixture for pytest.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections import deque
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.pc_rpc import AutoTarget, Client
from sipyco_rpc.support.validation import checked_port, checked_timeout

__all__ = ["DriverProcess", "GenericRPCCase", "create_ssl_certs", "create_ssl_config"]

_POLL: Final = 0.05  # seconds between two attempts to connect
_STARTUP: Final = 30.0  # seconds, at least, that a driver may take until it answers
_RELAY_TIMEOUT: Final = (
    1.0  # seconds; a process that the driver has left behind may print for ever
)
_LINES_KEPT: Final = 50  # of its output, for an error message


class DriverProcess(subprocess.Popen[bytes]):
    """A driver as a child process. Its output is shown on standard error, as it comes.

    In the command, `{port}` stands for the port, and `{port_file}` for the path of a file to which
    the driver is to write the port that it has got. If the port is 0 and neither is there,
    `--port 0 --port-file PATH` is added, which are among the common options.

    Args:
        name: for error messages.
        command: the program and its arguments.
        port: TCP port that it listens on, on localhost; 0 for one that is free.

    Attributes:
        port: the port, once `connect` has returned.
        client: likewise.

    Raises:
        OSError: the program cannot be started.
    """

    client: Client

    def __init__(self, name: str, command: Sequence[str], port: int = 0) -> None:
        self._name = name
        self._directory = tempfile.TemporaryDirectory(prefix="driver-")
        self._port_file = Path(self._directory.name) / "port"
        self._output: deque[str] = deque(maxlen=_LINES_KEPT)
        text = " ".join(command)
        if port == 0 and "{port}" in text:
            port = _free_port()
        elif port == 0 and "{port_file}" not in text:
            command = [*command, "--port", "0", "--port-file", "{port_file}"]
        self.port = port
        places = {"{port}": str(port), "{port_file}": str(self._port_file)}
        try:
            super().__init__(
                [_replaced(word, places) for word in command],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},  # or a pipe would hold it back
            )
        except BaseException:
            self._directory.cleanup()
            raise
        self._relay = threading.Thread(
            target=self._show_output, name=f"output of {name}", daemon=True
        )
        self._relay.start()

    def _show_output(self) -> None:
        assert self.stdout is not None
        for line in self.stdout:
            text = line.decode("utf-8", "backslashreplace")
            self._output.append(text)
            if sys.stderr is not None:
                sys.stderr.write(text)

    def connect(
        self,
        target_name: Any = AutoTarget,
        timeout: float | None = None,
        ssl_config: SimpleSSLConfig | None = None,
        *,
        startup: float = _STARTUP,
    ) -> Client:
        """Connect as soon as the driver answers.

        Args:
            target_name: the target to select.
            timeout: of the client, in seconds.
            ssl_config: for TLS.
            startup: how many seconds the driver may take until it answers.

        Raises:
            AssertionError: it ended, or did not answer; its last output is in the text. It is
                killed then, as after any other exception.
        """
        deadline = time.monotonic() + startup
        try:
            while True:
                try:
                    port = self.port or int(self._port_file.read_text().split()[0])
                    client = Client("localhost", port, target_name, timeout, ssl_config)
                    self.port, self.client = port, client
                    return client
                except (OSError, EOFError) as exc:
                    if self.poll() is not None:
                        raise AssertionError(
                            self._failure(f"ended with status {self.returncode}")
                        ) from exc
                    if time.monotonic() > deadline:
                        where = f"localhost port {self.port}" if self.port else "any port"
                        what = f"does not answer on {where}: {exc}"
                        raise AssertionError(self._failure(what)) from exc
                try:
                    self.wait(_POLL)
                except subprocess.TimeoutExpired:
                    pass  # it runs
        except BaseException:
            self.kill()
            self._reap()
            raise

    def _failure(self, what: str) -> str:
        if self.returncode is not None:
            self._relay.join(_RELAY_TIMEOUT)
        output = "".join(self._output).rstrip()
        printed = f"; it printed:\n{output}" if output else ""
        return f"server {self._name!r} {what}{printed}"

    def stop(self, timeout: float | None = 1) -> None:
        """Ask the driver to terminate; terminate it if it does not; kill it if it resists.

        Args:
            timeout: seconds to wait at each step.
        """
        try:
            self.client.terminate()
        except (OSError, EOFError, AttributeError):
            pass  # it has gone already, or has no such method
        finally:
            self.client.close_rpc()
        for escalate in (self.terminate, self.kill):
            try:
                self.wait(timeout)
                break
            except subprocess.TimeoutExpired:
                escalate()
        self._reap()

    def _reap(self) -> None:
        self.wait()
        self._relay.join(_RELAY_TIMEOUT)
        if self.stdout is not None and not self._relay.is_alive():
            self.stdout.close()
        self._directory.cleanup()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _replaced(word: str, places: dict[str, str]) -> str:
    for place, text in places.items():
        word = word.replace(place, text)
    return word


class GenericRPCCase(unittest.TestCase):
    """Base class of tests that start servers and call them.

    Attributes:
        servers: the tuple `(process, port, client)` of each server, by its name. The processes are
            of class `DriverProcess`.
    """

    servers: dict[str, tuple[subprocess.Popen[bytes], int, Client]]

    def setUp(self) -> None:
        """Begin without servers."""
        self.servers = {}

    def tearDown(self) -> None:
        """Stop all servers."""
        for name in list(self.servers):
            self.stop_server(name)

    def start_server(
        self,
        name: str,
        command: str,
        port: int,
        sleep: float = 2,
        target_name: Any = AutoTarget,
        timeout: float | None = 1,
    ) -> Client:
        """Start a program and connect to it, as soon as it answers.

        Args:
            name: to refer to the server by, and to stop it.
            command: the program and its arguments, as for a shell. It may have `{port}` and
                `{port_file}` in it: see `DriverProcess`.
            port: TCP port that it listens on, on localhost; 0 for one that is free.
            sleep: seconds that it usually takes to start; it may take longer.
            target_name: the target to select.
            timeout: of the client, in seconds.

        Raises:
            AssertionError: a server of that name runs; or the program ended or did not answer:
                its last output is in the text.
        """
        port = checked_port(port, listening=True)
        timeout = checked_timeout(timeout)
        if name in self.servers:
            raise AssertionError(f"server {name!r} runs already")
        process = DriverProcess(name, shlex.split(command), port)
        client = process.connect(target_name, timeout, startup=max(sleep, _STARTUP))
        self.servers[name] = (process, process.port, client)
        return client

    def stop_server(self, name: str, timeout: float | None = 1) -> None:
        """Ask a server to terminate; terminate it if it does not; kill it if it resists.

        Args:
            name: as given to `start_server`.
            timeout: seconds to wait at each step.
        """
        process, _, _ = self.servers.pop(name)
        assert isinstance(process, DriverProcess)
        process.stop(timeout)


def create_ssl_certs(directory: str | PathLike[str]) -> dict[str, str]:
    """Make a pair of certificates, for a server and a client on this host.

    Returns:
        Their paths: `server_key`, `server_cert`, `client_key`, `client_cert`.

    Raises:
        OSError: the command `openssl` cannot be run.
        subprocess.CalledProcessError: it failed.
    """
    paths = {}
    for role in ("server", "client"):
        key = str(Path(directory) / f"{role}.key")
        certificate = str(Path(directory) / f"{role}.pem")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec"),
                *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"),
                *("-keyout", key, "-out", certificate, "-subj", "/"),
                *("-addext", "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"),
            ],
            check=True,
            capture_output=True,
        )
        paths[f"{role}_key"] = key
        paths[f"{role}_cert"] = certificate
    return paths


def create_ssl_config(role: str, certs: dict[str, str]) -> SimpleSSLConfig:
    """Give the TLS configuration of one side.

    Args:
        role: `"server"` or `"client"`.
        certs: from `create_ssl_certs`.
    """
    peers = {"server": "client", "client": "server"}
    if role not in peers:
        raise ValueError(f"a role is 'server' or 'client', got {role!r}")
    return SimpleSSLConfig(
        certs[f"{role}_cert"], certs[f"{role}_key"], certs[f"{peers[role]}_cert"]
    )
