"""`MessageReader` and `LineReader`: any bytes, however they arrive."""

from __future__ import annotations

from typing import Any, Final

from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.lines import LineReader, LineTooLong
from sipyco_rpc.wire.messages import MessageReader

__all__ = ["one_input"]

_LIMITS: Final = (10, 300, 2**27)  # bytes of a message
_STEPS: Final = (1, 2, 3, 7, 64, 2**20)  # bytes of a read
_NO_FRAME: Final = "no frame"
_FIRST_STEP: Final = 2**20  # bytes of memory that a header is worth, and no more of a text


def one_input(data: bytes) -> None:
    """Cut bytes into lines, then into frames. The first byte says how many, and the limit."""
    if not data:
        return
    lines, limit = data[0] % 4, _LIMITS[data[0] // 4 % len(_LIMITS)]
    stream = data[1:]
    expected = _messages(stream, lines, limit, len(stream))
    for step in _STEPS:
        assert _messages(stream, lines, limit, step) == expected, (step, expected)
        taken = _messages(stream, lines, limit, step, take=True)
        if expected[-1:] == [_NO_FRAME]:
            # What came in one read with that is lost, as the connection is.
            assert taken.pop() == _NO_FRAME
            assert taken == expected[: len(taken)]
        else:
            assert taken == expected
    _check_lines(stream, limit)


def _messages(
    stream: bytes, lines: int, limit: int, step: int, *, take: bool = False
) -> list[Any]:
    """Give what a stream consists of, if it arrives in such pieces, one by one or as taken."""
    reader = MessageReader(limit)
    found: list[Any] = []
    if not lines:
        reader.expect_frames()
    received = 0
    try:
        while received < len(stream):
            memory = reader.memory()
            assert len(memory), "there is no room for what comes"
            size = min(step, len(memory), len(stream) - received)
            memory[:size] = stream[received : received + size]
            received += size
            if take and not lines:
                found += map(_shown, reader.take(size))
                continue
            reader.received(size)
            while (message := reader.next()) is not None:
                found.append(_shown(message))
                if reader.lines == lines:
                    # Frames begin after a line, in the midst of what has been read.
                    lines = 0
                    reader.expect_frames()
                    if take:
                        found += map(_shown, reader.take(0))
                        break
            _check_memory(reader, received)
    except FrameError:
        # Its text shows what had been read, which is more or less.
        found.append(_NO_FRAME)
    return found


def _shown(message: Any) -> Any:
    number, text, buffers = message
    if isinstance(text, LineTooLong):
        return number, "too long", text.size, text.limit
    return number, bytes(text), [bytes(memoryview(buffer)) for buffer in buffers]


def _check_memory(reader: MessageReader, received: int) -> None:
    """Check that a text takes no more memory than twice what has come of it."""
    body = reader.body
    if body is not None:
        held = len(body.text) + sum(map(len, body._parts))
        assert held <= 2 * received + _FIRST_STEP, (held, received)


def _check_lines(stream: bytes, limit: int) -> None:
    """Check lines against what they are by definition."""
    *lines, rest = stream.split(b"\n")
    expected = [line if len(line) <= limit else len(line) for line in lines]
    for step in (1, 5, max(1, len(stream))):
        reader = LineReader(limit)
        found: list[Any] = []
        for start in range(0, len(stream), step):
            for line in reader.feed(stream[start : start + step]):
                found.append(line.size if isinstance(line, LineTooLong) else bytes(line))
        assert found == expected
        assert reader.pending_size == len(rest)
        assert reader.pending == (rest if len(rest) <= limit else b"")
