"""Bytes in, lines out, with a limit. No sockets here."""

from __future__ import annotations

from sipyco_rpc.limits import MAX_LINE

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from sipyco_rpc.support.memory import Text

__all__ = ["MAX_LINE", "LineReader", "LineTooLong", "OutOfMemory"]


class LineTooLong(ValueError):
    """A line was longer than the limit, and was dropped.

    Attributes:
        size: length of the line in bytes, without the newline.
        limit: the most that the reader would have taken.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"line of {size} bytes is too long: the limit is {limit} bytes (see `max_line`)"
        )
        self.size = size
        self.limit = limit

    def __reduce__(self) -> tuple[type[LineTooLong], tuple[int, int]]:
        return type(self), (self.size, self.limit)  # a pool of processes hangs without it


class OutOfMemory(LineTooLong, MemoryError):
    """There was not enough memory for a line or message, and it was dropped."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.args = (f"not enough memory to receive a message of {size} bytes",)


class LineReader:
    """Cut a stream of bytes into lines, however the bytes arrive.

    Memory is bounded by the limit: of a line that grows beyond it, or beyond what memory can be
    had, nothing is kept but its length, and the stream goes on after its newline.

    Args:
        max_line: longest line to accept, in bytes, without the newline.
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        if max_line < 1:
            raise ValueError(f"max_line must be at least 1 byte, got {max_line}")
        self._max_line = max_line
        # The unfinished line. Only what is new is searched for a newline, so reading is linear.
        self._buffer = bytearray()
        # Its length, which goes on counting once the bytes themselves have been dropped.
        self._size = 0
        self._dropped = False  # for want of memory

    @property
    def pending(self) -> bytes:
        """The bytes of the unfinished line so far; empty if they were too many."""
        return bytes(self._buffer)

    @property
    def pending_size(self) -> int:
        """How many bytes the unfinished line has so far, those that were dropped included."""
        return self._size

    def feed(self, data: bytes | bytearray | memoryview) -> list[Text | LineTooLong]:
        """Take the next bytes of the stream.

        Args:
            data: what arrived; it is copied, so the caller may reuse its buffer.

        Returns:
            The lines that are now complete, without their newlines: as `bytes`, or `bytearray`
            where they came in several pieces. A `LineTooLong` stands in the place of a line that
            was too long; an `OutOfMemory`, which is one, where there was not enough memory.
        """
        lines: list[Text | LineTooLong] = []
        received = bytes(data)
        start = 0
        while (end := received.find(b"\n", start)) >= 0:
            if self._size == 0 and end - start <= self._max_line:
                lines.append(received[start:end])
            else:
                self._take(received[start:end])
                lines.append(self._finish())
            start = end + 1
        if start < len(received):
            self._take(received[start:] if start else received)
        return lines

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._max_line and not self._dropped:
            try:
                self._buffer += piece
                return
            except MemoryError:
                self._dropped = True
        self._buffer = bytearray()

    def _finish(self) -> Text | LineTooLong:
        # The very memory that it was collected in: a copy would take as long as reading it.
        line: Text | LineTooLong = self._buffer
        if self._size > self._max_line:
            line = LineTooLong(self._size, self._max_line)
        elif self._dropped:
            line = OutOfMemory(self._size, self._max_line)
        self._buffer = bytearray()
        self._size = 0
        self._dropped = False
        return line
