"""Frames from bytes, however the bytes arrive, and what a header may be."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_pyon.limits import MAX_BUFFERS
from sipyco_rpc.limits import MAX_HEADER
from sipyco_rpc.support.memory import MIB
from sipyco_rpc.wire import messages
from sipyco_rpc.wire.client_session import ClientSession
from sipyco_rpc.wire.frames import FrameError, match_header, pack_frame
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.messages import MessageReader
from sipyco_rpc.wire.requests import CallRequest
from sipyco_rpc.wire.server_session import ServerSession
from support.environment import as_installed
from support.pairs import served


def frames_reader(max_message: int = 1000) -> MessageReader:
    reader = MessageReader(max_message)
    reader.expect_frames()
    return reader


def plain(messages: Iterable[Any]) -> list[tuple[int, Any, list[bytes]]]:
    """Make messages comparable."""
    return [
        (
            number,
            (text.size, text.limit) if isinstance(text, LineTooLong) else bytes(text),
            [bytes(buffer) for buffer in buffers],
        )
        for number, text, buffers in messages
    ]


def received(reader: MessageReader, data: bytes, lines: int = 0) -> list[Any]:
    """Put bytes where the reader says, as a socket does; frames come after so many lines."""
    messages = []
    while data:
        memory = reader.memory()
        assert len(memory)
        size = min(len(memory), len(data))
        memory[:size] = data[:size]
        data = data[size:]
        reader.received(size)
        while (message := reader.next()) is not None:
            messages.append(message)
            if reader.lines == lines:
                reader.expect_frames()
    return messages


def chunkings(stream: bytes, most: int) -> Iterator[list[bytes]]:
    """Cut a stream at every combination of so many places."""
    for count in range(most + 1):
        for places in combinations(range(1, len(stream)), count):
            ends = [0, *places, len(stream)]
            yield [stream[a:b] for a, b in pairwise(ends)]


# --- packing ---------------------------------------------------------------------------------


def test_a_frame_is_a_header_a_text_and_buffers() -> None:
    assert pack_frame(3, b"{}") == [b"#3 2\n{}"]
    assert pack_frame(0, b"") == [b"#0 0\n"]
    assert pack_frame(7, b"{}", [memoryview(b"abc"), memoryview(b"")]) == [
        b"#7 2 3 0\n{}",
        b"abc",
        b"",
    ]


def test_neither_buffers_nor_long_texts_are_copied() -> None:
    array, text = bytearray(100), b"x" * 100_000
    pieces = pack_frame(1, text, [memoryview(array)])
    assert pieces[0] == b"#1 100000 100\n"
    assert pieces[1] is text
    assert isinstance(pieces[2], memoryview)
    assert pieces[2].obj is array


# --- every split -----------------------------------------------------------------------------

SEQUENCES = [
    (b"#3 2\n{}#4 0\n", [(3, b"{}", []), (4, b"", [])]),
    (b"#3 1 2\n[\n#", [(3, b"[", [b"\n#"])]),
    (b"#3 0 1 0\nx#1 1\n1", [(3, b"", [b"x", b""]), (1, b"1", [])]),
    (b"#3 0 0\n#4 0 0 0\n", [(3, b"", [b""]), (4, b"", [b"", b""])]),
    (b"#5 9\n#6 1\n{}\n{#6 1\n}", [(5, b"#6 1\n{}\n{", []), (6, b"}", [])]),
    (b"#3 8\n12345678#4 1\nx", [(3, (8, 7), []), (4, b"x", [])]),
    (b"#3 4 4\n12345678#4 1 1\nxy", [(3, (8, 7), []), (4, b"x", [b"y"])]),
    (b"#3 0 8\n12345678#4 7\n#4 1\n12", [(3, (8, 7), []), (4, b"#4 1\n12", [])]),
]


@pytest.mark.parametrize(("stream", "messages"), SEQUENCES)
def test_every_split_gives_the_same_frames(stream: bytes, messages: list[Any]) -> None:
    limit = 9 if b"#5" in stream else 7
    for chunks in chunkings(stream, 3):
        for take in (MessageReader.feed, received):
            reader = frames_reader(limit)
            found = [message for chunk in chunks for message in take(reader, chunk)]
            assert plain(found) == messages, chunks
            assert reader.pending_size == 0
            assert not reader.memory_is_raw
            assert len(reader.memory())


def test_every_split_of_lines_and_then_frames() -> None:
    """A handshake may come together with the first frames."""
    stream = b"{}\nset\n#0 1\nx#3 0 2\nyz"
    for chunks in chunkings(stream, 2):
        reader = MessageReader()
        found = [message for chunk in chunks for message in received(reader, chunk, lines=2)]
        assert plain(found) == [
            (1, b"{}", []),
            (2, b"set", []),
            (0, b"x", []),
            (3, b"", [b"yz"]),
        ]
        assert reader.lines == 2


frames = st.tuples(
    st.integers(0, 10**15 - 1),
    st.binary(max_size=300),
    st.lists(st.binary(max_size=300), max_size=4),
)


@given(st.lists(frames, max_size=8), st.data())
def test_any_chunking_gives_the_same_frames(
    sent: list[tuple[int, bytes, list[bytes]]], data: st.DataObject
) -> None:
    stream = b"".join(
        b"".join(pack_frame(number, text, [memoryview(buffer) for buffer in buffers]))
        for number, text, buffers in sent
    )
    limit = data.draw(st.integers(1, 1500))
    sizes = [len(text) + sum(map(len, buffers)) for _, text, buffers in sent]
    expected = [
        frame if size <= limit else (frame[0], (size, limit), [])
        for frame, size in zip(sent, sizes, strict=True)
    ]
    reader, found, position = frames_reader(limit), [], 0
    while position < len(stream):
        step = data.draw(st.integers(1, len(stream) - position))
        found += received(reader, stream[position : position + step])
        position += step
    assert plain(found) == expected
    assert reader.pending_size == 0


@pytest.mark.parametrize("size", [65_000, 65_535, 65_536, 65_537, 3_000_000])
@pytest.mark.parametrize("chunk", [1000, 65_536, 10_000_000])
def test_frames_that_are_longer_than_the_memory_for_small_ones(size: int, chunk: int) -> None:
    text, buffer = bytes(range(256)) * (size // 256 + 1), bytes(range(255)) * (size // 255 + 1)
    text, buffer = text[:size], buffer[: size + 1]
    frame = b"".join(pack_frame(9, text, [memoryview(buffer)]))
    reader, found = frames_reader(10_000_000), []
    stream = frame + b"#1 1\nx" + frame
    for start in range(0, len(stream), chunk):
        found += received(reader, stream[start : start + chunk])
    assert plain(found) == [(9, text, [buffer]), (1, b"x", []), (9, text, [buffer])]


# --- memory ----------------------------------------------------------------------------------


def test_a_buffer_is_received_into_the_memory_that_the_array_will_own() -> None:
    reader = frames_reader()
    assert reader.feed(b"#3 2 4\n{}ab") == []
    assert reader.memory_is_raw
    memory = reader.memory()
    assert len(memory) == 2
    memory[:] = b"cd"
    reader.received(2)
    message = reader.next()
    assert message is not None
    [buffer] = message[2]
    assert bytes(buffer) == b"abcd"
    assert memory.obj is buffer or memory.obj is getattr(buffer, "obj", None)
    memoryview(buffer)[3:] = b"x"  # it may be written to
    assert bytes(memory) == b"cx"


def test_two_messages_share_no_memory() -> None:
    reader = frames_reader()
    [first, second] = reader.feed(b"#1 1 1\nab#2 1 1\ncd")
    assert isinstance(first[1], bytearray)
    first[1][:] = b"x"
    memoryview(first[2][0])[:] = b"x"
    assert plain([second]) == [(2, b"c", [b"d"])]
    assert plain(reader.feed(b"#1 1 1\nef")) == [(1, b"e", [b"f"])]
    assert plain([first, second]) == [(1, b"x", [b"x"]), (2, b"c", [b"d"])]


def test_a_promise_of_much_text_takes_no_memory() -> None:
    reader = frames_reader(1000 * MIB)
    tracemalloc.start()
    try:
        assert reader.feed(b"#3 100000000\n" + b"x" * 1000) == []
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB
        for _ in range(4):
            received(reader, b"x" * MIB)
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    finally:
        tracemalloc.stop()
    assert reader.pending_size > 0


@pytest.mark.skipif(sys.platform != "linux", reason="measured by /proc")
@pytest.mark.parametrize("numpy", ["None", "__import__('numpy')"])
def test_a_promise_of_long_buffers_takes_no_memory(numpy: str) -> None:
    """As the system counts it: what headers announce is not taken before it comes."""
    if numpy != "None":
        pytest.importorskip("numpy")
    program = f"""
import sys
sys.modules["numpy"] = {numpy}
from pathlib import Path
from sipyco_rpc.wire.messages import MessageReader
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
readers = [MessageReader() for _ in range(20)]
before = resident()
for reader in readers:
    reader.expect_frames()
    assert reader.feed(b"#1 2 134217000 700\\n{{}}abc") == []
    assert len(reader.memory()) == 134217000 - 3
print(resident() - before)
reader.memory()[-3:] = b"end"
reader.received(134217000 - 3)
[(number, text, buffers)] = reader.feed(b"x" * 700)
print(number, bytes(text), [bytes(memoryview(buffer)[-3:]) for buffer in buffers])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=as_installed(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    taken, message = done.stdout.splitlines()
    assert int(taken) < 32 * 1024, "KiB, of two and a half gigabytes that were announced"
    assert message == "1 b'{}' [b'end', b'xxx']"


def test_a_long_header_that_comes_byte_by_byte_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that had come was once read anew with each byte."""
    looked: list[int] = []

    def match(memory: bytearray, start: int, end: int) -> Any:
        looked.append(end - start)
        return match_header(memory, start, end)

    monkeypatch.setattr(messages, "match_header", match)
    header = b"#1 2" + b" 0000000000" * (MAX_BUFFERS - 1) + b"\n"
    assert len(header) < MAX_HEADER
    reader = frames_reader()
    for byte in header:
        assert received(reader, bytes([byte])) == []
    [(number, text, buffers)] = received(reader, b"{}")
    assert (number, bytes(text), len(buffers)) == (1, b"{}", MAX_BUFFERS - 1)
    assert looked == [len(header)]


@pytest.mark.parametrize("header", [b"#3 100000000\n", b"#3 0 100000000\n", b"#3 1 99999998 1\n"])
def test_a_frame_that_is_too_long_takes_no_memory_and_the_stream_goes_on(header: bytes) -> None:
    reader, chunk = frames_reader(10_000_000), b"x" * 1_000_000
    tracemalloc.start()
    try:
        assert reader.feed(header) == []
        assert reader.memory_is_raw
        for _ in range(99):
            assert received(reader, chunk) == []
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB
    finally:
        tracemalloc.stop()
    [dropped, message] = received(reader, chunk + b"#4 1\nx")
    assert dropped[0] == 3
    assert isinstance(dropped[1], LineTooLong)
    assert (dropped[1].size, dropped[1].limit) == (100_000_000, 10_000_000)
    assert dropped[2] == []
    assert plain([message]) == [(4, b"x", [])]


def test_a_frame_of_just_the_limit_is_taken() -> None:
    assert plain(frames_reader(4).feed(b"#3 4\n1234")) == [(3, b"1234", [])]
    assert plain(frames_reader(4).feed(b"#3 1 2 1\n1234")) == [(3, b"1", [b"23", b"4"])]


# --- headers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"\n",
        b"3 2\n",
        b"#\n",
        b"# 2\n",
        b"#3\n",
        b"#3 \n",
        b"#3 2 \n",
        b"#3  2\n",
        b"# 3 2\n",
        b"#3 2\r\n",
        b"#3\t2\n",
        b"#-3 2\n",
        b"#+3 2\n",
        b"#3 -2\n",
        b"#3 +2\n",
        b"#3 2 -1\n",
        b"#3 1_0\n",
        b"#1_0 1\n",
        b"#3 0x2\n",
        b"#3 2.0\n",
        b"#3 1e1\n",
        b"#x 2\n",
        b"#3 2\x00\n",
        "#3 ٢\n".encode(),
        b"#1234567890123456 2\n",
        b"#3 1234567890123456\n",
        b"#3 2 1234567890123456\n",
        b"#3 0000000000000002\n",
        b"\x16\x03\x01",
    ],
)
def test_what_is_no_header_ends_the_stream(header: bytes) -> None:
    with pytest.raises(FrameError, match="expected a frame, got '"):
        frames_reader().feed(header)
    reader = frames_reader()
    with pytest.raises(FrameError, match="expected a frame, got '"):
        [reader.feed(header[start : start + 1]) for start in range(len(header))]
    with pytest.raises(FrameError, match="expected a frame, got '"):
        frames_reader().feed(b"#1 2\n{}" + header)


def test_numbers_of_15_digits_are_numbers() -> None:
    assert plain(frames_reader().feed(b"#999999999999999 000000000000002\n{}")) == [
        (999_999_999_999_999, b"{}", [])
    ]


def test_a_header_has_an_end() -> None:
    reader = frames_reader()
    assert reader.feed(b"#" + b"1" * (MAX_HEADER - 1)) == []
    with pytest.raises(FrameError, match=rf"expected a frame, got '#11.*… \({MAX_HEADER + 1} by"):
        reader.feed(b"1")


def test_the_number_of_buffers_has_a_limit() -> None:
    most = b"#3 1" + b" 1" * MAX_BUFFERS + b"\n" + b"x" * (MAX_BUFFERS + 1)
    [message] = frames_reader(10_000).feed(most)
    assert len(message[2]) == MAX_BUFFERS
    with pytest.raises(FrameError, match="at most 4096 buffers, got 4097"):
        frames_reader(10_000).feed(b"#3 1" + b" 1" * (MAX_BUFFERS + 1) + b"\n")


def test_a_header_with_all_buffers_of_a_gigabyte_each_is_short_enough() -> None:
    header = b"#999999999999999 1000000000" + b" 1000000000" * MAX_BUFFERS + b"\n"
    assert len(header) <= MAX_HEADER
    reader = frames_reader()
    assert received(reader, header) == []
    assert reader.memory_is_raw


def test_how_much_of_a_message_is_under_way() -> None:
    reader = MessageReader()
    assert reader.feed(b"a\nbc") != []
    assert (reader.pending, reader.pending_size) == (b"bc", 2)
    reader.feed(b"\n")
    assert reader.pending_size == 0
    reader.expect_frames()
    reader.feed(b"#3")
    assert reader.pending_size == 2
    reader.feed(b" 10 5\n{")
    assert reader.pending_size > 0
    reader.feed(b"}" * 9 + b"12345")
    assert reader.pending_size == 0


# --- lines and frames carry the same ---------------------------------------------------------

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda values: st.tuples(values, values),
    max_leaves=3,
)
values = st.recursive(
    hashable | st.binary(min_size=1024, max_size=2000) | st.complex_numbers(allow_nan=False),
    lambda values: (
        st.lists(values, max_size=3)
        | st.tuples(values, values)
        | st.dictionaries(hashable, values, max_size=3)
        | st.sets(hashable, max_size=3)
    ),
    max_leaves=8,
)


class Joined:
    """Both ends of a conversation, with memory in between."""

    def __init__(self, frames: bool) -> None:
        self.client, self.server = ClientSession(), ServerSession(["t"], frames=frames)
        _, hello = self.client.hello()
        self.client.receive_identification(self.handshake(hello))
        self.client.requests_sent = 1
        _, selection = self.client.select("t")
        self.client.requests_sent = 2
        self.client.receive_methods(self.handshake(selection))
        assert self.client.methods == {"f"}
        assert self.client.framed == self.server.framed == frames

    def handshake(self, pieces: Any) -> Any:
        """Return what the client gets of a step of the handshake."""
        said: list[Any] = []
        list(served(self.server, b"".join(pieces), {"f"}, lambda *reply: said.extend(reply)))
        [message] = self.client.incoming.feed(b"".join(said))
        return message

    def call(self, *args: Any, **kwargs: Any) -> CallRequest:
        """Return what the server gets of a call."""
        number, pieces = self.client.request(self.client.call("f", args, kwargs))
        [message] = self.server.incoming.feed(b"".join(pieces))
        assert message[0] == number or not self.client.framed
        self.client.requests_sent += 1
        self.number = message[0]
        request = self.server.receive_request(message)
        assert isinstance(request, CallRequest)
        return request

    def reply(self, value: Any) -> Any:
        """Return what the client gets of a value."""
        self.call()
        reply = self.server.reply(self.number, value)
        [message] = self.client.incoming.feed(b"".join(reply))
        assert message[0] == self.number or not self.client.framed
        return self.client.receive_reply(message)


def same(one: Any, other: Any) -> bool:
    """Tell whether values are equal, and of equal types throughout."""
    return bool(one == other) and types_of(one) == types_of(other)


def types_of(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value), [types_of(item) for item in value]
    if isinstance(value, dict):
        return dict, [(types_of(key), types_of(item)) for key, item in value.items()]
    return type(value)


@given(
    values,
    st.dictionaries(st.text().filter(lambda key: key != "__jsonclass__"), values, max_size=2),
)
def test_lines_and_frames_carry_the_same_values(value: Any, kwargs: dict[str, Any]) -> None:
    for joined in (Joined(frames=True), Joined(frames=False)):
        assert same(joined.reply(value), value)
        request = joined.call(value, 1, **kwargs)
        assert request.name == "f"
        assert same(list(request.args), [value, 1])
        assert same(request.kwargs, kwargs)


def test_lines_and_frames_carry_the_same_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [
        numpy.arange(1000).astype(dtype).reshape(shape)
        for dtype in ("<f8", ">i4", "c16", "u1", "?")
        for shape in ((1000,), (10, 100), (1000, 1, 1))
    ]
    arrays += [numpy.zeros(0), numpy.zeros((3, 0, 2)), numpy.array(5.0), numpy.arange(5000)[::5]]
    for joined in (Joined(frames=True), Joined(frames=False)):
        for array in arrays:
            for got in (joined.reply(array), joined.call(array).args[0]):
                assert got.dtype == array.dtype
                assert got.shape == array.shape
                assert (got == array).all()
                assert got.flags.writeable
                assert got.flags.c_contiguous
                got[...] = 0
