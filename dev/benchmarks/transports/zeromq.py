"""ZeroMQ request and reply, with pickle protocol 5: arrays are message parts of their own."""

from __future__ import annotations

import pickle
from typing import Any

import zmq as _zmq

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, PICKLE, Arrays, Driver

__all__ = ["ZeroMQDriver", "serve"]

zmq: Any = _zmq  # it makes its constants while it is imported


def _send(sock: Any, value: object) -> None:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=PICKLE, buffer_callback=buffers.append)
    # Without buffers, copies are the quicker way.
    if buffers:
        sock.send_multipart([head, *buffers], copy=False)
    else:
        sock.send(head)


def _receive(sock: Any) -> Any:
    head = sock.recv()
    buffers = []
    while sock.getsockopt(zmq.RCVMORE):
        buffers.append(sock.recv(copy=False).buffer)
    return pickle.loads(head, buffers=buffers)


def serve() -> None:
    """Serve for ever."""
    arrays = Arrays()
    sock = zmq.Context().socket(zmq.REP)
    announce(sock.bind_to_random_port(f"tcp://{HOST}"))
    while True:
        action, value = _receive(sock)
        if action == "give":
            _send(sock, arrays.of(value))
        else:
            _send(sock, value if action == "echo" else None)


class ZeroMQDriver(Driver):
    """One socket."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._context = zmq.Context()
        self._socket = self._open()

    def _open(self) -> Any:
        sock = self._context.socket(zmq.REQ)
        sock.connect(f"tcp://{HOST}:{self._port}")
        return sock

    def _call(self, action: str, value: object) -> None:
        _send(self._socket, (action, value))
        _receive(self._socket)

    def connect_once(self) -> None:
        with self._open() as sock:
            _send(sock, ("echo", 42))
            _receive(sock)

    def echo_once(self) -> None:
        self._call("echo", 42)

    def up_once(self, array: Any) -> None:
        self._call("take", array)

    def down_once(self, size: int) -> None:
        self._call("give", size)
