"""A write queue of messages: in order, large ones without a copy, as fast as the peer reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from sipyco_rpc.net.workarounds import MAX_TLS_WRITES
from sipyco_rpc.support.aliasing import is_unaliased
from sipyco_rpc.support.memory import MIB, copy_of, is_constant

if TYPE_CHECKING:
    from sipyco_rpc.support.memory import Piece

_SMALL: Final = 64 * 1024  # bytes; copying less costs less than a system call of its own
_MOST_JOINED: Final = 16  # small pieces in one write
_SLICE: Final = 256 * 1024  # bytes in one write; a transport may copy what is not sent at once
_WRITE_QUANTUM: Final = 4 * MIB  # bytes to write before other connections have their turn


class Sender:
    """Sends pieces in order, large ones slice by slice from where they are.

    What is small goes out in one system call with what else is put between two flushes.

    What is sent is what was there when it was put: memory that somebody else may change is sent or
    copied before `put` returns. That of an array which nobody else holds is not copied.

    Args:
        transport: the connection; once `begin` is called it must call `pause` and `resume`, by
            way of its protocol.

    Attributes:
        written: how many bytes the transport has been given.
        backpressured: something waits that was put before the latest flush, or is large.
        on_drained: is called by the loop when nothing waits any more after that.
        broken: is called with the reason when the rest of a message cannot be sent.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.written = 0
        self.backpressured = False
        self.on_drained: Callable[[], None] = lambda: None
        self.broken: Callable[[str], None] = lambda reason: None
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._small: list[bytes] = []  # put since the last flush, after what is in the queue
        self._small_size = 0
        self._flushing = False  # a flush is scheduled
        self._queue: deque[tuple[Piece, bool]] = deque()  # and whether nobody else can change it
        self._sent = 0  # of the head of the queue
        self._paused = False
        self._pumping = False
        self._quantum = _WRITE_QUANTUM
        self._yielding = False  # until the next pass of the loop, which is to go on

    def begin(self) -> None:
        """Let the transport tell, perhaps at once, when it does not get rid of what is written."""
        # Nothing is buffered but what one write could not get rid of.
        self._transport.set_write_buffer_limits(high=1, low=0)
        if self._transport.get_extra_info("sslcontext") is not None:
            self._quantum = MAX_TLS_WRITES * _SLICE

    def put(self, pieces: Sequence[Piece], *, shared: bool = False) -> None:
        """Have pieces sent after those that were put before.

        What is large is sent at once, as far as the other side takes it: when this returns, nobody
        can change any more what is sent.

        Args:
            pieces: a whole message. Whoever calls must have dropped its own references to the
                arrays that they are memory of.
            shared: their memory is held by others in any case.

        Raises:
            MemoryError: it has to wait and there is no memory for a copy; nothing of it is sent.
        """
        if len(pieces) > 1 or len(pieces[0]) > _SMALL:
            self._put_large(pieces, shared)
            return
        piece = pieces[0]
        # What is copied now need not be looked after.
        self._small.append(piece if type(piece) is bytes else bytes(piece))
        self._small_size += len(piece)
        if self._small_size > _SLICE:
            self._gather()
            self.backpressured = True

    def _put_large(self, pieces: Sequence[Piece], shared: bool) -> None:
        waits = self._paused or bool(self._queue)
        ready = [self._ready(piece, shared, waits) for piece in pieces]
        for piece, unaliased in ready:
            if len(piece) <= _SMALL:
                self.put([piece])
            else:
                self._gather()
                self._queue.append((piece, unaliased))
                self.backpressured = True
        if self._queue and not waits:
            self._pump()
            self._copy_aliased()

    def _ready(self, piece: Piece, shared: bool, waits: bool) -> tuple[Piece, bool]:
        """Give what is to be sent of a piece, and whether nobody else can change it."""
        if len(piece) <= _SMALL or is_constant(piece) or (not shared and is_unaliased(piece)):
            return piece, True
        return (copy_of(piece), True) if waits else (piece, False)

    @property
    def backlog(self) -> int:
        """How many bytes wait, those that the transport has not got rid of among them."""
        queued = sum(len(piece) for piece, _ in self._queue) - self._sent
        return self._small_size + queued + self._transport.get_write_buffer_size()

    def flush(self) -> None:
        """Send what was put, as far as the other side takes it."""
        small = self._small
        if not self.backpressured and len(small) <= _MOST_JOINED:
            if small:
                self.written += self._small_size
                self._small, self._small_size = [], 0
                self._transport.write(small[0] if len(small) == 1 else b"".join(small))
        else:
            self._gather()
            self._pump()

    def flush_soon(self) -> None:
        """Send what was put; if it is small, with what else is put in this pass of the loop."""
        if self.backpressured or len(self._small) > _MOST_JOINED:
            self.flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_scheduled)

    def pause(self) -> None:
        """The transport does not get rid of what was written."""
        self._paused = self.backpressured = True

    def resume(self) -> None:
        """The transport has got rid of what was written."""
        self._paused = False
        self._flush_by_loop()

    def drop(self) -> None:
        """Forget what waits: the connection is lost."""
        self._small, self._small_size = [], 0
        self._queue.clear()
        self._sent = 0

    def _flush_scheduled(self) -> None:
        self._flushing = False
        self._flush_by_loop()

    def _continue(self) -> None:
        self._yielding = False
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
        if self._pumping or self._yielding:
            return
        self._pumping = True
        try:
            self._write_queue()
        finally:
            self._pumping = False
        self.backpressured = self._paused or bool(self._queue)
        if not self.backpressured:
            self._loop.call_soon(self.on_drained)

    def _write_queue(self) -> None:
        left = self._quantum
        while self._queue and not self._paused and not self._transport.is_closing():
            if left <= 0:
                self._yielding = True
                self._loop.call_soon(self._continue)
                break
            part, unaliased = self._next_part()
            left -= len(part)
            self.written += len(part)
            try:
                # A transport may keep what it is given until it is sent.
                self._transport.write(part if unaliased else bytes(part))
            except MemoryError:
                self._break_off("there was not enough memory for the rest")

    def _next_part(self) -> tuple[Piece, bool]:
        """Take what is written next, and whether nobody else can change it."""
        piece, unaliased = self._queue[0]
        end = self._sent + _SLICE
        if end >= len(piece):
            self._queue.popleft()
            part = memoryview(piece)[self._sent :] if self._sent else piece
            self._sent = 0
        else:
            part = memoryview(piece)[self._sent : end]
            self._sent = end
        return part, unaliased

    def _copy_aliased(self) -> None:
        """Copy what others may change before it is sent."""
        for index, (piece, unaliased) in enumerate(self._queue):
            if unaliased:
                continue
            rest = memoryview(piece)
            if index == 0:
                rest, self._sent = rest[self._sent :], 0
            try:
                self._queue[index] = (copy_of(rest), True)
            except MemoryError as exc:
                self._break_off(str(exc))
                return

    def _break_off(self, reason: str) -> None:
        """Have the connection closed: nobody could tell where the next message begins."""
        self.drop()
        self.broken(f"a message was sent in part: {reason}")
