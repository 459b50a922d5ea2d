"""Publishers and broadcasters for tests, and peers that read what and when the test says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from support.peers import DEADLINE, HOST

BANNER = b"ARTIQ sync_struct\n"


def port_of(server: Any) -> int:
    port: int = server.server.sockets[0].getsockname()[1]
    return port


@asynccontextmanager
async def serving(server: Any, **start: Any) -> AsyncIterator[int]:
    """Run a server in this loop; give its port."""
    async with server:
        await server.start(HOST, 0, **start)
        yield port_of(server)


async def is_asked(reader: asyncio.StreamReader, *lines: bytes) -> bool:
    """Read what a client begins with; false if it left before, as a client may at any time."""
    for expected in lines:
        try:
            line = await reader.readline()
        except ConnectionError:
            return False
        if not line.endswith(b"\n"):
            return False
        assert line == expected
    return True


@asynccontextmanager
async def feed_of(said: bytes, stay: bool = False) -> AsyncIterator[int]:
    """Serve what a hostile publisher or broadcaster says, whatever it is asked for.

    Args:
        said: to each client; then the connection is closed.
        stay: wait first until the client closes it.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        await reader.readline()
        writer.write(said)
        with suppress(ConnectionError):
            await writer.drain()
            if stay:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def comes_true(condition: Callable[[], Any]) -> None:
    """Wait until something holds that no event tells of; fail after the deadline."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.002)


class RawPeer:
    """The other end of a feed, as bytes; it reads only when it is told to."""

    def __init__(self, port: int, greeting: bytes, receive_buffer: int = 4096) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((HOST, port))
        self.socket.setblocking(False)
        self.socket.send(greeting)
        self._buffer = b""

    async def line(self) -> bytes:
        """Wait for a line, without its newline; fail at the end of the stream."""
        async with asyncio.timeout(DEADLINE):
            while b"\n" not in self._buffer:
                data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20)
                if not data:
                    raise EOFError(self._buffer)
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    async def ends(self) -> bytes:
        """Wait for the end of the stream; return what came before it."""
        async with asyncio.timeout(DEADLINE):
            while data := await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20):
                self._buffer += data
        return self._buffer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()
