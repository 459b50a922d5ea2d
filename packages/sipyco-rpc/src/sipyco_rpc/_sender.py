"""What one side of a connection has to say, in order, as fast as the other side takes it."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from sipyco_rpc.framing import MIB

if TYPE_CHECKING:
    from sipyco_rpc.frames import Piece

_SLICE: Final = 256 * 1024  # bytes in one write; a transport may copy what is not sent at once
_TURN: Final = 4 * MIB  # bytes to write before other connections have their turn


class Sender:
    """Sends pieces in order, large ones slice by slice from where they are.

    What is written between two flushes goes out in one system call, if it is small.

    Memory that somebody else may change while it waits to be sent is copied: what is sent is what
    was there when it was put. That of an array which nobody else holds is not.

    Args:
        transport: the connection; once `begin` is called it must call `pause` and `resume`, by
            way of its protocol.

    Attributes:
        drained: is called by the loop when nothing waits any more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.drained: Callable[[], None] = lambda: None
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._small: list[bytes] = []  # since the last flush
        self._flushing = False  # a flush is scheduled
        self._queue: deque[tuple[Piece, bool]] = deque()  # and whether it may be held
        self._sent = 0  # of the head of the queue
        self._paused = False
        self._pumping = False

    def begin(self) -> None:
        """Let the transport tell, perhaps at once, when it does not get rid of what is written."""
        # Nothing is buffered but what one write could not get rid of.
        self._transport.set_write_buffer_limits(high=1, low=0)

    @property
    def idle(self) -> bool:
        """Whether everything that was flushed has gone out."""
        return not self._queue and not self._paused

    def put(self, pieces: Iterable[Piece], *, shared: bool = False) -> None:
        """Have pieces sent after those that were put before.

        Args:
            pieces: a whole message. Whoever calls must have dropped its own references to the
                arrays that they are memory of.
            shared: their memory is held by others in any case.
        """
        for piece in pieces:
            if type(piece) is bytes and len(piece) <= _SLICE:
                self._small.append(piece)
            else:
                self._gather()
                self._queue.append((piece, _is_constant(piece) or not (shared or _is_held(piece))))

    def flush(self) -> None:
        """Send what was put."""
        if not self._queue and not self._paused:
            small = self._small
            if small:
                data = small[0] if len(small) == 1 else b"".join(small)
                self._small = []
                self._transport.write(data)
            return
        self._gather()
        self._pump()

    def flush_soon(self) -> None:
        """Send what was put; if it is small, with what else is put in this pass of the loop."""
        if self._queue:
            self.flush()  # what is large may change before the next pass
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_scheduled)

    def pause(self) -> None:
        """The transport does not get rid of what was written."""
        self._paused = True

    def resume(self) -> None:
        """The transport has got rid of what was written."""
        self._paused = False
        self._flush_now()

    def drop(self) -> None:
        """Forget what waits: the connection is lost."""
        self._small = []
        self._queue.clear()

    def _flush_now(self) -> None:
        if self._transport.is_closing():
            return
        self.flush()
        if self.idle and not self._pumping:
            self.drained()

    def _flush_scheduled(self) -> None:
        self._flushing = False
        self._flush_now()

    def _gather(self) -> None:
        """Put the small pieces where the large ones wait."""
        if self._small:
            self._queue.append((b"".join(self._small), True))
            self._small = []

    def _pump(self) -> None:
        """Write until the transport has enough."""
        if self._pumping:
            return  # TLS resumes while it writes
        self._pumping = True
        left = _TURN
        try:
            while self._queue and not self._paused and not self._transport.is_closing():
                if left <= 0:
                    self._loop.call_soon(self._flush_now)
                    break
                piece, held = self._queue[0]
                end = self._sent + _SLICE
                if end >= len(piece):
                    self._queue.popleft()
                    part = memoryview(piece)[self._sent :] if self._sent else piece
                    self._sent = 0
                else:
                    part = memoryview(piece)[self._sent : end]
                    self._sent = end
                left -= len(part)
                # A transport may keep what it is given until it is sent.
                self._transport.write(part if held else bytes(part))
        finally:
            self._pumping = False
        self._keep()

    def _keep(self) -> None:
        """Copy what others may change before it is sent."""
        for index, (piece, held) in enumerate(self._queue):
            if not held:
                rest = bytes(memoryview(piece)[self._sent if index == 0 else 0 :])
                if index == 0:
                    self._sent = 0
                self._queue[index] = (rest, True)


def _is_constant(piece: Piece) -> bool:
    """Tell whether nobody can change a piece."""
    return isinstance(piece, bytes) or isinstance(piece.obj, bytes)


def _is_held(piece: Any) -> bool:
    """Tell whether others than the piece itself hold its memory."""
    base = getattr(piece.obj, "base", None)
    if base is None:
        return _counts(piece)[0] > _ALONE[0]
    own_kind = type(base) is type(piece.obj) and base.base is None
    del base
    # Such as an array that was given another shape.
    counts = _counts(piece)
    return not own_kind or counts[0] > _ALONE[0] or counts[1] > _ALONE[1]


def _counts(piece: Any) -> tuple[int, int]:
    """Count who refers to the object that a piece is memory of, and to the base of that."""
    return sys.getrefcount(piece.obj), sys.getrefcount(getattr(piece.obj, "base", None))


class _Sample(bytearray):
    """Something with memory and a base, as an array may have."""

    base: object

    @classmethod
    def memory(cls) -> memoryview:
        sample = cls(1)
        sample.base = object()
        return memoryview(sample)


_ALONE: Final = _counts(_Sample.memory())
