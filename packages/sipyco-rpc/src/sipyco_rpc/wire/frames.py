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

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from sipyco_rpc.support.memory import Piece
    from sipyco_rpc.wire.lines import LineTooLong

__all__ = ["MAX_HEADER", "FrameBody", "FrameError", "SkippedBody", "pack_frame"]

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

    Args:
        call_id: from the header.
        text_length: of the text, in bytes.
        lengths: of the buffers, in bytes.

    Attributes:
        length: of the text and all buffers, in bytes.
        left: how many of them have yet to come; right as well after a `MemoryError`.
    """

    def __init__(self, call_id: int, text_length: int, lengths: list[int]) -> None:
        self.call_id = call_id
        self.complete = False
        self.text = bytearray()
        self.buffers: list[Any] = []
        self._parts: list[bytearray] = []  # of the text
        self._missing = text_length  # of the text, beyond the parts that there are
        self._lengths = lengths
        self.length = self.left = text_length + sum(lengths)
        self._target = memoryview(b"")  # what is being filled
        self._filled = 0
        self.received(0)

    @property
    def raw(self) -> bool:
        """Whether the next bytes are those of an array, and may be any."""
        return bool(self.buffers)

    def memory(self) -> memoryview:
        """Where the next bytes belong."""
        return self._target[self._filled :]

    def received(self, size: int) -> None:
        """Note that bytes have been put there.

        Raises:
            MemoryError: there is none for what comes next; the rest has to be skipped.
        """
        self.left -= size
        self._filled += size
        while self._filled == len(self._target) and not self.complete:
            self._filled = 0
            if self._missing:
                # No more memory than twice of what has come: the length is a peer's word. That of
                # buffers must not move: it is reserved when all before them has come, and the
                # system gives it as it is filled (see `new_buffer`).
                part = bytearray(min(self._missing, max(_FIRST_STEP, sum(map(len, self._parts)))))
                self._missing -= len(part)
                self._parts.append(part)
                self._target = memoryview(part)
                continue
            if self._parts:
                self.text = (
                    self._parts[0] if len(self._parts) == 1 else bytearray().join(self._parts)
                )
                self._parts = []
            if len(self.buffers) < len(self._lengths):
                self.buffers.append(pyon.new_buffer(self._lengths[len(self.buffers)]))
                self._target = memoryview(self.buffers[-1])
            else:
                self._target = memoryview(b"")
                self.complete = True

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


class SkippedBody:
    """What follows the header of a frame that cannot be kept: it is received and dropped.

    Args:
        call_id: from the header.
        left: of the text and all buffers, what has yet to come, in bytes.
        error: why it cannot be kept.
    """

    def __init__(self, call_id: int, left: int, error: LineTooLong) -> None:
        self.call_id = call_id
        self.error = error
        self.raw = True
        self._missing = left
        self._spare = memoryview(bytearray(min(left, _JOINED)))

    def memory(self) -> memoryview:
        """Where the next bytes may go."""
        return self._spare[: self._missing]

    def received(self, size: int) -> None:
        """Note that bytes have been put there."""
        self._missing -= size

    def take(self, data: memoryview) -> int:
        """Drop what came together with the header; return how many bytes belong to the frame."""
        size = min(len(data), self._missing)
        self._missing -= size
        return size

    @property
    def complete(self) -> bool:
        """Whether all of the frame has passed."""
        return self._missing == 0
