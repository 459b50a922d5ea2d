"""Memory that cannot be had: the error says how much it was and where, and calls go on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_rpc.net import sender
from sipyco_rpc.net.sender import Sender
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, LineTooLong
from sipyco_rpc.wire import frames, lines
from sipyco_rpc.wire.client_session import ClientSession
from sipyco_rpc.wire.frames import pack_frame
from sipyco_rpc.wire.lines import LineReader, OutOfMemory
from sipyco_rpc.wire.messages import MessageReader
from support.fake_transport import FakeTransport
from support.pairs import selected_session
from support.peers import DEADLINE, HOST, rpc_server

SIZE = 3_000_000  # bytes, for which there is no memory in these tests


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give no memory for long buffers."""
    new_buffer = pyon.new_buffer

    def new_small_buffer(size: int) -> Any:
        if size >= SIZE:
            raise MemoryError
        return new_buffer(size)

    monkeypatch.setattr(pyon, "new_buffer", new_small_buffer)


class Bytearray(bytearray):
    """No long one of these can be had."""

    def __init__(self, size: int = 0) -> None:
        if size >= SIZE:
            raise MemoryError
        super().__init__(size)

    def __iadd__(self, other: Any) -> Any:
        if len(self) + len(other) >= SIZE:
            raise MemoryError
        return super().__iadd__(other)

    def join(self, parts: Any) -> Any:
        raise MemoryError


class Target:
    def make(self, size: int) -> bytes:
        return b"x" * size

    def size_of(self, value: Any) -> int:
        return len(value)

    def items(self, *sizes: int) -> Iterator[bytes]:
        for size in sizes:
            yield b"x" * size

    def give_up(self) -> None:
        raise MemoryError

    def unencodable(self) -> Any:
        return Hungry()


class Hungry:
    """A value that takes more memory to encode than there is."""


@pytest.fixture
def hungry() -> Iterator[None]:
    def encode(value: Hungry) -> Any:
        raise MemoryError

    pyon.register([Hungry], name="Hungry", encode=encode, decode=Hungry)
    yield
    pyon.deregister([Hungry], "Hungry")


@pytest.mark.usefixtures("scarce")
def test_a_reply_that_a_client_has_no_memory_for() -> None:
    with rpc_server({"t": Target()}) as port:
        clients: list[Any] = [
            Client(HOST, port, timeout=DEADLINE),
            BestEffortClient(HOST, port, "t"),
        ]
        for client in clients:
            with client, pytest.raises(MemoryError) as raised:
                client.make(SIZE)
            assert isinstance(raised.value, LineTooLong)
            assert raised.match(r"not enough memory to receive a message of 30000\d\d bytes")

        with Client(HOST, port, timeout=DEADLINE) as client:
            with pytest.raises(MemoryError):
                client.make(SIZE)
            assert client.make(SIZE - 1) == b"x" * (SIZE - 1)  # it goes on
            items = client.items(SIZE - 1, SIZE)
            assert len(next(items)) == SIZE - 1
            with pytest.raises(MemoryError, match="not enough memory to receive a message of"):
                next(items)
            assert client.size_of(b"x") == 1

        async def main() -> None:
            async with AsyncioClient(timeout=DEADLINE) as client:
                await client.connect_rpc(HOST, port)
                calls = [client.make(SIZE), client.size_of("y"), client.make(SIZE), client.make(9)]
                one, two, three, four = await asyncio.gather(*calls, return_exceptions=True)
                assert isinstance(one, MemoryError)
                assert isinstance(three, MemoryError)
                assert (two, four) == (1, b"x" * 9)

        asyncio.run(main())


@pytest.mark.usefixtures("scarce")
def test_a_request_that_a_server_has_no_memory_for() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port, timeout=DEADLINE) as client:
        with pytest.raises(
            MemoryError,
            match=r"not enough memory to receive a message of 30001\d\d bytes on the se",
        ):
            client.size_of(b"x" * SIZE)
        assert client.size_of(b"x" * (SIZE - 1)) == SIZE - 1


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.usefixtures("hungry")
def test_a_result_that_cannot_be_encoded(framed: bool) -> None:
    with (
        rpc_server({"t": Target()}, frames=framed) as port,
        Client(HOST, port, timeout=DEADLINE) as client,
    ):
        with pytest.raises(
            MemoryError, match=r"^not enough memory to encode \d+ bytes on the server"
        ):
            client.unencodable()
        with pytest.raises(MemoryError, match=r"^not enough memory on the server"):
            client.give_up()
        with pytest.raises(MemoryError, match=r"^not enough memory to encode 10\d\d bytes$"):
            client.size_of([Hungry(), b"x" * 1000])
        assert client.size_of("x") == 1


def test_a_value_that_cannot_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(text: Any, **options: Any) -> Any:
        raise MemoryError

    client, server = ClientSession(), selected_session(b"t pyon_v2 frames")
    monkeypatch.setattr(pyon, "decode", decode)
    with pytest.raises(
        MemoryError, match=r"^not enough memory to decode a request of 15 bytes on th"
    ):
        server.receive_request((1, b"0123456789", [memoryview(b"12345")]))
    client.framed = True
    with pytest.raises(MemoryError, match=r"^not enough memory to decode a reply of 15 bytes$"):
        client.receive_reply((1, b"0123456789", [memoryview(b"12345")]))


# --- bytes in, messages out ----------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 65_536, 10_000_000])
@pytest.mark.parametrize("lengths", [[SIZE], [9, SIZE, 5], [5000, SIZE], []])
@pytest.mark.usefixtures("scarce")
def test_a_frame_that_there_is_no_memory_for_is_skipped(
    step: int, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "bytearray", Bytearray, raising=False)
    text = b'"text"' if lengths else b"x" * (2 * SIZE)
    stream = b"".join(pack_frame(5, text, [memoryview(bytes(length)) for length in lengths]))
    stream += b"".join(pack_frame(6, b"7"))
    incoming = MessageReader()
    incoming.expect_frames()
    if step < 100:  # of what is long only the beginning and the end in such steps
        head = stream[: -SIZE + 100] if not lengths else stream[:300]
        parts = [head[i : i + step] for i in range(0, len(head), step)][:300]
        done = sum(map(len, parts))
        parts += [stream[done:-200], *(stream[-200:][i : i + step] for i in range(0, 200, step))]
    else:
        parts = [stream[i : i + step] for i in range(0, len(stream), step)]
    messages = [message for part in parts for message in incoming.feed(part)]
    [(first, error, buffers), last] = messages
    assert (first, buffers) == (5, [])
    assert isinstance(error, OutOfMemory)
    assert error.size == len(text) + sum(lengths)
    assert (last[0], bytes(last[1]), last[2]) == (6, b"7", [])  # type: ignore[arg-type]


def test_a_line_that_there_is_no_memory_for_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "bytearray", Bytearray, raising=False)
    reader = LineReader()
    received = [line for _ in range(40) for line in reader.feed(b"x" * 100_000)]
    received += reader.feed(b"\nnext\n")
    assert [type(line) for line in received] == [OutOfMemory, bytes]
    assert str(received[0]) == "not enough memory to receive a message of 4000000 bytes"
    assert received[1] == b"next"


# --- what has to wait --------------------------------------------------------------------------


def test_what_has_to_wait_and_cannot_is_not_sent_at_all_or_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_buffer(size: int) -> Any:
        raise MemoryError

    monkeypatch.setattr(pyon, "new_buffer", no_buffer)
    pieces = [b"#1 2 500000\n{}", memoryview(bytearray(500_000))]

    async def main(writes: int) -> tuple[int, list[str]]:
        transport: Any = FakeTransport(writes)
        sender = transport.sender = Sender(transport)
        broken: list[str] = []
        sender.broken = broken.append
        if not writes:
            sender.pause()
        sender.put(pieces)
        return transport.size, broken

    with pytest.raises(
        MemoryError, match="not enough memory for a copy of 500000 bytes that have"
    ):
        asyncio.run(main(0))
    written, [reason] = asyncio.run(main(2))
    assert written == 14 + sender._SLICE
    assert reason == (
        f"a message was sent in part: not enough memory for a copy of {500_000 - sender._SLICE} "
        "bytes that have to wait to be sent"
    )


def test_a_write_that_there_is_no_memory_for_is_the_last_one() -> None:
    class Poor(FakeTransport):
        def write(self, data: Any) -> None:
            if self.written:
                raise MemoryError
            super().write(data)

    async def main() -> None:
        transport: Any = Poor(9)
        sender = transport.sender = Sender(transport)
        broken: list[str] = []
        sender.broken = broken.append
        sender.put([b"#1 2 900000\n{}" + bytes(100_000), memoryview(bytearray(900_000))])
        await asyncio.sleep(0)
        assert transport.size == 100_014
        assert broken == ["a message was sent in part: there was not enough memory for the rest"]

    asyncio.run(main())


@pytest.mark.usefixtures("scarce")
def test_a_client_that_cannot_keep_what_it_is_given() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            memory = b"x" * (4 * SIZE)
            array = memoryview(bytearray(SIZE))
            connection: Any = vars(client)["_AsyncioClient__connection"]
            sending = asyncio.create_task(client.size_of(memory))  # `bytes` need no copy
            await asyncio.sleep(0)
            assert connection._sender.backpressured
            with pytest.raises(MemoryError, match="not enough memory for a copy of 3000000 bytes"):
                await connection.exchange(connection.session.request, (b"{}", [array]))
            with pytest.raises(MemoryError, match="on the server"):
                await sending
            assert await client.size_of("it goes on") == 10
            with pytest.raises(
                ConnectionError, match="sent in part: not enough memory for a copy"
            ):
                await connection.exchange(
                    connection.session.request, (b"{}", [memoryview(bytearray(30_000_000))])
                )
            with pytest.raises(ConnectionError):
                await client.size_of("it does not go on")

    with rpc_server({"t": Target()}) as port:
        asyncio.run(main(port))


@pytest.mark.usefixtures("scarce")
def test_a_server_that_cannot_keep_the_rest_of_a_reply(caplog: pytest.LogCaptureFixture) -> None:
    numpy = pytest.importorskip("numpy")

    class Camera(Target):
        image = numpy.ones(30_000_000, "u1")

        def expose(self) -> Any:
            return self.image

    with rpc_server({"t": Camera()}) as port:
        with Client(HOST, port, timeout=DEADLINE) as client, pytest.raises((EOFError, OSError)):
            client.expose()
        with Client(HOST, port, timeout=DEADLINE) as client:
            assert client.size_of("y") == 1
    [message] = caplog.messages
    assert "a message was sent in part: not enough memory for a copy of" in message


PROGRAM = """
import resource, sys
import numpy
from sipyco_rpc.pc_rpc import Client

with Client("127.0.0.1", int(sys.argv[1]), timeout=50, max_line=2**34) as client:
    assert client.zeros(1000).nbytes == 1000
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000,) * 2)
    try:
        client.zeros(80_000_000)
    except MemoryError as exc:
        print(exc)
    try:
        client.size_of(numpy.broadcast_to(numpy.zeros(1, "u1"), 60_000_000))
    except MemoryError as exc:
        print(exc)
    print(client.zeros(1000).nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another kind")
def test_a_process_with_little_memory() -> None:
    numpy = pytest.importorskip("numpy")

    class Zeros(Target):
        def zeros(self, size: int) -> Any:
            return numpy.zeros(size, "u1")

    with rpc_server({"t": Zeros()}) as port:
        command = [sys.executable, "-c", PROGRAM, str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.stderr == ""
    received, encoded, more = ended.stdout.splitlines()
    assert received.startswith("not enough memory to receive a message of 800001")
    assert encoded == "not enough memory to encode 59999998 "[:37] or encoded.startswith(
        "not enough"
    )
    assert more == "1000"
