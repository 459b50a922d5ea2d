"""Lines from bytes, however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_rpc.wire.lines import LineReader, LineTooLong


def test_a_line_ends_at_its_newline() -> None:
    reader = LineReader()
    assert reader.feed(b"a\nbc\nd") == [b"a", b"bc"]
    assert reader.pending == b"d"
    assert reader.feed(b"\n") == [b"d"]
    assert reader.pending == b""


def test_carriage_returns_belong_to_the_line() -> None:
    assert LineReader().feed(b"a\r\n\n") == [b"a\r", b""]


def comparable(line: object) -> object:
    return str(line) if isinstance(line, LineTooLong) else line


@given(st.lists(st.binary(max_size=20)), st.data())
def test_any_chunking_gives_the_same_lines(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(parts)
    whole = LineReader(8).feed(stream)
    reader, lines, position = LineReader(8), [], 0
    while position < len(stream):
        step = data.draw(st.integers(1, len(stream) - position))
        lines += reader.feed(stream[position : position + step])
        position += step
    assert [comparable(line) for line in lines] == [comparable(line) for line in whole]


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_line_that_is_too_long_is_dropped_and_the_stream_goes_on(chunk: int) -> None:
    reader, lines = LineReader(4), []
    stream = b"1234\n12345\nab\n"
    for start in range(0, len(stream), chunk):
        lines += reader.feed(stream[start : start + chunk])
    assert lines[0] == b"1234"
    assert isinstance(lines[1], LineTooLong)
    assert (lines[1].size, lines[1].limit) == (5, 4)
    assert "5 bytes" in str(lines[1])
    assert "4 bytes" in str(lines[1])
    assert lines[2:] == [b"ab"]


def test_a_line_without_end_takes_no_memory() -> None:
    reader = LineReader(1000)
    for _ in range(100):
        assert reader.feed(b"x" * 1000) == []
    assert reader.pending == b""
    assert reader.pending_size == 100_000


def test_the_callers_buffer_may_be_reused() -> None:
    reader, buffer = LineReader(), bytearray(b"ab\ncd")
    lines = reader.feed(memoryview(buffer))
    buffer[:] = b"     "
    assert lines == [b"ab"]
    assert reader.feed(b"\n") == [b"cd"]


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 byte, got 0"):
        LineReader(0)
