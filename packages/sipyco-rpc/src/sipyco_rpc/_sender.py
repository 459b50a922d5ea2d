"""What one side of a connection has to say, in order, as fast as the other side takes it."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from sipyco_pyon import pyon
from sipyco_rpc.framing import MIB

if TYPE_CHECKING:
    from sipyco_rpc.frames import Piece

_SMALL: Final = 64 * 1024  # bytes; copying less costs less than a system call of its own
_MOST_JOINED: Final = 16  # small pieces in one write
_SLICE: Final = 256 * 1024  # bytes in one write; a transport may copy what is not sent at once
_TURN: Final = 4 * MIB  # bytes to write before other connections have their turn
# With TLS, asyncio learns of a lost connection in the next pass of the loop only. Up to Python
# 3.11 it warns of each write until then, from the sixth on.
_TLS_TURN: Final = 4 * _SLICE


class Sender:
    """Sends pieces in order, large ones slice by slice from where they are.

    What is put between two flushes goes out in one system call, if it is small.

    Memory that somebody else may change while it waits to be sent is copied: what is sent is what
    was there when it was put. That of an array which nobody else holds is not.

    Args:
        transport: the connection; once `begin` is called it must call `pause` and `resume`, by
            way of its protocol.

    Attributes:
        late: something waits that was put before the latest flush, or is large.
        drained: is called by the loop after something was late, when nothing is any more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.late = False
        self.drained: Callable[[], None] = lambda: None
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._small: list[bytes] = []  # put since the last flush, after what is in the queue
        self._small_size = 0
        self._flushing = False  # a flush is scheduled
        self._queue: deque[tuple[Piece, bool]] = deque()  # and whether it may be held
        self._sent = 0  # of the head of the queue
        self._paused = False
        self._pumping = False
        self._turn = _TURN

    def begin(self) -> None:
        """Let the transport tell, perhaps at once, when it does not get rid of what is written."""
        # Nothing is buffered but what one write could not get rid of.
        self._transport.set_write_buffer_limits(high=1, low=0)
        if self._transport.get_extra_info("sslcontext") is not None:
            self._turn = _TLS_TURN

    def put(self, pieces: Sequence[Piece], *, shared: bool = False) -> None:
        """Have pieces sent after those that were put before.

        Args:
            pieces: a whole message. Whoever calls must have dropped its own references to the
                arrays that they are memory of.
            shared: their memory is held by others in any case.
        """
        for piece in pieces:
            if len(piece) <= _SMALL:
                # What is copied now need not be looked after.
                self._small.append(piece if type(piece) is bytes else bytes(piece))
                self._small_size += len(piece)
                if self._small_size > _SLICE:
                    self._gather()
                    self.late = True
                continue
            self._gather()
            self._queue.append((piece, _is_constant(piece) or not (shared or _is_held(piece))))
            self.late = True

    def flush(self) -> None:
        """Send what was put, as far as the other side takes it."""
        small = self._small
        if not self.late and len(small) <= _MOST_JOINED:
            if small:
                self._small, self._small_size = [], 0
                self._transport.write(small[0] if len(small) == 1 else b"".join(small))
        else:
            self._gather()
            self._pump()

    def flush_soon(self) -> None:
        """Send what was put; if it is small, with what else is put in this pass of the loop."""
        if self.late or len(self._small) > _MOST_JOINED:
            self.flush()  # what is large may change before the next pass
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_scheduled)

    def pause(self) -> None:
        """The transport does not get rid of what was written."""
        self._paused = self.late = True

    def resume(self) -> None:
        """The transport has got rid of what was written."""
        self._paused = False
        self._flush_by_loop()

    def drop(self) -> None:
        """Forget what waits: the connection is lost."""
        self._small = []
        self._queue.clear()

    def _flush_scheduled(self) -> None:
        self._flushing = False
        self._flush_by_loop()

    def _flush_by_loop(self) -> None:
        if self._pumping or self._transport.is_closing():
            return  # TLS resumes while it writes
        self.flush()

    def _gather(self) -> None:
        """Put the small pieces where the large ones wait."""
        while self._small:
            self._queue.append((b"".join(self._small[:_MOST_JOINED]), True))
            del self._small[:_MOST_JOINED]
        self._small_size = 0

    def _pump(self) -> None:
        """Write until the transport has enough."""
        if self._pumping:
            return
        self._pumping = True
        try:
            self._write_queue()
        finally:
            self._pumping = False
        self.late = self._paused or bool(self._queue)
        if self._queue:
            self._keep()
        elif not self.late:
            self._loop.call_soon(self.drained)

    def _write_queue(self) -> None:
        left = self._turn
        while self._queue and not self._paused and not self._transport.is_closing():
            if left <= 0:
                self._loop.call_soon(self._flush_by_loop)
                break
            part, held = self._next_part()
            left -= len(part)
            # A transport may keep what it is given until it is sent.
            self._transport.write(part if held else bytes(part))

    def _next_part(self) -> tuple[Piece, bool]:
        """Take what is written next, and whether it may be held."""
        piece, held = self._queue[0]
        end = self._sent + _SLICE
        if end >= len(piece):
            self._queue.popleft()
            part = memoryview(piece)[self._sent :] if self._sent else piece
            self._sent = 0
        else:
            part = memoryview(piece)[self._sent : end]
            self._sent = end
        return part, held

    def _keep(self) -> None:
        """Copy what others may change before it is sent."""
        for index, (piece, held) in enumerate(self._queue):
            if held:
                continue
            rest = memoryview(piece)
            if index == 0:
                rest, self._sent = rest[self._sent :], 0
            # Such memory takes less time to get than that of `bytes`, if it is large.
            copy = memoryview(pyon.new_buffer(len(rest)))
            copy[:] = rest
            self._queue[index] = (copy, True)


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
