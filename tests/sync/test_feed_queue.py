"""Lines wait for a slow peer, and what is dropped leaves no half line behind. No sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_sync._feed_queue import OVERHEAD, WRITE_SIZE, SendQueue


class Transport(asyncio.Transport):
    """Takes what is written, and says when it has enough."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.protocol: Any = asyncio.Protocol()
        self.full = False
        self.closing = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))
        if self.full:
            self.protocol.pause_writing()

    def resume(self) -> None:
        """Take one write more, and be full again."""
        self.protocol.resume_writing()

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert (high, low) == (1, 0)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def resume_reading(self) -> None:
        pass


def with_queue(test: Callable[[SendQueue, Transport], None]) -> None:
    async def main() -> None:
        transport = Transport()
        test(SendQueue(transport, "a peer", "a feed"), transport)

    asyncio.run(main())


def test_nothing_is_written_where_the_connection_beneath_tls_is_closing() -> None:
    async def main() -> None:
        transport, carrier = Transport(), Transport()
        queue = SendQueue(transport, "a peer", "a feed", carrier)
        transport.full = True
        queue.send(b"1\n")
        queue.send(b"2\n")
        carrier.closing = True
        transport.resume()
        queue.send(b"3\n")
        assert transport.writes == [b"1\n"]

    asyncio.run(main())


def test_what_waits_goes_out_in_one_write() -> None:
    def test(queue: SendQueue, transport: Transport) -> None:
        transport.full = True
        for line in (b"1\n", b"2\n", b"3\n"):
            queue.send(line)
        assert transport.writes == [b"1\n"]
        assert queue.queued_lines == 2
        assert queue.queued_bytes == 2 * (2 + OVERHEAD)
        transport.resume()
        assert transport.writes == [b"1\n", b"2\n3\n"]
        assert queue.queued_bytes == queue.queued_lines == 0
        assert not queue.idle
        transport.full = False
        transport.resume()
        assert queue.idle

    with_queue(test)


def test_a_long_line_goes_out_in_pieces_and_is_not_copied() -> None:
    def test(queue: SendQueue, transport: Transport) -> None:
        line = b"x" * (2 * WRITE_SIZE + 10) + b"\n"
        queue.send(line)
        assert [len(piece) for piece in transport.writes] == [WRITE_SIZE, WRITE_SIZE, 11]
        assert b"".join(transport.writes) == line

    with_queue(test)


def test_dropping_finishes_the_line_that_has_begun() -> None:
    def test(queue: SendQueue, transport: Transport) -> None:
        transport.full = True
        first = b"a" * WRITE_SIZE + b"b\n"
        queue.send(first + b"c" * 9 + b"\n", 2)
        queue.send(b"dropped\n")
        assert queue.queued_lines == 3
        queue.drop()
        assert queue.queued_lines == 1
        assert queue.queued_bytes == 2 + OVERHEAD
        queue.drop()  # again, before the rest of the line has gone
        assert queue.queued_bytes == 2 + OVERHEAD
        queue.send(b"next\n")
        transport.resume()
        assert b"".join(transport.writes) == first + b"next\n"

    with_queue(test)


def test_dropping_between_lines_keeps_nothing() -> None:
    def test(queue: SendQueue, transport: Transport) -> None:
        transport.full = True
        queue.send(b"sent\n")
        queue.send(b"dropped\n")
        queue.drop()
        assert queue.queued_bytes == queue.queued_lines == 0
        queue.send(b"next\n")
        transport.resume()
        assert transport.writes == [b"sent\n", b"next\n"]

    with_queue(test)


def test_of_a_lost_connection_nothing_waits() -> None:
    def test(queue: SendQueue, transport: Transport) -> None:
        transport.full = True
        queue.send(b"a" * 2 * WRITE_SIZE + b"\n")
        queue.connection_lost(None)
        assert queue.queued_bytes == queue.queued_lines == 0
        queue.drop()  # whoever sends may not know of it yet
        assert queue.queued_bytes == queue.queued_lines == 0

    with_queue(test)


def test_what_does_not_count_does_not_count_while_it_is_sent() -> None:
    def test(queue: SendQueue, transport: Transport) -> None:
        transport.full = True
        queue.send(b"x" * (3 * WRITE_SIZE) + b"\n", counts_toward_limit=False)
        assert queue.queued_bytes == OVERHEAD
        queue.send(b"mod\n")
        assert queue.queued_bytes == 4 + 2 * OVERHEAD
        transport.resume()
        assert queue.queued_bytes == 4 + 2 * OVERHEAD

    with_queue(test)


def test_it_tells_when_all_has_been_taken() -> None:
    def test(queue: SendQueue, transport: Transport) -> None:
        told: list[bool] = []
        queue.on_drained = lambda: told.append(queue.idle)
        transport.full = True
        queue.send(b"1\n")
        queue.send(b"2\n")
        transport.full = False
        assert told == []
        transport.resume()
        assert told == [True]

    with_queue(test)


@pytest.mark.parametrize("waits", [False, True])
def test_a_peer_that_says_no_more_gets_what_waits(waits: bool) -> None:
    async def main() -> None:
        transport = Transport()
        queue = SendQueue(transport, "a peer", "a feed")
        if waits:
            transport.full = True
            queue.send(b"1\n")
            queue.send(b"2\n")
        assert transport.protocol.eof_received() is True
        assert transport.closing is not waits
        transport.full = False
        transport.resume()
        assert transport.closing is not waits  # a transport that resumes is in the midst of things
        queue.send(b"too late\n")
        await asyncio.sleep(0)
        assert transport.closing
        queue.send(b"too late\n")
        assert b"too late\n" not in transport.writes

    asyncio.run(main())


def test_streams_that_get_a_full_connection_back_are_told_so() -> None:
    async def main() -> None:
        transport = Transport()
        streams = transport.protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        queue = SendQueue(transport, "a peer", "a feed")
        transport.full = True
        queue.send(b"1\n")
        queue.detach()
        assert transport.protocol is streams
        transport.resume()  # they would refuse to resume what was not paused

    asyncio.run(main())
