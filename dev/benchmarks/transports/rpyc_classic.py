"""rpyc in its classic mode: remote objects, and arrays by `deliver` and `obtain`, which pickle.

What would be slow on loopback by default is turned off here: it compresses what is large, and it
leaves the delays of TCP on.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import rpyc
from rpyc.core.channel import Channel
from rpyc.core.stream import SocketStream
from rpyc.utils import classic
from rpyc.utils.server import ThreadedServer

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, Arrays, Driver

__all__ = ["RpycDriver", "serve"]

_arrays = Arrays()
Channel.COMPRESSION_THRESHOLD = sys.maxsize


def echo(value: object) -> object:
    """Return the value."""
    return value


def give(size: int) -> Any:
    """Return the array of `size` bytes."""
    return _arrays.of(size)


def serve() -> None:
    """Serve for ever."""
    server: Any = ThreadedServer(rpyc.SlaveService, hostname=HOST, port=0)
    server.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # it is inherited
    announce(server.port)
    server.start()


class RpycDriver(Driver):
    """One connection, which looks its functions up once."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._connection = self._open()
        here = self._connection.modules[__name__]
        self._echo, self._give = here.echo, here.give

    def _open(self) -> Any:
        return classic.connect_stream(SocketStream.connect(HOST, self._port, nodelay=True))

    def connect_once(self) -> None:
        connection = self._open()
        try:
            connection.modules[__name__].echo(42)
        finally:
            connection.close()

    def echo_once(self) -> None:
        self._echo(42)

    def up_once(self, array: Any) -> None:
        classic.deliver(self._connection, array)

    def down_once(self, size: int) -> None:
        classic.obtain(self._give(size))
