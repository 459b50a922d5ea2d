"""Pyro5, with its fastest serializer: `marshal`. Arrays travel as the bytes that it can carry."""

from __future__ import annotations

from typing import Any

import numpy as np
import Pyro5.api

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, Arrays, Driver

__all__ = ["PyroDriver", "serve"]

_pyro: Any = Pyro5.api
_SERIALIZER = "marshal"


class Target:
    """What is called; Pyro exposes no private class."""

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
    daemon = _pyro.Daemon(HOST, 0)
    daemon.register(_pyro.expose(Target)(), "target")
    announce(int(daemon.locationStr.rpartition(":")[2]))
    daemon.requestLoop()


class PyroDriver(Driver):
    """One proxy."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        _pyro.config.SERIALIZER = _SERIALIZER
        self._proxy = self._open()

    def _open(self) -> Any:
        return _pyro.Proxy(f"PYRO:target@{HOST}:{self._port}")

    def connect_once(self) -> None:
        with self._open() as proxy:
            proxy.echo(42)

    def echo_once(self) -> None:
        self._proxy.echo(42)

    def up_once(self, array: Any) -> None:
        self._proxy.take(array.tobytes())

    def down_once(self, size: int) -> None:
        np.frombuffer(self._proxy.give(size))
