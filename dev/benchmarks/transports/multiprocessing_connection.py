"""`multiprocessing.connection` of the standard library: pickles over a socket."""

from __future__ import annotations

import socket
import threading
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, Arrays, Driver

__all__ = ["ConnectionDriver", "serve"]


def _without_delay(connection: Connection) -> Connection:
    with socket.socket(fileno=connection.fileno()) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.detach()
    return connection


def _answer(connection: Connection) -> None:
    arrays = Arrays()
    with connection:
        while True:
            try:
                action, value = connection.recv()
            except EOFError:
                return
            if action == "give":
                connection.send(arrays.of(value))
            else:
                connection.send(value if action == "echo" else None)


def serve() -> None:
    """Serve for ever."""
    with Listener((HOST, 0), backlog=100) as listener:
        announce(listener.address[1])
        while True:
            connection = _without_delay(listener.accept())
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


class ConnectionDriver(Driver):
    """One connection."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._connection = self._open()

    def _open(self) -> Connection:
        return _without_delay(Client((HOST, self._port)))

    def connect_once(self) -> None:
        with self._open() as connection:
            connection.send(("echo", 42))
            connection.recv()

    def echo_once(self) -> None:
        self._connection.send(("echo", 42))
        self._connection.recv()

    def up_once(self, array: Any) -> None:
        self._connection.send(("take", array))
        self._connection.recv()

    def down_once(self, size: int) -> None:
        self._connection.send(("give", size))
        self._connection.recv()
