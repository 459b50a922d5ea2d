"""Publishers and their readers as children: ours, a raw fan-out of the same bytes, and sockets.

The readers are the same for both, so that the publisher's CPU time is all that differs.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any, cast

from dev.benchmarks.transports.driver import HOST, array_of
from sipyco_pyon import pyon
from sipyco_sync.sync_struct import ModAction, Notifier, Publisher

__all__ = ["OurPublisher", "RawPublisher", "Readers"]

_KEY = "temperature"
_NAME = "datasets"


def value_of(kind: str) -> Any:
    """Return what is published: a small value, or an array of 80 kB."""
    return array_of(80_000) if kind == "array" else 21.5


class _Publishing:
    """A loop in a thread, which is told by the parent what to publish.

    Args:
        kind: `"small"` or `"array"`.
        readers: how many will come; a publisher of its own for each number keeps them apart.

    Attributes:
        bound: the port.
    """

    bound: int

    def __init__(self, kind: str, readers: int) -> None:
        del readers
        self._value = value_of(kind)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._cpu = 0.0
        self._wait(self._start())

    def _wait(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _start(self) -> None:
        raise NotImplementedError

    async def _change(self, mods: int, burst: int) -> None:
        """Publish mods, so many in each pass of the loop."""
        raise NotImplementedError

    def port(self) -> int:
        """Return where readers connect to."""
        return self.bound

    def begin(self, mods: int, burst: int) -> None:
        """Publish mods; they may still be on their way when this returns."""
        self._cpu = time.process_time()
        self._wait(self._change(mods, burst))

    def used(self) -> float:
        """Return the CPU seconds since `begin`."""
        return time.process_time() - self._cpu


class OurPublisher(_Publishing):
    """A `Publisher` with one `Notifier`."""

    async def _start(self) -> None:
        self._notifier = Notifier({_KEY: None})
        self._publisher = Publisher({_NAME: self._notifier})
        await self._publisher.start(HOST, 0)
        assert self._publisher.server is not None
        self.bound = self._publisher.server.sockets[0].getsockname()[1]

    async def _change(self, mods: int, burst: int) -> None:
        notifier, value = self._notifier, self._value
        for number in range(mods):
            notifier[_KEY] = value
            if number % burst == burst - 1:
                await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """A raw reader's connection; it gets one line when it has said what it wants."""

    def __init__(self, transports: set[asyncio.Transport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._transport not in self._transports:
            self._transports.add(self._transport)
            self._transport.write(b"\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transports.discard(self._transport)


class RawPublisher(_Publishing):
    """`write` of the line that a mod has, to each transport: one for all lines of a pass."""

    async def _start(self) -> None:
        self._transports: set[asyncio.Transport] = set()
        mod = {
            "action": ModAction.setitem.value,
            "path": [],
            "key": _KEY,
            "value": self._value,
        }
        self._line = pyon.encode(mod).encode() + b"\n"
        server = await self._loop.create_server(lambda: _Connection(self._transports), HOST, 0)
        self.bound = server.sockets[0].getsockname()[1]
        self._server = server

    async def _change(self, mods: int, burst: int) -> None:
        data = self._line * burst
        for _ in range(mods // burst):
            for transport in self._transports:
                transport.write(data)
            await asyncio.sleep(0)


class Readers:
    """Sockets that read lines and count them.

    Args:
        port: of the publisher.
        number: how many there are.
    """

    def __init__(self, port: int, number: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._counts: dict[socket.socket, int] = {}
        self._buffer = bytearray(256 * 1024)
        for _ in range(number):
            sock = socket.create_connection((HOST, port))
            self._counts[sock] = 0
            sock.sendall(f"ARTIQ sync_struct\n{_NAME}\n".encode())
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)
        self.take(1)  # the structure as it is

    def take(self, lines: int) -> None:
        """Read until every socket has got so many lines more."""
        left = len(self._counts)
        view = memoryview(self._buffer)
        while left:
            ready = self._selector.select(60)
            if not ready:
                raise TimeoutError("lines are missing")
            for key, _ in ready:
                sock = cast(socket.socket, key.fileobj)
                count = sock.recv_into(view)
                if not count:
                    raise EOFError("the publisher has closed a connection")
                before = self._counts[sock]
                self._counts[sock] += self._buffer.count(b"\n", 0, count)
                left -= before < lines <= self._counts[sock]
        for sock in self._counts:
            self._counts[sock] -= lines
