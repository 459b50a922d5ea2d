"""Frames: messages that carry a number and raw memory. No sockets here.

    frame  = header text buffer*
    header = "#" call_id " " text_length (" " buffer_length)* "\\n"        ASCII decimal
    text   = a PYON v2 text of text_length bytes

A buffer is received into the very memory that the array will own. What is malformed ends the
connection, as nobody could tell where the next frame begins; what is too long is left out.
"""

from __future__ import annotations

import re

from sipyco_pyon import pyon
from sipyco_rpc.limits import MAX_HEADER
from sipyco_rpc.wire.lines import LineTooLong, OutOfMemory

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from sipyco_rpc.support.memory import Piece

__all__ = ["MAX_HEADER", "FrameBody", "FrameError", "pack_frame"]

_JOINED: Final = 64 * 1024  # bytes; copying a longer text takes longer than one more system call
_FIRST_STEP: Final = 1024 * 1024  # bytes of memory for a text of which nothing has come yet

# A length of more than 15 digits is none.
match_header: Final = re.compile(rb"#(\d{1,15}) (\d{1,15})((?: \d{1,15})*)\n").match


class FrameError(ValueError):
    """The other side sent what is no frame; the connection cannot go on."""


def pack_frame(call_id: int, text: bytes, buffers: Sequence[memoryview] = ()) -> list[Piece]:
    """Make a frame.

    Args:
        call_id: the number of the call; 0 for what no call has asked for.
        text: PYON v2.
        buffers: the memory that the text refers to, contiguous, as bytes.

    Returns:
        What is to be sent, piece by piece. The buffers are not copied.
    """
    if not buffers and len(text) <= _JOINED:
        return [b"#%d %d\n%b" % (call_id, len(text), text)]
    header = b"#%d %d" % (call_id, len(text))
    if buffers:
        lengths = " ".join([str(len(buffer)) for buffer in buffers])
        header += b" " + lengths.encode("ascii")
    if len(text) <= _JOINED:
        return [b"%b\n%b" % (header, text), *buffers]
    return [header + b"\n", text, *buffers]


class FrameBody:
    """What follows the header of a frame, on its way into the memory that it will stay in.

    What is too long, or what there is no memory for, is received and dropped.

    Args:
        call_id: from the header.
        text_length: of the text, in bytes.
        lengths: of the buffers, in bytes.
        limit: the most that is kept, of the text and all buffers together, in bytes.

    Attributes:
        error: why nothing of it is kept, or None.
        length: of all of it, in bytes.
        left: how many of them are yet to come.
    """

    def __init__(self, call_id: int, text_length: int, lengths: list[int], limit: int) -> None:
        self.call_id = call_id
        self.error: LineTooLong | None = None
        self.text = bytearray()
        self.buffers: list[Any] = []
        self._parts: list[bytearray] = []  # of the text
        self._missing = text_length  # of the text, beyond the parts that there are
        self.lengths = lengths
        self.length = self.left = text_length + sum(lengths)
        self._limit = limit
        self._target = memoryview(b"")  # what is being filled
        self._filled = 0
        if self.length > limit:
            self._drop(LineTooLong(self.length, limit))
        self.received(0)

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self.left == 0

    @property
    def raw(self) -> bool:
        """Whether the next bytes are those of an array, or are dropped: they may be any."""
        return bool(self.buffers) or self.error is not None

    def memory(self) -> memoryview:
        """Where the next bytes belong."""
        return self._target[self._filled : self._filled + self.left]

    def received(self, size: int) -> None:
        """Note that bytes have been put there."""
        self.left -= size
        if self.error is not None:
            return
        self._filled += size
        try:
            while self._filled == len(self._target) and self._begin_next():
                pass
        except MemoryError:
            self._drop(OutOfMemory(self.length, self._limit))

    def _begin_next(self) -> bool:
        """Have memory for what comes next; tell whether there is something."""
        if self._missing:
            # No more memory than twice of what has come: the length is a peer's word. That of
            # buffers must not move: it is reserved when all before them has come, and the
            # system gives it as it is filled (see `new_buffer`).
            part = bytearray(min(self._missing, max(_FIRST_STEP, sum(map(len, self._parts)))))
            self._missing -= len(part)
            self._parts.append(part)
            self._target = memoryview(part)
        else:
            if self._parts:
                self.text = (
                    self._parts[0] if len(self._parts) == 1 else bytearray().join(self._parts)
                )
                self._parts = []
            if len(self.buffers) == len(self.lengths):
                return False
            self.buffers.append(pyon.new_buffer(self.lengths[len(self.buffers)]))
            self._target = memoryview(self.buffers[-1])
        self._filled = 0
        return True

    def _drop(self, error: LineTooLong) -> None:
        """Keep nothing of it, neither what has come nor the rest."""
        self.error = error
        self._target, self._filled = memoryview(b""), 0
        self.text, self._parts, self.buffers = bytearray(), [], []
        self._target = memoryview(bytearray(min(self.left, _JOINED)))

    def take(self, data: memoryview) -> int:
        """Copy what came together with the header; return how many bytes belong to the frame."""
        taken = 0
        while taken < len(data) and not self.complete:
            target = self.memory()
            size = min(len(target), len(data) - taken)
            target[:size] = data[taken : taken + size]
            taken += size
            self.received(size)
        return taken
