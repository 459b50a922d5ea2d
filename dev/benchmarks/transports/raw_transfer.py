"""The bytes of an array through blocking sockets, into memory that is there already.

This is the limit of arrays, and a strict one: nothing is allocated, and no length is sent back.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any, Final

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, Driver, array_of

__all__ = ["TransferDriver", "serve"]

_REQUEST: Final = struct.Struct("!cQ")  # the direction, and how many bytes
_ACKNOWLEDGEMENT: Final = b"received"


class _Memory:
    """One buffer of the size that was used last."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray())

    def of(self, size: int) -> memoryview:
        if len(self._view) != size:
            # Random, as what is sent elsewhere; and touched, so that no page is missing later.
            self._view = memoryview(bytearray(memoryview(array_of(size)).cast("B")))
        return self._view


def _receive(sock: socket.socket, view: memoryview) -> None:
    received = 0
    while received < len(view):
        count = sock.recv_into(view[received:])
        if not count:
            raise EOFError("the connection has gone")
        received += count


def _answer(sock: socket.socket) -> None:
    memory, request = _Memory(), memoryview(bytearray(_REQUEST.size))
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            _receive(sock, request)
            direction, size = _REQUEST.unpack(request)
            view = memory.of(size)
            if direction == b"u":
                _receive(sock, view)
                sock.sendall(_ACKNOWLEDGEMENT)
            else:
                sock.sendall(view)


def serve() -> None:
    """Serve for ever."""
    with socket.create_server((HOST, 0)) as server:
        announce(server.getsockname()[1])
        while True:
            sock, _ = server.accept()
            threading.Thread(target=_answer, args=(sock,), daemon=True).start()


class TransferDriver(Driver):
    """A blocking socket."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._memory = _Memory()
        self._acknowledgement = memoryview(bytearray(len(_ACKNOWLEDGEMENT)))
        self._socket = socket.create_connection((HOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def up_once(self, array: Any) -> None:
        view = memoryview(array).cast("B")
        request = _REQUEST.pack(b"u", len(view))
        sent = self._socket.sendmsg([request, view])  # one system call, if it all fits
        self._socket.sendall(view[sent - len(request) :])
        _receive(self._socket, self._acknowledgement)

    def down_once(self, size: int) -> None:
        self._socket.sendall(_REQUEST.pack(b"d", size))
        _receive(self._socket, self._memory.of(size))
