"""The bytes of a small call through an `asyncio.Protocol` that sends them back: no codec.

This is the limit of small calls: a server in asyncio cannot do less for a request.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import cast

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, MESSAGE, Driver

__all__ = ["EchoDriver", "serve"]


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # asyncio sets TCP_NODELAY

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Echo, HOST, 0)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def serve() -> None:
    """Serve for ever."""
    asyncio.run(_serve())


class _Caller(asyncio.Protocol):
    """Sends the message again whenever it has come back."""

    def __init__(self) -> None:
        self._left = 0
        self._received = 0
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def repeat(self, count: int) -> asyncio.Future[None]:
        self._left = count
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(MESSAGE)
        return self._done

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received < len(MESSAGE):
            return
        self._received = 0
        self._left -= 1
        if self._left:
            self._transport.write(MESSAGE)
        elif self._done is not None:
            self._done.set_result(None)


class EchoDriver(Driver):
    """A blocking socket, or many connections in asyncio."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._socket = self._open()
        self._runner = asyncio.Runner()
        self._callers: list[_Caller] = []

    def _open(self) -> socket.socket:
        sock = socket.create_connection((HOST, self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def connect_once(self) -> None:
        with self._open() as sock:
            sock.sendall(MESSAGE)
            self._receive(sock)

    def echo_once(self) -> None:
        self._socket.sendall(MESSAGE)
        self._receive(self._socket)

    @staticmethod
    def _receive(sock: socket.socket) -> None:
        left = len(MESSAGE)
        while left:
            data = sock.recv(65536)
            if not data:
                raise EOFError("the echo has gone")
            left -= len(data)

    def echo_clients(self, clients: int, count: int) -> float:
        """Return the seconds for each of `count` echoes over `clients` connections."""
        each = max(1, count // clients)

        async def together() -> float:
            loop = asyncio.get_running_loop()
            while len(self._callers) < clients:
                _, caller = await loop.create_connection(_Caller, HOST, self._port)
                self._callers.append(caller)
            begin = time.perf_counter()
            await asyncio.gather(*(caller.repeat(each) for caller in self._callers[:clients]))
            return (time.perf_counter() - begin) / (each * clients)

        return self._runner.run(together())
