"""The proxy that does harm does the harm that it is told to, byte for byte, and no other."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack

import pytest

from dev.faults.proxy import FaultProxy
from support.leaks import nothing_is_left  # noqa: F401
from support.peers import DEADLINE, HOST, Peer, until

pytestmark = pytest.mark.one_python


class Line:
    """A listening server, the proxy before it, and pairs of connected ends."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.listening = stack.enter_context(socket.create_server((HOST, 0)))
        self.listening.settimeout(DEADLINE)
        port = self.listening.getsockname()[1]
        self.proxy = stack.enter_context(FaultProxy(port, buffer_size=4096))

    def dial(self) -> Peer:
        return self._kept(socket.create_connection((HOST, self.proxy.port), DEADLINE))

    def ends(self) -> tuple[Peer, Peer]:
        client = self.dial()
        return client, self._kept(self.listening.accept()[0])

    def _kept(self, sock: socket.socket) -> Peer:
        peer = Peer(sock)
        self._stack.callback(peer.close)
        return peer


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(stack)


def rest(peer: Peer) -> bytes:
    """Read to the end of the stream."""
    data = b""
    while more := peer.socket.recv(1 << 16):
        data += more
    return data


def exactly(peer: Peer, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := peer.socket.recv(count - len(data))):
        data += more
    return data


def nothing_came(peer: Peer) -> bool:
    peer.socket.setblocking(False)
    try:
        peer.socket.recv(1)
    except BlockingIOError:
        return True
    finally:
        peer.socket.settimeout(DEADLINE)
    return False


def is_reset(peer: Peer) -> bool:
    try:
        rest(peer)
    except ConnectionResetError:
        return True
    return False


def test_without_faults_bytes_and_ends_pass(line: Line) -> None:
    client, server = line.ends()
    client.send(b"abc")
    client.socket.shutdown(socket.SHUT_WR)
    assert rest(server) == b"abc"
    server.send(b"defg")
    server.close()
    assert rest(client) == b"defg"


def test_connections_are_counted(line: Line) -> None:
    assert line.proxy.connections == 0
    line.ends()
    line.ends()
    assert line.proxy.connections == 2


def test_large_data_pass_unchanged(line: Line) -> None:
    client, server = line.ends()
    data = bytes(range(256)) * 1000
    client.socket.setblocking(False)
    sent, received = 0, b""
    server.socket.setblocking(False)

    def pump() -> bool:
        nonlocal sent, received
        try:
            sent += client.socket.send(data[sent:])
        except BlockingIOError:
            pass
        try:
            received += server.socket.recv(1 << 16)
        except BlockingIOError:
            pass
        return len(received) == len(data)

    until(pump)
    assert received == data


def test_a_reset_passes(line: Line) -> None:
    client, server = line.ends()
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    assert is_reset(client)


def test_a_server_that_refuses_is_a_reset_for_the_client(line: Line) -> None:
    line.listening.close()
    with pytest.raises(ConnectionResetError):
        rest(line.dial())


def test_retarget_leads_new_connections_elsewhere(line: Line) -> None:
    client, server = line.ends()
    with socket.create_server((HOST, 0)) as other:
        line.proxy.retarget(other.getsockname()[1])
        second = line.dial()
        accepted, _ = other.accept()
        with accepted:
            second.send(b"x")
            assert accepted.recv(10) == b"x"
    client.send(b"y")
    assert server.socket.recv(10) == b"y"


def test_delay_holds_back_for_that_long(line: Line) -> None:
    client, server = line.ends()
    line.proxy.delay(0.05, "up")
    started = time.monotonic()
    client.send(b"a")
    assert server.socket.recv(10) == b"a"
    assert time.monotonic() - started >= 0.05
    line.proxy.delay(3600.0)
    client.send(b"b")
    line.proxy.clear()
    assert server.socket.recv(10) == b"b"


def test_rate_lets_no_more_pass(line: Line) -> None:
    client, server = line.ends()
    line.proxy.rate(20_000.0, "down")
    started = time.monotonic()
    server.send(bytes(2000))
    assert exactly(client, 2000) == bytes(2000)
    assert time.monotonic() - started >= 0.06  # the last slice need not be waited for


@pytest.mark.skipif(sys.platform != "linux", reason="segments are counted in Linux only")
@pytest.mark.parametrize(("size", "count"), [(1, 10), (4, 3)])
def test_split_makes_segments_of_that_size(line: Line, size: int, count: int) -> None:
    client, server = line.ends()
    line.proxy.split(size, "up")
    client.send(bytes(10))  # no more than may be under way in the beginning
    assert exactly(server, 10) == bytes(10)
    info = server.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    assert struct.unpack_from("=I", info, 152)[0] == count  # tcpi_data_segs_in


def fill(peer: Peer) -> int:
    """Send until no more is taken; return how much was."""
    peer.socket.setblocking(False)
    total = 0
    try:
        while True:
            total += peer.socket.send(bytes(4096))
    except BlockingIOError:
        peer.socket.settimeout(DEADLINE)
        return total


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_stall_lets_nothing_pass_and_the_sender_wait(line: Line, direction: str) -> None:
    client, server = line.ends()
    client.send(b"a")
    assert server.socket.recv(1) == b"a"
    line.proxy.stall(direction)  # type: ignore[arg-type]
    source, sink = (server, client) if direction == "down" else (client, server)
    total = fill(source)
    assert nothing_came(sink)
    if direction != "both":
        sink.send(b"other way")
        assert source.socket.recv(9) == b"other way"
    line.proxy.resume(direction)  # type: ignore[arg-type]
    assert exactly(sink, total) == bytes(total)


def test_stall_holds_for_new_connections(line: Line) -> None:
    line.proxy.stall()
    client, server = line.ends()
    client.send(b"a")
    fill(client)
    assert nothing_came(server)
    line.proxy.clear()
    assert server.socket.recv(1) == b"a"


def test_truncate_ends_both_ways_after_so_many_bytes(line: Line) -> None:
    client, server = line.ends()
    client.send(b"before")
    assert exactly(server, 6) == b"before"
    line.proxy.truncate(3, "up")
    client.send(b"abcdef")
    assert rest(server) == b"abc"
    assert rest(client) == b""


def test_truncate_holds_for_new_connections_and_may_be_at_once(line: Line) -> None:
    client, server = line.ends()
    line.proxy.truncate(0, "down")
    assert (rest(client), rest(server)) == (b"", b"")
    line.proxy.truncate(2, "down")
    client, server = line.ends()
    server.send(b"abc")
    assert rest(client) == b"ab"
    line.proxy.clear()
    client, server = line.ends()
    server.send(b"abc")
    assert exactly(client, 3) == b"abc"


@pytest.mark.parametrize("size", [1, 4, 100])
def test_corrupt_changes_one_byte_of_each_stream(line: Line, size: int) -> None:
    line.proxy.split(size)
    line.proxy.corrupt(4, "down")
    line.proxy.corrupt(5, "up", 0x80)
    for _ in range(2):
        client, server = line.ends()
        server.send(b"aaaaaaaa")
        client.send(b"aaaaaaaa")
        assert exactly(client, 8) == b"aaaa`aaa"
        assert exactly(server, 8) == b"aaaaa\xe1aa"


def test_flip_changes_the_next_byte(line: Line) -> None:
    client, server = line.ends()
    client.send(b"aa")
    assert exactly(server, 2) == b"aa"
    line.proxy.flip("up", 0x02)
    client.send(b"aa")
    assert exactly(server, 2) == b"ca"


def test_half_close_ends_one_direction(line: Line) -> None:
    client, server = line.ends()
    line.proxy.half_close("up")
    assert rest(server) == b""
    client.send(b"dropped")
    server.send(b"goes on")
    assert exactly(client, 7) == b"goes on"


@pytest.mark.parametrize("strike", [FaultProxy.reset, FaultProxy.cut])
def test_reset_is_one_for_both_sides(line: Line, strike: Callable[[FaultProxy], None]) -> None:
    pairs = [line.ends(), line.ends()]
    strike(line.proxy)
    assert all(is_reset(end) for pair in pairs for end in pair)


def test_a_connection_is_reset_in_the_very_moment_in_which_it_is_accepted(line: Line) -> None:
    ends = []

    def strike() -> Awaitable[None]:
        ends.append(line.dial())
        line.proxy._accept()
        return line.proxy._reset()

    line.proxy._do(strike)
    assert is_reset(ends[0])


def test_reset_spares_later_connections(line: Line) -> None:
    line.ends()
    line.proxy.reset()
    client, server = line.ends()
    client.send(b"a")
    assert server.socket.recv(1) == b"a"


@pytest.mark.parametrize("mend", [FaultProxy.mend, FaultProxy.clear])
def test_cut_refuses_until_it_is_mended(line: Line, mend: Callable[[FaultProxy], None]) -> None:
    line.proxy.cut()
    with pytest.raises(ConnectionRefusedError):
        line.dial()
    assert line.proxy.connections == 0
    mend(line.proxy)
    client, server = line.ends()
    client.send(b"a")
    assert server.socket.recv(1) == b"a"


def test_mend_without_a_cut_is_harmless(line: Line) -> None:
    line.proxy.mend()
    line.ends()


def test_leaving_ends_what_is_under_way() -> None:
    with socket.create_server((HOST, 0)) as listening:
        with FaultProxy(listening.getsockname()[1]) as proxy:
            client = Peer(socket.create_connection((HOST, proxy.port), DEADLINE))
            server = Peer(listening.accept()[0])
            proxy.stall()
            client.send(b"a")
        assert is_reset(client)
        assert is_reset(server)
        client.close()
        server.close()
