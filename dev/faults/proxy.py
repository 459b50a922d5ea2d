"""A bad network between two programs of a test, as bad as the test says. It knows no protocol."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Self

from dev.faults import DEADLINE, HOST
from dev.faults.links import Faults, Link, Pipe

Direction = Literal["up", "down", "both"]


class FaultProxy:
    """A TCP proxy on loopback, between clients and a server, that does harm when it is told to.

    A context manager, with a thread and a loop of its own. Its methods may be called from any
    thread, and return once the fault is in force: after `stall()` not one byte more passes. A
    direction is `"up"` (from client to server), `"down"`, or both.

    Faults that last (`delay`, `rate`, `split`, `stall`, `truncate`, `corrupt`, `cut`) hold for
    connections that exist and for new ones, until `clear`. Those that strike (`flip`,
    `half_close`, `reset`) do so once.

    What one side ends or resets is ended or reset for the other. If the server refuses, the
    client's connection is reset.

    Args:
        port: of the server.
        host: of the server.
        buffer_size: of the proxy's sockets, in bytes, so that a stall is felt soon; None for what
            the system gives, which may be megabytes.

    Attributes:
        port: where clients connect to, once the proxy is entered.
        connections: how many were accepted in all.
    """

    def __init__(self, port: int, host: str = HOST, *, buffer_size: int | None = None) -> None:
        self.connections = 0
        self.port = 0
        self._target = (host, port)
        self._buffer_size = buffer_size
        self._links: set[Link] = set()
        self._faults: dict[str, Faults] = {}

    def __enter__(self) -> Self:
        self._listening = self._bound((HOST, 0))
        self.port = self._listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._loop.set_debug(False)  # it is not what tests are about, and takes long
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._thread.start()
        self._do(self._open)
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._do(self._close)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(DEADLINE)
            assert not self._thread.is_alive()
            self._loop.close()

    # What a test does.

    def retarget(self, port: int) -> None:
        """Lead new connections to another port: the server came back elsewhere."""
        self._do(lambda: setattr(self, "_target", (self._target[0], port)))

    def delay(self, seconds: float, direction: Direction = "both") -> None:
        """Hold what is read at a time back for so long; meanwhile no more is read."""
        self._set(direction, delay=seconds)

    def rate(self, bytes_per_second: float, direction: Direction = "both") -> None:
        """Let no more pass than that."""
        self._set(direction, rate=bytes_per_second)

    def split(self, size: int = 1, direction: Direction = "both") -> None:
        """Write so many bytes at a time, each time as a segment of its own."""
        self._set(direction, size=size)

    def stall(self, direction: Direction = "both") -> None:
        """Let nothing pass, and read no more, so that the sender has to wait."""
        self._set(direction, stalled=True)

    def resume(self, direction: Direction = "both") -> None:
        """End a stall."""
        self._set(direction, stalled=False)

    def waiting(self, direction: Direction) -> int:
        """Tell how many bytes have come that are not passed on yet, as in a stall."""
        sizes: list[int] = []
        self._do(lambda: sizes.extend(pipe.waiting() for pipe in self._pipes(direction)))
        return sum(sizes)

    def truncate(self, after: int, direction: Direction) -> None:
        """Let so many more bytes of each connection pass; then end it properly, both ways."""

        def strike() -> None:
            for faults in self._chosen(direction):
                faults.set(passes=after)
            for pipe in self._pipes(direction):
                pipe.passes = after
                pipe.end_if_spent()

        self._do(strike)

    def corrupt(self, at: int, direction: Direction, mask: int = 0x01) -> None:
        """Change the byte at that offset of each stream that has not come so far yet."""

        def strike() -> None:
            for faults in self._chosen(direction):
                faults.masks[at] = mask

        self._do(strike)

    def flip(self, direction: Direction, mask: int = 0x01) -> None:
        """Change the next byte that passes, on whichever connection."""
        self._set(direction, flip=mask)

    def half_close(self, direction: Direction) -> None:
        """End one direction of all connections for its receiver; drop what is still sent."""

        def strike() -> None:
            for pipe in self._pipes(direction):
                pipe.end()

        self._do(strike)

    def reset(self) -> None:
        """Reset all connections, for both sides."""
        self._do(self._reset)

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._do(self._cut)

    def mend(self) -> None:
        """Accept connections again after `cut`, on the same port."""
        self._do(self._listen)

    def clear(self) -> None:
        """End all faults. What was truncated, reset or corrupted stays so."""

        def strike() -> None:
            for name in "up", "down":
                self._faults[name].clear()
            for pipe in self._pipes("both"):
                pipe.passes = None
            self._listen()

        self._do(strike)

    # In the loop.

    def _do(self, function: Callable[[], Any]) -> None:
        async def call() -> None:
            result = function()
            if isinstance(result, Awaitable):
                await result

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(DEADLINE)

    def _set(self, direction: Direction, **what: Any) -> None:
        def strike() -> None:
            for faults in self._chosen(direction):
                faults.set(**what)

        self._do(strike)

    def _chosen(self, direction: Direction) -> Iterable[Faults]:
        names = ("up", "down") if direction == "both" else (direction,)
        return [self._faults[name] for name in names]

    def _pipes(self, direction: Direction) -> Iterable[Pipe]:
        pipes = [pipe for link in self._links for pipe in link.pipes]
        return [pipe for pipe in pipes if direction in ("both", pipe.name)]

    def _bound(self, address: tuple[str, int]) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._size_buffers(sock)
        sock.bind(address)
        sock.setblocking(False)
        return sock

    def _size_buffers(self, sock: socket.socket) -> None:
        """Set the sizes of buffers, before the window is agreed upon."""
        if self._buffer_size is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer_size)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._buffer_size)

    def _open(self) -> None:
        self._faults = {"up": Faults(), "down": Faults()}
        self._listen()

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                server = socket.socket()
                self._size_buffers(server)
                link = Link(client, server, self._target, self._faults)
                self._links.add(link)
                link.task = self._loop.create_task(link.run())
                link.task.add_done_callback(partial(self._forget, link))

    def _forget(self, link: Link, _: object) -> None:
        self._links.discard(link)
        link.close()

    async def _reset(self) -> None:
        links = list(self._links)
        for link in links:
            link.reset = True
            link.task.cancel()
        await asyncio.gather(*(link.task for link in links), return_exceptions=True)

    async def _cut(self) -> None:
        self._loop.remove_reader(self._listening)
        self._listening.close()
        # It is bound, but does not listen: connections are refused, and nobody takes the port.
        self._listening = self._bound((HOST, self.port))
        await self._reset()

    def _listen(self) -> None:
        self._listening.listen()
        self._loop.add_reader(self._listening, self._accept)

    async def _close(self) -> None:
        self._loop.remove_reader(self._listening)
        self._listening.close()
        await self._reset()
