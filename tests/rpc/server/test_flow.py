"""What waits goes on, and what nobody asked for does not pile up: senders, generators, credit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_pyon.limits import MAX_BUFFERS
from sipyco_rpc.net.sender import Sender
from sipyco_rpc.pc_rpc import AsyncioClient, Client
from sipyco_rpc.wire import server_session
from sipyco_rpc.wire.frames import pack_frame
from sipyco_rpc.wire.messages import MessageReader
from support.fake_transport import FakeTransport
from support.peers import DEADLINE, HOST, Peer, connected, rpc_server, scripted_server, until

GREETING = b'{"targets":["test"],"description":null,"features":["pyon_v2","frames"]}\n'
NAMES = b'{"__jsonclass__":["set",[["f","g"]]]}'


def frame(number: int, text: bytes) -> bytes:
    return b"".join(pack_frame(number, text))


def call(number: int, name: str) -> bytes:
    return frame(number, b'{"action":"call","name":"%b","args":[],"kwargs":{}}' % name.encode())


def greet(peer: Peer) -> None:
    """Play the server's side up to the first call, in frames."""
    assert peer.line() == b"ARTIQ pc_rpc\n"
    peer.send(GREETING)
    assert peer.line() == b"test pyon_v2 frames\n"
    peer.send(frame(0, NAMES))


def request_of(peer: Peer) -> bytes:
    """Wait for a request without buffers; give its text."""
    header = peer.line()
    return peer._file.read(int(header.split()[1]))


class Reader:
    """Frames from a server, one after another."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._incoming = MessageReader()
        self._incoming.expect_frames()
        self._ready: list[Any] = []

    def next(self) -> tuple[int, bytes]:
        while not self._ready:
            data = self._peer.socket.recv(65536)
            assert data, "the connection has ended"
            self._ready += self._incoming.feed(data)
        number, text, _ = self._ready.pop(0)
        return number, bytes(text)


class Target:
    def large(self) -> Iterator[bytes]:
        yield b"x" * 1_600_000

    def small(self) -> Iterator[int]:
        yield 7

    async def stuck(self) -> Any:
        async def items() -> Any:
            try:
                yield 1
            finally:
                await asyncio.Event().wait()

        return items()


def select(peer: Peer) -> Reader:
    peer.send(b"ARTIQ pc_rpc\n")
    peer.line()
    peer.send(b"t pyon_v2 frames\n")
    peer.socket.recv(65536)
    return Reader(peer)


def test_a_generator_goes_on_after_the_large_item_of_another() -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        reader = select(peer)
        peer.send(call(1, "large") + call(2, "small"))
        assert [reader.next()[0], reader.next()[0]] == [1, 2]
        peer.send(frame(1, b'{"action":"next","n":1}') + frame(2, b'{"action":"next","n":1}'))
        found = {reader.next()[0], reader.next()[0]}
        assert found == {1, 2}


def test_the_number_of_a_call_is_not_0() -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        select(peer)
        peer.send(call(0, "small"))
        assert peer.socket.recv(100) == b""


def test_generators_that_are_being_ended_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_session, "MAX_GENERATORS", 2)
    with rpc_server({"t": Target()}, allow_parallel=True) as port, connected(port) as peer:
        reader = select(peer)
        for number in (1, 2):
            peer.send(call(number, "stuck"))
            assert reader.next() == (number, b'{"status":"stream"}')
            peer.send(frame(number, b'{"action":"next","n":1}'))
            assert reader.next() == (number, b'{"status":"item","ret":1}')
            peer.send(frame(number, b'{"action":"cancel"}'))
            assert b"CancelledError" in reader.next()[1]
        peer.send(call(3, "stuck"))
        number, text = reader.next()
        assert number == 3
        assert b"2 generators of this client are under way already" in text


async def pass_by() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_waits_is_told_when_others_put_something_meanwhile() -> None:
    async def main() -> None:
        transport: Any = FakeTransport()
        sender = Sender(transport)
        sender.begin()
        drained = asyncio.Event()
        sender.on_drained = drained.set
        sender.put([memoryview(bytes(9_000_000))])
        sender.flush()
        assert sender.backpressured  # it is the turn of others
        while sender.backpressured:
            sender.put([b"notice"])
            sender.flush_soon()
            await asyncio.sleep(0)
        assert transport.size > 9_000_000
        await pass_by()
        assert drained.is_set()

    asyncio.run(main())


def test_what_is_put_meanwhile_does_not_take_the_turn_of_others() -> None:
    async def main() -> None:
        transport: Any = FakeTransport()
        sender = Sender(transport)
        sender.begin()
        sender.put([bytes(9_000_000)])
        written = transport.size
        assert 4_000_000 < written < 5_000_000
        for _ in range(3):
            sender.put([bytes(100_000)])
            sender.flush()
        assert transport.size == written
        await pass_by()
        assert transport.size == 9_300_000

    asyncio.run(main())


def test_many_small_pieces_are_late_as_one_large_piece_is() -> None:
    async def main() -> None:
        sender = Sender(FakeTransport())  # type: ignore[arg-type]
        for _ in range(6):
            sender.put([bytes(60_000)])
        assert sender.backpressured
        sender.flush()
        assert not sender.backpressured

    asyncio.run(main())


def test_closing_an_iterator_ends_who_waits_for_its_item() -> None:
    class Endless:
        async def items(self) -> Any:
            async def never() -> Any:
                await asyncio.Event().wait()
                yield 1

            return never()

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            items = await client.items()
            waiting = asyncio.create_task(anext(items, "ended"))
            await pass_by()
            await items.aclose()
            assert await asyncio.wait_for(waiting, DEADLINE) == "ended"

    with rpc_server({"t": Endless()}) as port:
        asyncio.run(main(port))


def test_items_that_were_not_asked_for_end_the_connection() -> None:
    def play(peer: Peer) -> None:
        greet(peer)
        request_of(peer)
        peer.send(frame(3, b'{"status":"stream"}'))
        assert b'"next"' in request_of(peer)
        peer.send(frame(3, b'{"status":"item","ret":1}') * 100)
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            items = await client.f()
            with pytest.raises(
                ConnectionError, match="more items of call 3 than it was asked for"
            ):
                async for _ in items:
                    pass

    with scripted_server(play) as port:
        asyncio.run(main(port))


def test_a_cancelled_call_ends_the_generator_that_came_at_the_same_time() -> None:
    cancelled = []

    def play(peer: Peer) -> None:
        greet(peer)
        request_of(peer)
        peer.send(frame(3, b'{"status":"stream"}'))
        cancelled.append(peer.line() + request_rest(peer))

    def request_rest(peer: Peer) -> bytes:
        return peer._file.read(19)

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            connection = client._AsyncioClient__connection
            received = connection.buffer_updated
            task = asyncio.create_task(client.f())

            def receive_and_cancel(size: int) -> None:
                received(size)
                task.cancel()

            connection.buffer_updated = receive_and_cancel
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(until, lambda: cancelled)

    with scripted_server(play) as port:
        asyncio.run(main(port))
    assert cancelled == [b'#3 19\n{"action":"cancel"}']


def test_the_reason_of_a_closed_connection_stays_what_it_was() -> None:
    async def main(port: int) -> None:
        client = AsyncioClient()
        await client.connect_rpc(HOST, port)
        await client.close_rpc()
        with pytest.raises(ConnectionError, match="closed by this program"):
            await client.small()

    with rpc_server({"t": Target()}) as port:
        asyncio.run(main(port))


def test_no_more_buffers_than_a_frame_may_have_are_made() -> None:
    with rpc_server({"t": Echo()}) as port, Client(HOST, port, timeout=DEADLINE) as client:
        assert client.count([bytes(600)] * (MAX_BUFFERS + 10)) == MAX_BUFFERS + 10


class Echo:
    def count(self, values: list[bytes]) -> int:
        assert set(map(len, values)) == {600}
        return len(values)
