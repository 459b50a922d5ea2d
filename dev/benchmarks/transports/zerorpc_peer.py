"""zerorpc: MessagePack over ZeroMQ. Arrays travel as the bytes that it can carry."""

from __future__ import annotations

from typing import Any

import numpy as np
import zerorpc

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, Arrays, Driver

__all__ = ["ZerorpcDriver", "serve"]

_TIMEOUT = 60  # seconds; the default of 30 is for a network


class _Target:
    def __init__(self) -> None:
        self._arrays = Arrays()

    def echo(self, value: object) -> object:
        return value

    def take(self, data: Any) -> None:
        np.frombuffer(data)

    def give(self, size: int) -> bytes:
        data: bytes = self._arrays.of(size).tobytes()
        return data


def serve() -> None:
    """Serve for ever."""
    # Heartbeats would be missed, and the call given up, while a large array is packed.
    server: Any = zerorpc.Server(_Target(), heartbeat=None)
    server.bind(f"tcp://{HOST}:0")
    endpoint = server._events._socket.last_endpoint
    announce(int(endpoint.decode().rpartition(":")[2]))
    server.run()


class ZerorpcDriver(Driver):
    """One client."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._client = self._open()

    def _open(self) -> Any:
        return zerorpc.Client(f"tcp://{HOST}:{self._port}", timeout=_TIMEOUT, heartbeat=None)

    def connect_once(self) -> None:
        client = self._open()
        try:
            client.echo(42)
        finally:
            client.close()

    def echo_once(self) -> None:
        self._client.echo(42)

    def up_once(self, array: Any) -> None:
        self._client.take(array.tobytes())

    def down_once(self, size: int) -> None:
        np.frombuffer(self._client.give(size))
