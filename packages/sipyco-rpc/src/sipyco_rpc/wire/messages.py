"""Bytes in, messages out: lines at first, frames once both sides have agreed. No sockets here."""

from __future__ import annotations

from sipyco_pyon.limits import MAX_BUFFERS
from sipyco_rpc.limits import MAX_HEADER, MAX_LINE
from sipyco_rpc.support.quoting import excerpt
from sipyco_rpc.wire.frames import FrameBody, FrameError, match_header
from sipyco_rpc.wire.lines import LineReader, LineTooLong

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeAlias

    # The number, the text, and the buffers. Lines are numbered from 1 on.
    Message: TypeAlias = tuple[int, bytes | bytearray | LineTooLong, list[Any]]

__all__ = ["MessageReader"]

_MEMORY: Final = 64 * 1024  # bytes; for each connection, so not more than pays


class MessageReader:
    """Cut a stream of bytes into messages, however the bytes arrive.

    Bytes are put where `memory` says; `received` tells how many; then `next` gives the messages
    that are complete, and has to be called until there is none. Memory is bounded by the limit:
    of a message that is longer, or that there is no memory for, nothing is kept but its length,
    and the stream goes on after it.

    Args:
        max_message: longest message to accept, in bytes: a line, or the text of a frame together
            with its buffers.

    Attributes:
        lines: how many lines there were so far.
        body: what follows the header of the frame that is under way, or None.
        report: is called as parts of a message come that is not there at once, with its number,
            the bytes so far and how many there will be, if that is known; None for nobody.
    """

    def __init__(self, max_message: int = MAX_LINE) -> None:
        self.lines = 0
        self.report: Callable[[int, int, int | None], None] | None = None
        self._line_reader = LineReader(max_message)
        self._max_message = max_message
        self._framed = False
        self.body: FrameBody | None = None
        self._memory = bytearray(_MEMORY)
        self._view = memoryview(self._memory)
        self._start = 0  # of what was received and not looked at
        self._end = 0

    def expect_frames(self) -> None:
        """Take what comes from now on for frames."""
        self._framed = True

    def memory(self, sizehint: int = -1) -> memoryview:
        """Where the next bytes belong; never empty, whatever the hint."""
        if self.body is not None:
            return self.body.memory()
        if self._start:
            unread = self._end - self._start
            if unread:
                self._memory[:unread] = self._memory[self._start : self._end]
            self._start, self._end = 0, unread
        return self._view[self._end :] if self._end else self._view

    @property
    def memory_is_raw(self) -> bool:
        """Whether the next bytes are those of an array, and may be any."""
        return self.body is not None and self.body.raw

    def received(self, size: int) -> None:
        """Note that bytes have been put there."""
        if self.body is None:
            self._end += size
        else:
            body = self.body
            body.received(size)
            if self.report is not None:
                self.report(body.call_id, body.length - body.left, body.length)

    def take(self, size: int) -> list[Message]:
        """Note that bytes have been put there, and give all messages that are complete.

        Raises:
            FrameError: what came is no frame.
        """
        if self._framed and self._end == 0 and self.body is None:
            # One frame that is all there, and nothing else, is what comes nearly always.
            header = match_header(self._memory, 0, size)
            if header is not None:
                call_id, length, rest = header.groups()
                after = header.end()
                if not rest and after + int(length) == size and size <= self._max_message:
                    return [(int(call_id), self._memory[after:size], [])]
        self.received(size)
        messages = []
        while (message := self.next()) is not None:
            messages.append(message)
        return messages

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes from elsewhere, and give all messages that are complete by then."""
        messages = self.take(0)
        while data:
            memory = self.memory()
            size = min(len(memory), len(data))
            memory[:size] = data[:size]
            data = data[size:]
            messages += self.take(size)
        return messages

    def next(self) -> Message | None:
        """Give the next message that is complete, or None.

        Raises:
            FrameError: what came is no frame.
        """
        return self._next_frame() if self._framed else self._next_line()

    @property
    def unread(self) -> bytes:
        """What was received and not yet looked at by `next`."""
        return bytes(self._view[self._start : self._end])

    def skip(self, size: int) -> None:
        """Leave out bytes that are unread."""
        self._start += size

    @property
    def pending(self) -> bytes:
        """The bytes of the unfinished line so far; empty if they were too many."""
        return self._line_reader.pending

    @property
    def pending_size(self) -> int:
        """How many bytes of an unfinished message there are; of a frame at least 1."""
        under_way = self.body is not None and not self.body.complete
        return self._line_reader.pending_size + self._end - self._start + under_way

    def _next_line(self) -> Message | None:
        end = self._memory.find(b"\n", self._start, self._end) + 1
        found = self._line_reader.feed(self._view[self._start : end or self._end])
        self._start = end or self._end
        if not found:
            if self.report is not None and self._line_reader.pending_size:
                self.report(self.lines + 1, self._line_reader.pending_size, None)
            return None
        self.lines += 1
        return self.lines, found[0], []

    def _next_frame(self) -> Message | None:
        body = self.body
        if body is None:
            start, end = self._start, self._end
            if start == end:
                return None
            # Bytes that come one at a time must not have all of a long header read anew each time.
            complete = self._memory.find(b"\n", start, end) >= 0
            header = match_header(self._memory, start, end) if complete else None
            if header is None:
                self._check_header(start, end, complete)
                return None
            call_id, text_length, rest = header.groups()
            after = header.end()
            if not rest and after + int(text_length) <= end:
                # All of it is there, as nearly always.
                stop = self._start = after + int(text_length)
                if stop - after <= self._max_message:
                    return int(call_id), self._memory[after:stop], []
                return int(call_id), LineTooLong(stop - after, self._max_message), []
            lengths = [int(length) for length in rest.split()]
            if len(lengths) > MAX_BUFFERS:
                raise FrameError(f"a frame has at most {MAX_BUFFERS} buffers, got {len(lengths)}")
            self.body = body = FrameBody(
                int(call_id), int(text_length), lengths, self._max_message
            )
            self._start = after + body.take(self._view[after:end])
        if not body.complete:
            return None
        self.body = None
        return body.call_id, body.error or body.text, body.buffers

    def _check_header(self, start: int, end: int, complete: bool) -> None:
        """Raise `FrameError` unless this may become a header."""
        if self._memory[start] != ord("#") or complete or end - start > MAX_HEADER:
            raise FrameError(f"expected a frame, got {excerpt(self.unread)}")
