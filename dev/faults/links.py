"""What the proxy does to the bytes of one connection. What is wrong with it is said elsewhere."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_CHUNK = 1 << 16  # bytes to read at a time
_SLICE = 0.02  # seconds: what a limited rate lets pass at once, so that it flows evenly
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what closes so is reset, not ended


class Faults:
    """What is wrong with one direction."""

    def __init__(self) -> None:
        self.changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.clear()

    def clear(self) -> None:
        self.delay = 0.0
        self.rate = 0.0  # 0 for no limit
        self.size = 0  # of a write; 0 for whatever there is
        self.stalled = False
        self.passes: int | None = None  # bytes of a new connection, if it is truncated
        self.masks: dict[int, int] = {}  # by the offsets of the bytes that are corrupted
        self.flip = 0  # mask of the next byte
        self.set()

    def set(self, **what: Any) -> None:
        self.__dict__.update(what)
        changed, self.changed = self.changed, asyncio.get_running_loop().create_future()
        changed.set_result(None)


class Link:
    """One connection of a client, and that to the server."""

    task: asyncio.Task[None]

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        target: tuple[str, int],
        faults: dict[str, Faults],
    ) -> None:
        self.reset = False
        self._ends = (client, server)
        self._target = target
        for end in self._ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = Pipe("up", client, server, faults["up"], self)
        down = Pipe("down", server, client, faults["down"], self)
        self.pipes = (up, down)

    async def run(self) -> None:
        try:
            await asyncio.get_running_loop().sock_connect(self._ends[1], self._target)
            async with asyncio.TaskGroup() as group:
                for pipe in self.pipes:
                    group.create_task(pipe.run())
        except* OSError:
            self.reset = True  # what one side has suffered, the other shall

    def close(self) -> None:
        """Close both ends, once the task has ended; it may have ended before it began."""
        for end in self._ends:
            if self.reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()

    def end(self) -> None:
        """End both directions."""
        for pipe in self.pipes:
            pipe.end()


class Pipe:
    """One direction of a link."""

    def __init__(
        self,
        name: str,
        source: socket.socket,
        sink: socket.socket,
        faults: Faults,
        link: Link,
    ) -> None:
        self.name = name
        self.passes = faults.passes
        self._source = source
        self._sink = sink
        self._faults = faults
        self._link = link
        self._offset = 0  # bytes that have passed
        self._ended = False  # for the receiver; what comes is dropped

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            with suppress(OSError):  # it may have been reset
                self._sink.shutdown(socket.SHUT_WR)

    def end_if_spent(self) -> None:
        if self.passes == 0:
            self._link.end()

    def waiting(self) -> int:
        """Tell how many bytes have come that were not read yet."""
        with suppress(OSError):  # none is there, or no connection
            return len(self._source.recv(_CHUNK, socket.MSG_PEEK))
        return 0

    async def run(self) -> None:
        self.end_if_spent()
        loop = asyncio.get_running_loop()
        faults = self._faults
        while data := await self._read():
            await self._hold(faults.delay, lambda: faults.delay > 0)
            while data and not self._ended:
                piece = self._next_piece(data)
                if faults.stalled:
                    await asyncio.wait({faults.changed})
                    continue
                try:
                    sent = self._sink.send(piece)
                except BlockingIOError:
                    await _ready(self._sink, loop.add_writer, loop.remove_writer)
                    continue
                self._count(sent)
                data = data[sent:]
                if faults.rate:
                    await self._hold(sent / faults.rate, lambda: faults.rate > 0)
                await asyncio.sleep(0)
        self.end()

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            await _ready(self._source, loop.add_reader, loop.remove_reader)
            if self._faults.stalled:
                await asyncio.wait({self._faults.changed})
                continue
            with suppress(BlockingIOError):
                return self._source.recv(_CHUNK)

    def _next_piece(self, data: bytes) -> bytes:
        faults = self._faults
        limits = [faults.size or len(data), len(data) if self.passes is None else self.passes]
        if faults.rate:
            limits.append(max(1, int(faults.rate * _SLICE)))
        piece = bytearray(data[: min(limits)])
        piece[0] ^= faults.flip
        for at, mask in faults.masks.items():
            if 0 <= at - self._offset < len(piece):
                piece[at - self._offset] ^= mask
        return bytes(piece)

    def _count(self, sent: int) -> None:
        self._offset += sent
        self._faults.flip = 0
        if self.passes is not None:
            self.passes -= sent
            self.end_if_spent()

    async def _hold(self, seconds: float, still: Callable[[], bool]) -> None:
        """Wait for so long, or until that fault is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while still() and (left := until - loop.time()) > 0:
            await asyncio.wait({self._faults.changed}, timeout=left)


async def _ready(
    sock: socket.socket, add: Callable[..., object], remove: Callable[..., object]
) -> None:
    """Wait until a socket can be read from, or written to."""
    ready = asyncio.Event()
    fd = sock.fileno()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)
