"""Connections without sockets: a loop that is reused, and transports whose peer is a program here.

What a peer says is cut into reads by the byte 0xFF, so that an input says that as well.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final, TypeVar

__all__ = ["MemoryTransport", "deliver", "loop", "reads", "recorded", "run", "settle"]

T = TypeVar("T")

_HANG: Final = 20.0  # seconds; nothing here waits for time, so it is far more than it takes
_PASSES: Final = 500  # of the loop, in which everything must have come to rest
_MOST_UNREAD: Final = 64 * 1024  # bytes that a peer who reads nothing lets come

_NO_SOCKET: Final = SimpleNamespace(family=None)  # of no family that has keepalive

_loop: asyncio.AbstractEventLoop | None = None


def loop() -> asyncio.AbstractEventLoop:
    """Give the loop; to make one for each input would take longer than all the rest."""
    global _loop
    if _loop is None or _loop.is_closed():
        _loop = asyncio.new_event_loop()
        atexit.register(_loop.close)
    return _loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a conversation to its end; nothing of it may be left."""

    async def bounded() -> T:
        async with asyncio.timeout(_HANG):
            return await work

    running = loop()
    failures: list[dict[str, Any]] = []
    running.set_exception_handler(lambda _, context: failures.append(context))
    result = running.run_until_complete(bounded())
    left = asyncio.all_tasks(running)
    assert not left, f"tasks are left: {left}"
    assert not failures, f"the loop has caught: {failures}"
    return result


async def settle(done: Callable[[], bool] = lambda: False) -> None:
    """Let the loop do what can be done at once; stop early if something is so."""
    for _ in range(_PASSES):
        if done():
            return
        await asyncio.sleep(0)


def reads(data: bytes) -> list[bytes]:
    """Cut what a peer says into what comes in one read; nothing comes in none."""
    return [part for part in data.split(b"\xff") if part]


class MemoryTransport(asyncio.Transport):
    """A connection that keeps what is written.

    Args:
        slow: the peer takes nothing of it, until `drain`.

    Attributes:
        written: what the peer has got, or would get.
        reading: whether the protocol wants to read.
    """

    def __init__(self, protocol: Any = None, *, slow: bool = False) -> None:
        super().__init__({"peername": ("memory", 1), "socket": _NO_SOCKET})
        self.written = bytearray()
        self.reading = True
        self.closed = False
        self._protocol = protocol
        self._slow = slow
        self._paused = False
        self._unread = 0

    def write(self, data: Any) -> None:
        self.written += data
        if not self._slow or self.closed:
            return
        self._unread += len(data)
        if self._unread > _MOST_UNREAD and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def drain(self) -> None:
        """Take everything, from now on."""
        self._slow = False
        if self._paused and not self.closed:
            self._paused = False
            self._protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self._unread if self._slow else 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


def deliver(transport: MemoryTransport, data: bytes) -> None:
    """Give bytes to the protocol of a transport as a read from a socket does."""
    protocol = transport.get_protocol()
    if hasattr(protocol, "data_received"):
        protocol.data_received(data)
        return
    while data and not transport.closed:
        memory = memoryview(protocol.get_buffer(len(data)))
        assert len(memory), "there is no room for what comes"
        size = min(len(memory), len(data))
        memory[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


class _Handler(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()
        self._records.append(record)


@contextmanager
def recorded(name: str) -> Iterator[list[logging.LogRecord]]:
    """Give the list of what a logger gets, and nobody else."""
    logger = logging.getLogger(name)
    records: list[logging.LogRecord] = []
    handler = _Handler(records)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(1)
    logger.propagate = False
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
        logger.setLevel(before[0])
