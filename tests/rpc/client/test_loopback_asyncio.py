"""The asyncio client over loopback: many tasks, cancellation, and every way to close."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import socket
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    AutoTarget,
    ConnectionLost,
    IncompatibleServer,
    call_timeout,
)
from support.gates import GatedTarget
from support.peers import (
    DEADLINE,
    GREETING,
    HOST,
    METHODS,
    Peer,
    handshake,
    rpc_server,
    scripted_server,
)

pytestmark = pytest.mark.usefixtures("either_protocol")


class Target(GatedTarget):
    """A target."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def echo(self, x: Any = None) -> Any:
        """Return the argument."""
        self.calls.append(x)
        return x

    def time_out(self) -> None:
        raise TimeoutError("the device took too long")

    def end(self) -> None:
        raise EOFError("end of the tape")


@contextlib.contextmanager
def nothing_unclosed() -> Iterator[None]:
    """Fail on anything that warns, also when it is collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


# --- calls -----------------------------------------------------------------------------------


def test_calls_are_sent_before_the_first_is_answered_and_replies_keep_their_order() -> None:
    count = 200

    def play(peer: Peer) -> None:
        handshake(peer)
        requests = [peer.line() for _ in range(count)]
        replies = b""
        for number, request in enumerate(requests):
            assert request == (
                b'{"action":"call","name":"f","args":{"__jsonclass__":["tuple",[[%d]]]},'
                b'"kwargs":{}}\n' % number
            )
            replies += b'{"status":"ok","ret":%d}\n' % number
        for start in range(0, len(replies), 7):  # in pieces that know nothing of lines
            peer.send(replies[start : start + 7])
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            assert await asyncio.gather(*(client.f(i) for i in range(count))) == list(range(count))

    with scripted_server(play) as port:
        asyncio.run(main(port))


def test_a_cancelled_call_keeps_its_place_in_the_queue() -> None:
    cancelled = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        for _ in range(3):
            peer.line()
        assert cancelled.wait(DEADLINE)
        peer.send(b'{"status":"ok","ret":"one"}\n{"status":"ok","ret":"two"}\n')
        peer.send(b'{"status":"failed","exception":{"class":"ValueError","message":"three",')
        peer.send(b'"traceback":[]}}\n')
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            one, two, three = (asyncio.create_task(client.f()) for _ in range(3))
            await asyncio.sleep(0)
            two.cancel()
            with pytest.raises(asyncio.CancelledError):
                await two
            cancelled.set()
            assert await one == "one"
            with pytest.raises(ValueError, match=r"^three$"):
                await three

    with scripted_server(play) as port:
        asyncio.run(main(port))


def test_a_cancelled_call_that_fails_later_bothers_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.line()

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(TimeoutError), call_timeout(client, 0.02):
                await client.f()
            with pytest.raises(EOFError):
                await client.f()

    with scripted_server(play) as port, nothing_unclosed():
        asyncio.run(main(port))
    assert caplog.text == ""


def test_timeouts_of_one_task_do_not_reach_the_others() -> None:
    target = Target()

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            patient = asyncio.create_task(client.wait())
            await asyncio.sleep(0)
            with call_timeout(client, 0.02):
                with pytest.raises(TimeoutError, match=rf"`t\.wait` on {HOST} port {port}"):
                    await client.wait()
            target.released.set()
            assert await patient == "waited"
            assert await client.echo(1) == 1

    with rpc_server({"t": target}, allow_parallel=True) as port:
        asyncio.run(main(port))


def test_errors_of_the_method_are_not_taken_for_errors_of_the_connection() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(TimeoutError, match=r"^the device took too long\n"):
                await client.time_out()
            with pytest.raises(EOFError, match=r"^end of the tape\n"):
                await client.end()
            with call_timeout(client, DEADLINE), pytest.raises(TimeoutError, match="device"):
                await client.time_out()
            assert await client.echo(1) == 1

    with rpc_server({"t": Target()}) as port:
        asyncio.run(main(port))


def test_arguments_that_cannot_be_sent_leave_the_connection_as_it_was() -> None:
    target = Target()

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            calls = [client.echo(1), client.echo(object()), client.echo(2)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert [found[0], type(found[1]), found[2]] == [1, TypeError, 2]
        assert target.calls == [1, 2]

    with rpc_server({"t": target}) as port:
        asyncio.run(main(port))


def test_a_large_call_and_small_ones_at_the_same_time() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            big = "x" * 5_000_000
            calls = [client.echo(big if i % 4 == 0 else i) for i in range(12)]
            found = await asyncio.gather(*calls)
            assert [len(x) if isinstance(x, str) else x for x in found] == [
                5_000_000 if i % 4 == 0 else i for i in range(12)
            ]

    with rpc_server({"t": Target()}) as port:
        asyncio.run(main(port))


def test_the_method_list_can_be_asked_for_between_calls() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            one, listing, two = await asyncio.gather(
                client.echo(1), client.get_rpc_method_list(), client.echo(2)
            )
            assert (one, two) == (1, 2)
            assert listing["docstring"] == "A target."
            assert listing["methods"]["echo"][1] == "Return the argument."
            assert set(listing["methods"]) == {"block", "echo", "wait", "time_out", "end"}
            assert client.echo.__doc__ == "Return the argument."

    with rpc_server({"t": Target()}) as port:
        asyncio.run(main(port))


# --- connecting ------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", GREETING, GREETING + METHODS[:10]])
def test_connecting_can_be_cancelled_and_tried_again(said: bytes) -> None:
    attempts = 0
    waiting = threading.Event()

    def play(peer: Peer) -> None:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            handshake(peer)
            peer.line()
            peer.send(b'{"status":"ok","ret":1}\n')
            assert peer.line() == b""
            return
        assert peer.line() == b"ARTIQ pc_rpc\n"
        peer.send(said)
        if said:
            assert peer.line() == b"test pyon_v2\n"
        waiting.set()
        assert peer.line() == b""

    async def main(port: int) -> None:
        client = AsyncioClient()
        task = asyncio.create_task(client.connect_rpc(HOST, port))
        assert await asyncio.to_thread(waiting.wait, DEADLINE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.connect_rpc(HOST, port)
        assert await client.f() == 1
        with pytest.raises(RuntimeError, match="already connected"):
            await client.connect_rpc(HOST, port)
        await client.close_rpc()

    with nothing_unclosed(), scripted_server(play) as port:
        asyncio.run(main(port))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", EOFError),
        (b'{"targets":["test"]', EOFError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", IncompatibleServer),
        (b'{"targets":[],"description":null}\n', IncompatibleServer),
        (b'{"targets":["other"],"description":null}\n', IncompatibleServer),
    ],
)
def test_a_handshake_that_fails_leaves_nothing_open(said: bytes, error: type) -> None:
    def play(peer: Peer) -> None:
        assert peer.line() == b"ARTIQ pc_rpc\n"
        peer.send(said)

    async def main(port: int) -> None:
        client = AsyncioClient()
        with pytest.raises(error) as caught:
            await client.connect_rpc(HOST, port, "test")
        assert str(caught.value)
        with pytest.raises(ConnectionError, match="not connected"):
            client.get_rpc_id()
        await client.close_rpc()

    with nothing_unclosed(), scripted_server(play) as port:
        asyncio.run(main(port))


def test_methods_before_connecting_and_selecting() -> None:
    async def main(port: int) -> None:
        client = AsyncioClient()
        with pytest.raises(AttributeError, match="not connected"):
            client.echo
        await client.connect_rpc(HOST, port, None)
        assert client.get_rpc_id() == (["a", "b"], "two")
        assert client.get_selected_target() is None
        assert client.get_local_host() == HOST
        with pytest.raises(AttributeError, match="echo"):
            client.echo
        with pytest.raises(ValueError, match="Server has multiple targets: a b"):
            await client.select_rpc_target(AutoTarget)
        with pytest.raises(IncompatibleServer, match="no target `c`"):
            await client.select_rpc_target("c")
        await client.select_rpc_target("b")
        assert client.get_selected_target() == "b"
        assert await client.echo(5) == 5
        await client.close_rpc()

    with rpc_server({"a": Target(), "b": Target()}, description="two") as port:
        asyncio.run(main(port))


# --- closing ---------------------------------------------------------------------------------


def connect_in(loop: asyncio.AbstractEventLoop, port: int) -> AsyncioClient:
    client = AsyncioClient()
    loop.run_until_complete(client.connect_rpc(HOST, port, "test"))
    return client


def play_until_closed(ended: threading.Event) -> Callable[[Peer], None]:
    def play(peer: Peer) -> None:
        handshake(peer)
        with contextlib.suppress(ConnectionResetError):
            while peer.line():
                pass
        ended.set()

    return play


def way_await(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    async def close() -> None:
        await client.close_rpc()

    loop.run_until_complete(close())


def way_run_until_complete(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    loop.run_until_complete(client.close_rpc())


def way_create_task(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    async def close() -> None:
        await asyncio.create_task(client.close_rpc())

    loop.run_until_complete(close())


def way_gather(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    async def close() -> None:
        await asyncio.gather(client.close_rpc(), client.close_rpc())

    loop.run_until_complete(close())


def way_wait_for(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    async def close() -> None:
        await asyncio.wait_for(client.close_rpc(), DEADLINE)

    loop.run_until_complete(close())


def way_dropped_inside(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    async def close() -> None:
        client.close_rpc()

    loop.run_until_complete(close())


def way_dropped_outside(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    client.close_rpc()


def way_after_the_loop(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    loop.close()
    client.close_rpc()


def way_asyncio_run(loop: asyncio.AbstractEventLoop, client: AsyncioClient) -> None:
    loop.close()
    asyncio.run(client.close_rpc())


WAYS = [
    way_await,
    way_run_until_complete,
    way_create_task,
    way_gather,
    way_wait_for,
    way_dropped_inside,
    way_dropped_outside,
    way_after_the_loop,
    way_asyncio_run,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_close_rpc_can_be_called_in_every_way(way: Callable[..., None]) -> None:
    ended = threading.Event()
    with scripted_server(play_until_closed(ended)) as port, nothing_unclosed():
        loop = asyncio.new_event_loop()
        client = connect_in(loop, port)
        way(loop, client)
        if loop.is_closed() or way is way_dropped_outside:
            # Dropped, it is closed then: not when the loop runs again, or never.
            assert ended.wait(DEADLINE)
        if not loop.is_closed():
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert ended.wait(DEADLINE)
        client.close_rpc()  # never raises, however often, whatever the loop
        del client, loop


def test_close_rpc_and_then_closing_the_loop_leaves_nothing() -> None:
    # The end of many an old program: no turn of the loop between these two.
    ended = threading.Event()
    with scripted_server(play_until_closed(ended)) as port, nothing_unclosed():
        loop = asyncio.new_event_loop()
        client = connect_in(loop, port)
        client.close_rpc()
        loop.close()
        del client, loop
        gc.collect()
        assert ended.wait(DEADLINE)


def test_what_close_rpc_returns_is_a_coroutine() -> None:
    with rpc_server({"t": Target()}) as port, nothing_unclosed():

        async def main() -> None:
            client = AsyncioClient()
            assert isinstance(client.close_rpc(), collections.abc.Coroutine)
            await client.close_rpc()
            await client.connect_rpc(HOST, port)
            closing = client.close_rpc()
            assert isinstance(closing, collections.abc.Coroutine)
            assert await client.echo(1) == 1  # not at the call
            await closing
            with pytest.raises(ConnectionError, match="closed by this program"):
                await client.echo(1)
            closing.close()

        asyncio.run(main())


def test_close_rpc_ends_the_calls_that_wait() -> None:
    target = Target()

    async def main(port: int) -> None:
        client = AsyncioClient()
        await client.connect_rpc(HOST, port)
        calls = [asyncio.create_task(client.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        await client.close_rpc()
        for call in calls:
            with pytest.raises(ConnectionError, match="closed by this program"):
                await call
        target.released.set()

    with rpc_server({"t": target}) as port:
        asyncio.run(main(port))


def test_close_rpc_is_bounded_with_a_peer_that_never_reads() -> None:
    over = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        assert over.wait(DEADLINE)

    async def main(port: int) -> None:
        client = AsyncioClient()
        await client.connect_rpc(HOST, port)
        call = asyncio.create_task(client.f("x" * 30_000_000))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(client.f())  # which must wait until that was sent
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            await client.close_rpc()
        for task in (call, waiting):
            with pytest.raises(ConnectionError):
                await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with scripted_server(play) as port, nothing_unclosed():
        asyncio.run(main(port))
        over.set()


def test_close_rpc_from_another_task_while_connecting() -> None:
    waiting = threading.Event()

    def play(peer: Peer) -> None:
        peer.line()
        waiting.set()
        assert peer.line() == b""

    async def main(port: int) -> None:
        client = AsyncioClient()
        task = asyncio.create_task(client.connect_rpc(HOST, port))
        assert await asyncio.to_thread(waiting.wait, DEADLINE)
        await client.close_rpc()  # there is nothing to close yet, and no harm in it
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE)
        assert task.done()
        with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
            await task

    with scripted_server(play) as port, nothing_unclosed():
        asyncio.run(main(port))


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_server_that_goes_away_ends_all_calls(reset: bool) -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        for _ in range(3):
            peer.line()
        if reset:
            linger = b"\x01\0\0\0\0\0\0\0"
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            calls = [asyncio.ensure_future(client.f()) for _ in range(3)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(error) for error in found] == [ConnectionLost] * 3
            assert all(f"{HOST} port {port}" in str(error) for error in found)

    with scripted_server(play) as port, nothing_unclosed():
        asyncio.run(main(port))


def test_context_managers_close_after_an_error() -> None:
    ended = threading.Event()

    async def main(port: int) -> None:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with AsyncioClient() as client:
                await client.connect_rpc(HOST, port)
                _ = 1 / 0

    with scripted_server(play_until_closed(ended)) as port, nothing_unclosed():
        asyncio.run(main(port))
        assert ended.wait(DEADLINE)


def test_methods_are_coroutine_functions() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            call: Awaitable[Any] = client.echo(1)
            assert asyncio.iscoroutine(call)
            task = asyncio.create_task(call)
            assert await task == 1
            assert await asyncio.wait_for(client.echo(2), DEADLINE) == 2

    with rpc_server({"t": Target()}) as port:
        asyncio.run(main(port))


def test_a_client_tells_what_it_lacks() -> None:
    async def main(port: int) -> None:
        client = AsyncioClient()
        assert repr(client) == "<AsyncioClient, not connected>"
        assert not hasattr(client, "__len__")
        await client.connect_rpc(HOST, port, None)
        with pytest.raises(ValueError, match="no target is selected; see `select_rpc_target`"):
            await client.get_rpc_method_list()
        await client.close_rpc()

    with rpc_server({"t": object()}) as port:
        asyncio.run(main(port))


def test_a_listing_that_makes_no_sense_does_not_spoil_the_methods() -> None:
    member = b'{"__jsonclass__":["tuple",[[{"args":["a"],"defaults":[1,2]},"A doc."]]]}'
    listing = b'{"docstring":null,"methods":{"f":' + member + b"}}"

    def play(peer: Peer) -> None:
        handshake(peer)
        assert b"get_rpc_method_list" in peer.line()
        peer.send(b'{"status":"ok","ret":' + listing + b"}\n")
        assert b"call" in peer.line()
        peer.send(b'{"status":"ok","ret":1}\n')
        peer.line()

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, "test")
            await client.get_rpc_method_list()
            assert str(inspect.signature(client.f)) == "(*args, **kwargs)"
            assert client.f.__doc__ == "A doc."
            assert await client.f() == 1

    with scripted_server(play) as port:
        asyncio.run(main(port))


def test_connecting_that_takes_too_long_is_a_timeout_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def sock_connect(*args: Any, **kwargs: Any) -> Any:
            raise TimeoutError(110, "Connect call failed ('127.0.0.1', 1)")

        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        said = f"Connection timed out: could not connect to {HOST} port 1"
        with pytest.raises(TimeoutError, match=said):
            await AsyncioClient().connect_rpc(HOST, 1, "test")

    asyncio.run(main())
