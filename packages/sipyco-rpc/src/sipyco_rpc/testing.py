"""Help for the tests of drivers: start a driver as a process and call it; certificates for TLS.

It needs the command `openssl` for the certificates, and nothing else.
"""

from __future__ import annotations

import shlex
import subprocess
import time
import unittest
from os import PathLike
from pathlib import Path
from typing import Any, Final

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.pc_rpc import AutoTarget, Client
from sipyco_rpc.support.validation import checked_port, checked_timeout

__all__ = ["GenericRPCCase", "create_ssl_certs", "create_ssl_config"]

_POLL: Final = 0.05  # seconds between two attempts to connect
_STARTUP: Final = 30.0  # seconds, at least, that a driver may take until it answers


class GenericRPCCase(unittest.TestCase):
    """Base class of tests that start servers and call them.

    Attributes:
        servers: the tuple `(process, port, client)` of each server, by its name.
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
            command: the program and its arguments, as for a shell.
            port: TCP port that it listens on, on localhost.
            sleep: seconds that it usually takes to start; it may take longer.
            target_name: the target to select.
            timeout: of the client.

        Raises:
            AssertionError: a server of that name runs; or the program ended or did not answer.
        """
        port = checked_port(port)
        timeout = checked_timeout(timeout)
        if name in self.servers:
            raise AssertionError(f"server {name!r} runs already")
        process = subprocess.Popen(shlex.split(command))
        deadline = time.monotonic() + max(sleep, _STARTUP)
        try:
            while True:
                try:
                    client = Client("localhost", port, target_name, timeout)
                    self.servers[name] = (process, port, client)
                    return client
                except (OSError, EOFError) as exc:
                    if process.poll() is not None:
                        raise AssertionError(
                            f"server {name!r} ended with status {process.returncode}"
                        ) from exc
                    if time.monotonic() > deadline:
                        raise AssertionError(
                            f"server {name!r} does not answer on localhost port {port}: {exc}"
                        ) from exc
                try:
                    process.wait(_POLL)
                except subprocess.TimeoutExpired:
                    pass  # it runs
        except BaseException:
            process.kill()
            process.wait()
            raise

    def stop_server(self, name: str, timeout: float | None = 1) -> None:
        """Ask a server to terminate; terminate it if it does not; kill it if it resists.

        Args:
            name: as given to `start_server`.
            timeout: seconds to wait at each step.
        """
        process, _, client = self.servers.pop(name)
        try:
            client.terminate()
        except (OSError, EOFError, AttributeError):
            pass  # it has gone already, or has no such method
        finally:
            client.close_rpc()
        for escalate in (process.terminate, process.kill):
            try:
                process.wait(timeout)
                return
            except subprocess.TimeoutExpired:
                escalate()
        process.wait()


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
