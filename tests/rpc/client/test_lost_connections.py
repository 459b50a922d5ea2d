"""A lost connection is one class, whichever call notices it, and says what to do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, ConnectionLost
from support.peers import (
    DEADLINE,
    GREETING,
    HOST,
    Peer,
    connection_of,
    handshake,
    rpc_server,
    scripted_server,
)


def error_of(call: Callable[[], Any]) -> ConnectionLost:
    with pytest.raises(ConnectionLost) as caught:
        call()
    assert type(caught.value) is ConnectionLost
    return caught.value


async def later_error_of(call: Awaitable[Any]) -> ConnectionLost:
    with pytest.raises(ConnectionLost) as caught:
        await call
    assert type(caught.value) is ConnectionLost
    return caught.value


def hang_up_in_a_call(peer: Peer) -> None:
    handshake(peer)
    peer.line()


def say_what_it_must_not(peer: Peer) -> None:
    handshake(peer)
    peer.line()
    peer.send(b'{"status":"ok","ret":1}\n{"status":"ok","ret":2}\n')
    peer.line()


def test_a_call_a_later_one_and_a_listing_of_the_blocking_client() -> None:
    with scripted_server(hang_up_in_a_call) as port, Client(HOST, port) as client:
        where = f"{HOST} port {port}"
        first, second = error_of(client.f), error_of(client.g)
        listing = error_of(client.get_rpc_method_list)
        assert first.sent
        assert not second.sent
        assert not listing.sent
        closed = f"the other side closed the connection to {where} before a full line"
        advice = " (make a new `Client`, or use `Client(…, reconnect=…)`)"
        assert str(first) == f"call of `test.f`: {closed}{advice}"
        earlier = f"the connection to {where} was closed by the other side earlier"
        assert str(second) == f"call of `test.g`: {earlier}{advice}"
        assert str(listing) == f"listing the methods: {earlier}{advice}"


class Counting:
    def items(self) -> Iterator[int]:
        yield from range(1000)


def test_a_generator_that_has_begun_was_sent_whatever_has_noticed_the_end() -> None:
    with rpc_server({"t": Counting()}) as port:
        client = Client(HOST, port)
        items = client.items()
    with client:
        error_of(client.get_rpc_method_list)
        assert error_of(lambda: list(items)).sent


def test_a_request_that_was_not_sent_says_nothing_of_older_servers() -> None:
    async def use(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            asked = await later_error_of(client.get_rpc_status())
            again = await later_error_of(client.get_rpc_status())
            assert "A server of an older version" in asked.__notes__[0]
            assert not hasattr(again, "__notes__")

    with scripted_server(hang_up_in_a_call) as port:
        with Client(HOST, port) as client:
            assert "A server of an older version" in error_of(client.get_rpc_status).__notes__[0]
            assert not hasattr(error_of(client.get_rpc_status), "__notes__")
        asyncio.run(use(port))


def test_a_call_a_later_one_and_a_listing_of_the_asyncio_client() -> None:
    async def use(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            where = f"{HOST} port {port}"
            first = await later_error_of(client.f())
            second = await later_error_of(client.g())
            listing = await later_error_of(client.get_rpc_method_list())
            assert first.sent
            assert not second.sent
            assert not listing.sent
            closed = f"the other side closed the connection to {where} before a full line"
            advice = " (make a new `AsyncioClient`, or use `AsyncioClient(reconnect=…)`)"
            assert str(first) == f"{closed}{advice}"
            earlier = f"the connection to {where} was closed by the other side earlier"
            assert str(second) == str(listing) == f"{earlier}{advice}"

    with scripted_server(hang_up_in_a_call) as port:
        asyncio.run(use(port))


def test_a_server_that_breaks_the_rules_is_a_lost_connection() -> None:
    async def use(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            await client.f()
            assert "sent what it must not" in str(await later_error_of(client.g()))

    with scripted_server(say_what_it_must_not) as port:
        with Client(HOST, port) as client:
            assert client.f() == 1
            error = error_of(client.g)
            assert "sent what it must not" in str(error)
            assert str(error).endswith("use `Client(…, reconnect=…)`)")
        asyncio.run(use(port))


@pytest.mark.parametrize("greeting", [b"", GREETING])
def test_a_handshake_says_what_was_lost_and_gives_no_advice(greeting: bytes) -> None:
    async def use(port: int) -> ConnectionLost:
        return await later_error_of(AsyncioClient().connect_rpc(HOST, port))

    def play(peer: Peer) -> None:
        peer.line()
        if greeting:
            peer.send(greeting)
            peer.line()

    with scripted_server(play) as port:
        for error in (error_of(lambda: Client(HOST, port)), asyncio.run(use(port))):
            assert "the other side closed the connection" in str(error)
            assert "make a new" not in str(error)


def test_what_this_program_has_closed_is_lost_as_well_and_needs_no_advice() -> None:
    waiting = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        while peer.line():
            waiting.set()

    async def use(port: int) -> None:
        client = AsyncioClient()
        await client.connect_rpc(HOST, port)
        call = asyncio.create_task(client.f())
        await asyncio.sleep(0)
        await client.close_rpc()
        text = f"the connection to {HOST} port {port} was closed by this program"
        assert str(await later_error_of(call)) == text
        assert str(await later_error_of(client.f())) == text

    with scripted_server(play) as port:
        client = Client(HOST, port)
        errors: list[ConnectionLost] = []
        thread = threading.Thread(target=lambda: errors.append(error_of(client.f)))
        thread.start()
        assert waiting.wait(DEADLINE)
        client.close_rpc()
        thread.join(DEADLINE)
        errors.append(error_of(client.f))
        text = f"call of `test.f`: the connection to {HOST} port {port} was closed by this program"
        assert [str(error) for error in errors] == [text, text]
        asyncio.run(use(port))


def test_what_a_timeout_leaves_behind_says_what_to_do() -> None:
    """A request that was sent in part: the next call finds the connection closed."""

    def play(peer: Peer) -> None:
        handshake(peer)
        release.wait(DEADLINE)

    release = threading.Event()
    with scripted_server(play) as port, Client(HOST, port, timeout=0.2) as client:
        with pytest.raises(TimeoutError):
            client.f("x" * 16_000_000)  # more than two buffers take
        error = error_of(client.g)
        release.set()
        assert "a request was sent in part (make a new `Client`" in str(error)


def test_a_best_effort_client_warns_without_that_advice(caplog: pytest.LogCaptureFixture) -> None:
    with scripted_server(hang_up_in_a_call) as port:
        with BestEffortClient(HOST, port, "test", DEADLINE, retry=1000) as client:
            assert client.f() is None
    assert "reconnecting in the background" in caplog.text
    assert "make a new" not in caplog.text


def test_an_error_of_the_system_that_ends_a_connection_is_one_of_them() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.line()

    class Unreachable(socket.socket):
        def recv_into(self, *arguments: Any) -> int:
            raise OSError(113, "No route to host")

    with scripted_server(play) as port, Client(HOST, port) as client:
        transport = connection_of(client).transport
        transport._socket = Unreachable(fileno=transport._socket.detach())
        error = error_of(client.f)
    assert "was lost: [Errno 113] No route to host" in str(error)
    assert isinstance(error.__cause__, OSError)
