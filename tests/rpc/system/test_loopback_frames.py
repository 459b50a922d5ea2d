"""Frames over loopback: arrays, calls side by side, cancelling, and slow or broken peers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, Client, GenericRemoteException, Server, call_timeout
from sipyco_rpc.support.memory import MIB
from sipyco_rpc.wire.lines import LineTooLong
from support.certificates import paths_of
from support.gates import GatedTarget
from support.peers import DEADLINE, HOST, Peer, connected, rpc_server, running_server, until
from support.transports import secured


class Target(GatedTarget):
    """Methods that wait for what the test does."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Any] = []  # what was called and how it ended
        self.kept: Any = None

    def note(self, x: Any) -> Any:
        self.log.append(x)
        return x

    async def wait(self, x: Any = None) -> Any:
        """Wait in the loop until it is released."""
        self.log.append(("begun", x))
        self.entered.set()
        try:
            while not self.released.is_set():
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            self.log.append(("cancelled", x))
            raise
        self.log.append(("ended", x))
        return x

    def block(self, x: Any = None) -> Any:
        """Wait in a thread until it is released."""
        self.log.append(("begun", x))
        self._enter()
        self.log.append(("ended", x))
        return x

    def coroutine(self) -> Any:
        """Block in a thread, and give what is to be awaited in the loop."""
        self._enter()
        return self.wait()

    def big(self, size: int) -> bytes:
        self.log.append(size)
        return b"\xff" * size

    def keep(self, x: Any) -> None:
        self.kept = x


@contextlib.asynccontextmanager
async def connected_client(port: int, **options: Any) -> AsyncIterator[AsyncioClient]:
    async with asyncio.timeout(DEADLINE), AsyncioClient() as client:
        await client.connect_rpc(HOST, port, **options)
        yield client


async def comes_true(condition: Callable[[], Any]) -> None:
    """Wait until something holds that no event tells of; fail after the deadline."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.002)


@contextlib.contextmanager
def serving(target: Any, tls: bool = False, **options: Any) -> Iterator[int]:
    """Run a server that offers frames; give its port."""
    certificates = certificates_of_server(tls)
    with running_server(lambda: Server({"t": target}, **options), **certificates) as port:
        yield port


def certificates_of_server(tls: bool) -> dict[str, Any]:
    return paths_of("server", "client") if tls else {}


def certificates_of_client(tls: bool) -> dict[str, Any]:
    return paths_of("client", "server") if tls else {}


# --- a client as bytes -----------------------------------------------------------------------


def selected(peer: Peer) -> None:
    """Play the client's side up to the first call."""
    peer.send(b"ARTIQ pc_rpc\nt pyon_v2 frames\n")
    assert b'"frames"' in peer.line()
    number, text, _ = frame(peer)
    assert number == 0
    assert b'"echo"' in text


def frame(peer: Peer) -> tuple[int, bytes, list[bytes]]:
    """Wait for a frame."""
    header = peer.line()
    assert header[:1] == b"#", header
    number, *lengths = map(int, header[1:].split())
    text, *buffers = [peer._file.read(length) for length in lengths]
    return number, text, buffers


def request(number: int, text: bytes) -> bytes:
    return b"#%d %d\n%b" % (number, len(text), text)


def call(number: int, name: bytes, arguments: bytes = b"[]") -> bytes:
    text = b'{"action":"call","name":"%b","args":%b,"kwargs":{}}' % (name, arguments)
    return request(number, text)


CANCELLED = b'"message":"asyncio.exceptions.CancelledError"'


def test_a_conversation_as_bytes() -> None:
    with serving(Target()) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\nt pyon_v2 frames\n")
        assert (
            peer.line()
            == b'{"targets":["t"],"description":null,"features":["pyon_v2","frames"]}\n'
        )
        number, text, _ = frame(peer)
        assert (number, text[:25]) == (0, b'{"__jsonclass__":["set",[')
        peer.send(b'#17 56\n{"action":"call","name":"echo","args":[[1]],"kwargs":{}}')
        assert frame(peer) == (17, b'{"status":"ok","ret":[1]}', [])
        peer.send(b'#18 56\n{"action":"call","name":"big","args":[1024],"kwargs":{}}')
        assert frame(peer) == (
            18,
            b'{"status":"ok","ret":{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[0]]}]]}}',
            [b"\xff" * 1024],
        )


def test_requests_may_be_sent_with_the_selection() -> None:
    with serving(Target()) as port, connected(port) as peer:
        peer.send(
            b"ARTIQ pc_rpc\nt pyon_v2 frames\n"
            + call(5, b"echo", b"[1]")
            + call(6, b"echo", b"[2]")
        )
        peer.line()
        assert frame(peer)[0] == 0
        assert frame(peer) == (5, b'{"status":"ok","ret":1}', [])
        assert frame(peer) == (6, b'{"status":"ok","ret":2}', [])


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b'{"action":"get_rpc_method_list"}\n', "expected a frame, got '{"),
        (b"#1 -5\n", "expected a frame, got '#1 -5"),
        (b"\x16\x03\x01", "expected a frame"),
        (b"#1 1" + b" 1" * 4097 + b"\n", "at most 4096 buffers"),
        (b"#" + b"1" * 100_000, "expected a frame, got '#1"),
    ],
)
def test_garbage_ends_the_connection_with_a_reason(
    garbage: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Target()) as port, connected(port) as peer, Client(HOST, port) as other:
        selected(peer)
        peer.send(call(1, b"echo", b"[1]"))
        assert frame(peer)[0] == 1
        peer.send(garbage)
        with contextlib.suppress(ConnectionError):  # with unread bytes it is a reset
            assert peer.line() == b""
        assert other.echo(1) == 1
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().startswith(f"closing the connection from {HOST} port ")
    assert reason in record.getMessage()


@pytest.mark.parametrize(
    "second",
    [
        call(7, b"echo"),
        request(7, b'{"action":"get_rpc_method_list"}'),
        request(7, b'{"action":"next","n":-1}'),
        request(7, b"nonsense"),
    ],
)
def test_a_number_that_is_under_way_ends_the_connection(
    second: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    target = Target()
    with serving(target, allow_parallel=True) as port, connected(port) as peer:
        selected(peer)
        peer.send(call(7, b"wait"))
        assert target.entered.wait(DEADLINE)
        peer.send(second)
        assert peer.line() == b""
        target.released.set()
    assert "number 7" in caplog.text


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{bad", b"not PYON v2"),
        (b"[]", b"a request is a dictionary"),
        (b'{"action":"stop"}', b"unknown action"),
        (b'{"action":"next"}', b"`next` needs `n`"),
        (b'{"action":"call","name":"nosuch","args":[],"kwargs":{}}', b"nosuch"),
        (
            b'{"action":"call","name":"echo","args":[{"__jsonclass__":["buffer",[0]]}],"kwargs":{}}',
            b"buffer",
        ),
        (b"\xff\xfe", b"not"),
    ],
)
def test_a_bad_request_is_answered_and_the_connection_goes_on(bad: bytes, reason: bytes) -> None:
    with serving(Target()) as port, connected(port) as peer:
        selected(peer)
        peer.send(request(3, bad) + call(4, b"echo", b"[1]"))
        number, text, _ = frame(peer)
        assert number == 3
        assert text.startswith(b'{"status":"failed"')
        assert reason in text
        assert frame(peer) == (4, b'{"status":"ok","ret":1}', [])


def test_cancelling_or_going_on_with_what_is_not_running_is_ignored() -> None:
    with serving(Target()) as port, connected(port) as peer:
        selected(peer)
        peer.send(request(3, b'{"action":"cancel"}') + request(3, b'{"action":"next","n":1}'))
        peer.send(call(3, b"echo", b"[1]") + request(3, b'{"action":"cancel"}'))
        assert frame(peer) == (3, b'{"status":"ok","ret":1}', [])
        peer.send(call(3, b"echo", b"[2]"))  # the number is free again
        assert frame(peer) == (3, b'{"status":"ok","ret":2}', [])


def test_a_cancelled_call_has_one_answer() -> None:
    target = Target()
    with serving(target) as port, connected(port) as peer:
        selected(peer)
        peer.send(call(1, b"wait") + call(2, b"note", b"[2]") + call(3, b"note", b"[3]"))
        assert target.entered.wait(DEADLINE)
        peer.send(request(2, b'{"action":"cancel"}') * 2)  # it waits for its turn
        number, text, _ = frame(peer)
        assert number == 2
        assert CANCELLED in text
        assert b'"class":"GenericRemoteException"' in text
        peer.send(request(1, b'{"action":"cancel"}') * 2)
        number, text, _ = frame(peer)
        assert number == 1
        assert CANCELLED in text
        assert frame(peer) == (3, b'{"status":"ok","ret":3}', [])
        peer.send(call(4, b"echo", b"[4]"))
        assert frame(peer) == (4, b'{"status":"ok","ret":4}', [])
    assert target.log == [("begun", None), ("cancelled", None), 3]


def test_a_client_that_half_closes_gets_its_answers() -> None:
    target = Target()
    with serving(target, allow_parallel=True) as port, connected(port) as peer:
        selected(peer)
        peer.send(call(1, b"wait") + call(2, b"echo", b"[2]") + call(3, b"big", b"[5000000]"))
        peer.socket.shutdown(socket.SHUT_WR)
        assert frame(peer) == (2, b'{"status":"ok","ret":2}', [])
        assert frame(peer)[2] == [b"\xff" * 5_000_000]
        target.released.set()
        assert frame(peer) == (1, b'{"status":"ok","ret":null}', [])
        assert peer.line() == b""


def test_a_client_that_half_closes_while_a_generator_waits_is_not_kept_for_ever() -> None:
    ended = threading.Event()

    class Gives(Target):
        def numbers(self) -> Iterator[int]:
            try:
                yield from range(10)
            finally:
                ended.set()

    with serving(Gives()) as port, connected(port) as peer:
        selected(peer)
        peer.send(call(1, b"numbers") + request(1, b'{"action":"next","n":2}'))
        peer.socket.shutdown(socket.SHUT_WR)
        assert frame(peer) == (1, b'{"status":"stream"}', [])
        assert frame(peer) == (1, b'{"status":"item","ret":0}', [])
        assert frame(peer) == (1, b'{"status":"item","ret":1}', [])
        assert CANCELLED in frame(peer)[1]  # nobody can ask for more
        assert peer.line() == b""
        assert ended.wait(DEADLINE)


# --- arrays ----------------------------------------------------------------------------------


def arrays() -> list[Any]:
    numpy = pytest.importorskip("numpy")
    numbers = numpy.arange(3000)
    found = [
        numbers.astype(dtype).reshape(shape)
        for dtype in ("<f8", ">f8", "<i4", ">u2", "c16", "f4", "?", "u1")
        for shape in ((3000,), (30, 100), (10, 1, 300))
    ]
    found += [
        numpy.zeros(0),
        numpy.zeros((3, 0, 2)),
        numpy.array(5.0),
        numpy.arange(3),
        numbers[::3],
        numbers.reshape(30, 100).T,
        numpy.asfortranarray(numbers.reshape(30, 100)),
        numpy.broadcast_to(numpy.arange(1000.0), (3, 1000)),
        numpy.arange(1_000_000.0),
    ]
    return found


def assert_same_array(got: Any, sent: Any) -> None:
    assert got.dtype == sent.dtype
    assert got.shape == sent.shape
    assert (got == sent).all()
    assert got.flags.writeable
    assert got.flags.c_contiguous
    assert got.flags.aligned
    got[...] = 0  # it shares nothing: see the next ones


@secured
def test_arrays_go_up_and_down(tls: bool) -> None:
    target, sent = Target(), arrays()
    with serving(target, tls) as port:
        with Client(HOST, port, **certificates_of_client(tls)) as client:
            for array in sent:
                before = array.copy()
                assert_same_array(client.echo(array), before)
                assert (array == before).all()
            for array, got in zip(sent, client.echo([sent, 1])[0], strict=True):
                assert_same_array(got, array)
            for array in sent:
                client.keep(array)
                assert_same_array(target.kept, array)

        async def main() -> None:
            async with connected_client(port, **certificates_of_client(tls)) as client:
                for array in sent:
                    assert_same_array(await client.echo(array), array)
                replies = await asyncio.gather(*(client.echo(array) for array in sent))
                for array, got in zip(sent, replies, strict=True):
                    assert_same_array(got, array)

        asyncio.run(main())


def test_an_array_of_more_buffers_than_a_frame_may_have() -> None:
    numpy = pytest.importorskip("numpy")
    sent = [numpy.full(128, k) for k in range(5000)]
    with serving(Target()) as port, Client(HOST, port) as client:
        for array, got in zip(sent, client.echo(sent), strict=True):
            assert_same_array(got, array)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 65_536, MIB, 5 * MIB + 1])
@secured
def test_bytes_of_any_size(size: int, tls: bool) -> None:
    sent = bytes(range(256)) * (size // 256) + b"\n" * (size % 256)
    with serving(Target(), tls) as port:
        with Client(HOST, port, **certificates_of_client(tls)) as client:
            got = client.echo(sent)
            assert type(got) is bytes
            assert got == sent
            assert client.echo(x={"a": [sent, "text", sent]}) == {"a": [sent, "text", sent]}
            assert client.echo("µ" * size) == "µ" * size


@secured
def test_an_array_arrives_as_it_was_when_the_method_returned(tls: bool) -> None:
    numpy = pytest.importorskip("numpy")

    class Camera(Target):
        """Uses one array again and again."""

        def __init__(self) -> None:
            super().__init__()
            self.image = numpy.zeros(4_000_000, numpy.uint8)
            self.whole = numpy.zeros((2, 4_000_000), numpy.uint8)

        def expose(self, how: str) -> Any:
            loop = asyncio.get_running_loop()
            loop.call_soon(self.overwrite)
            self.image[:] = 1
            self.whole[:] = 1
            return {
                "itself": self.image,
                "view": self.image[:3_000_000],
                "reshaped": self.image.reshape(2000, 2000),
                "view of view": self.whole[1][5:],
                "memory": numpy.frombuffer(memoryview(self.image), numpy.uint8),
                "transposed": self.whole.T,
            }[how]

        def overwrite(self) -> None:
            self.image[:] = 2
            self.whole[:] = 2

    with serving(Camera(), tls) as port:
        with Client(HOST, port, **certificates_of_client(tls)) as client:
            ways = ["itself", "view", "reshaped", "view of view", "memory", "transposed"]
            for how in ways:
                assert (client.expose(how) == 1).all(), how
        with connected(port) if not tls else contextlib.nullcontext() as peer:
            if peer is None:
                return
            # A client that takes its time.
            selected(peer)
            for number, how in enumerate(ways):
                peer.send(call(number + 1, b"expose", b'["%b"]' % how.encode()))
            peer.send(call(99, b"note", b"[1]"))
            for _ in ways:
                assert frame(peer)[2][0].strip(b"\x01") == b""


@secured
def test_an_array_is_sent_as_it_was_when_the_asyncio_client_was_called(tls: bool) -> None:
    numpy = pytest.importorskip("numpy")

    async def main(port: int) -> None:
        async with connected_client(port, **certificates_of_client(tls)) as client:
            array = numpy.ones(20_000_000, numpy.uint8)
            sending = asyncio.create_task(client.keep(array))
            await asyncio.sleep(0)  # it has been called
            array[:] = 2
            await sending
            assert (target.kept == 1).all()
            small = numpy.ones(2000, numpy.uint8)
            tasks = [asyncio.create_task(client.echo(small)) for _ in range(3)]
            await asyncio.sleep(0)
            small[:] = 2
            for got in await asyncio.gather(*tasks):
                assert (got == 1).all()

    target = Target()
    with serving(target, tls) as port:
        asyncio.run(main(port))


# --- calls side by side ----------------------------------------------------------------------


def test_calls_that_may_run_side_by_side_are_answered_as_they_end() -> None:
    class Gates(Target):
        def __init__(self) -> None:
            super().__init__()
            self.gates: dict[int, asyncio.Event] = {}

        async def pass_gate(self, number: int) -> int:
            await self.gates.setdefault(number, asyncio.Event()).wait()
            self.log.append(number)
            return number

        def open_gate(self, number: int) -> None:
            self.gates.setdefault(number, asyncio.Event()).set()

    async def main(port: int) -> None:
        async with connected_client(port) as client:
            tasks = [asyncio.create_task(client.pass_gate(number)) for number in range(5)]
            await comes_true(lambda: len(target.gates) == 5)
            for number in (3, 1, 4, 0, 2):
                await client.open_gate(number)
                assert await tasks[number] == number
                assert not any(
                    tasks[other].done() for other in target.gates if other not in target.log
                )

    target = Gates()
    with serving(target, allow_parallel=True) as port:
        asyncio.run(main(port))
    assert target.log == [3, 1, 4, 0, 2]


@pytest.mark.parametrize("threaded", [False, True])
def test_without_allow_parallel_calls_take_turns_in_order(threaded: bool) -> None:
    class Steps(Target):
        running = 0

        async def step(self, number: int) -> int:
            self.running += 1
            assert self.running == 1
            for _ in range(3):
                await asyncio.sleep(0)
            self.running -= 1
            self.log.append(number)
            return number

    async def main(port: int) -> None:
        async with connected_client(port) as client, connected_client(port) as other:
            numbers = list(range(50))
            calls = [(client if k % 3 else other).step(k) for k in numbers]
            assert await asyncio.gather(*calls) == numbers
            target.log.clear()
            calls = [client.note(k) if k % 2 else client.step(k) for k in numbers]
            assert await asyncio.gather(*calls) == numbers
            if not threaded:
                assert target.log == numbers

    target = Steps()
    with serving(target, threaded=threaded) as port:
        asyncio.run(main(port))


def test_a_listing_does_not_wait_for_a_turn() -> None:
    async def main(port: int) -> None:
        async with connected_client(port) as client:
            waiting = asyncio.create_task(client.wait())
            await comes_true(target.entered.is_set)
            assert "wait" in (await client.get_rpc_method_list())["methods"]
            assert not waiting.done()
            target.released.set()
            await waiting

    target = Target()
    with serving(target) as port:
        asyncio.run(main(port))


# --- cancelling ------------------------------------------------------------------------------


def test_cancelling_a_task_cancels_the_coroutine_and_frees_the_turn() -> None:
    async def main(port: int) -> None:
        async with connected_client(port) as client:
            waiting = asyncio.create_task(client.wait(1))
            await comes_true(target.entered.is_set)
            next_call = asyncio.create_task(client.note(2))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await next_call == 2

    target = Target()
    with serving(target) as port:
        asyncio.run(main(port))
    assert target.log == [("begun", 1), ("cancelled", 1), 2]


@pytest.mark.parametrize("threaded", [False, True])
def test_a_call_that_is_cancelled_while_it_waits_for_its_turn_never_runs(threaded: bool) -> None:
    async def main(port: int) -> None:
        async with connected_client(port) as client:
            first = asyncio.create_task(client.block(1) if threaded else client.wait(1))
            await comes_true(target.entered.is_set)
            second, third = (asyncio.create_task(client.note(k)) for k in (2, 3))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            await client.get_rpc_method_list()  # so the server knows
            target.released.set()
            assert (await first, await third) == (1, 3)

    target = Target()
    with serving(target, threaded=threaded) as port:
        asyncio.run(main(port))
    assert target.log == [("begun", 1), ("ended", 1), 3]


def test_a_coroutine_that_does_not_want_to_be_cancelled_is_waited_for() -> None:
    class Stubborn(Target):
        async def resist(self) -> str:
            with contextlib.suppress(asyncio.CancelledError):
                await self.wait()
            return "done all the same"

    target = Stubborn()
    with serving(target) as port, connected(port) as peer:
        selected(peer)
        peer.send(call(1, b"resist"))
        assert target.entered.wait(DEADLINE)
        peer.send(request(1, b'{"action":"cancel"}'))
        assert frame(peer) == (1, b'{"status":"ok","ret":"done all the same"}', [])


class Crowd(Target):
    """Its calls wait for one event: a thousand that look again and again would be the load."""

    async def wait(self, x: Any = None) -> Any:
        if not self.log:
            self.loop, self.event = asyncio.get_running_loop(), asyncio.Event()
        self.log.append(("begun", x))
        await self.event.wait()
        return x

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.event.set)

    def numbers(self) -> Iterator[int]:
        yield from range(10)


def test_calls_that_keep_others_waiting_can_be_cancelled() -> None:
    """More calls than a server has under way for one client at a time."""
    count = 1100

    async def main(port: int) -> None:
        async with connected_client(port) as client:
            tasks = [asyncio.ensure_future(client.wait(k)) for k in range(count)]
            await comes_true(lambda: len(target.log) == 1000)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert await client.echo(1) == 1

    target = Crowd()
    with serving(target, allow_parallel=True) as port:
        asyncio.run(main(port))


def test_generators_go_on_while_calls_keep_others_waiting() -> None:
    async def main(port: int) -> None:
        async with connected_client(port) as client:
            items = await client.numbers()
            assert await anext(items) == 0
            tasks = [asyncio.ensure_future(client.wait(k)) for k in range(1100)]
            await comes_true(lambda: len(target.log) == 1000)
            assert [item async for item in items] == list(range(1, 10))
            target.release()
            assert await asyncio.gather(*tasks) == list(range(1100))

    target = Crowd()
    with serving(target, allow_parallel=True) as port:
        asyncio.run(main(port))


def test_a_timeout_cancels_the_coroutine() -> None:
    target = Target()
    with serving(target) as port, Client(HOST, port) as client:
        with pytest.raises(TimeoutError), call_timeout(client, 0.05):
            client.wait(1)
        assert client.note(2) == 2
        assert target.log == [("begun", 1), ("cancelled", 1), 2]

        async def main() -> None:
            async with connected_client(port) as client:
                with pytest.raises(TimeoutError), call_timeout(client, 0.05):
                    await client.wait(3)
                assert await client.note(4) == 4

        asyncio.run(main())
        assert target.log[3:] == [("begun", 3), ("cancelled", 3), 4]


def test_ctrl_c_cancels_the_coroutine() -> None:
    target, ended = Target(), threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def strike() -> None:
        assert target.entered.wait(DEADLINE)
        while not ended.wait(0.2):  # Python overlooks one that comes just before it waits
            signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=strike)
    with serving(target) as port, Client(HOST, port) as client:
        thread.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                client.wait(1)
        finally:
            ended.set()
            thread.join()
        with call_timeout(client, DEADLINE):
            assert client.note(2) == 2
    assert target.log == [("begun", 1), ("cancelled", 1), 2]


def test_a_method_in_a_thread_is_left_to_finish_and_keeps_the_turn() -> None:
    target = Target()
    with serving(target, threaded=True) as port:
        with connected(port) as peer, connected(port) as other:
            selected(peer)
            selected(other)
            peer.send(call(1, b"block", b"[1]"))
            assert target.entered.wait(DEADLINE)
            peer.send(request(1, b'{"action":"cancel"}'))
            number, text, _ = frame(peer)  # at once
            assert number == 1
            assert CANCELLED in text
            peer.send(call(2, b"note", b"[2]") + call(3, b"wait", b"[3]"))
            other.send(call(1, b"note", b"[4]"))
            other.send(request(9, b'{"action":"get_rpc_method_list"}'))
            assert frame(other)[0] == 9
            assert target.log == [("begun", 1)]
            target.released.set()
            assert frame(peer) == (2, b'{"status":"ok","ret":2}', [])
            assert frame(other) == (1, b'{"status":"ok","ret":4}', [])
            while frame(peer)[0] != 3:
                pass
    assert target.log[:3] == [("begun", 1), ("ended", 1), 2]


def test_a_coroutine_that_comes_from_a_thread_after_its_call_was_cancelled_is_dropped() -> None:
    target = Target()
    with serving(target, threaded=True) as port, connected(port) as peer:
        selected(peer)
        peer.send(call(1, b"coroutine"))
        assert target.entered.wait(DEADLINE)
        peer.send(request(1, b'{"action":"cancel"}'))
        assert CANCELLED in frame(peer)[1]
        target.released.set()
        peer.send(call(2, b"echo", b"[2]"))
        assert frame(peer) == (2, b'{"status":"ok","ret":2}', [])
    assert target.log == []  # it never ran, and nothing warns of it


# --- clients that leave, servers that stop ---------------------------------------------------


def test_a_client_that_leaves_ends_what_waits_and_not_what_runs() -> None:
    target = Target()
    with serving(target) as port, Client(HOST, port) as other:
        with connected(port) as peer:
            selected(peer)
            peer.send(call(1, b"wait", b"[1]") + call(2, b"note", b"[2]"))
            assert target.entered.wait(DEADLINE)
            peer.send(request(3, b'{"action":"get_rpc_method_list"}'))
            assert frame(peer)[0] == 3
        other.get_rpc_method_list()
        target.released.set()
        assert other.note(4) == 4
    assert target.log == [("begun", 1), ("ended", 1), 4]


@secured
@pytest.mark.parametrize("threaded", [False, True])
def test_stop_cancels_what_runs_and_ends_generators(tls: bool, threaded: bool) -> None:
    class Gives(Target):
        def numbers(self) -> Iterator[int]:
            try:
                yield from range(1000)
            finally:
                self.log.append("closed")

        async def async_numbers(self) -> AsyncIterator[int]:
            try:
                for number in range(1000):
                    yield number
            finally:
                await asyncio.sleep(0)
                self.log.append("async closed")

    async def main() -> None:
        target = Gives()
        server = Server({"t": target}, allow_parallel=True, threaded=threaded)
        await server.start(HOST, 0, **certificates_of_server(tls))
        assert server.server is not None
        port = server.server.sockets[0].getsockname()[1]
        async with connected_client(port, **certificates_of_client(tls)) as client:
            numbers, more = await client.numbers(), await client.async_numbers()
            assert (await anext(numbers), await anext(more)) == (0, 0)
            waiting = asyncio.create_task(client.wait(1))
            await comes_true(target.entered.is_set)
            async with asyncio.timeout(DEADLINE):
                await server.stop()
            with pytest.raises((EOFError, ConnectionError)):
                await waiting
            with pytest.raises((EOFError, ConnectionError)):
                async for _ in numbers:
                    pass
            await comes_true(lambda: len(target.log) == 4)
            assert sorted(map(str, target.log)) == sorted(
                map(str, ["closed", "async closed", ("begun", 1), ("cancelled", 1)])
            )

    asyncio.run(main())


# --- slow readers ----------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [False, True])
def test_a_client_that_does_not_read_stalls_until_it_does(parallel: bool) -> None:
    """Replies of 1 MB to calls that are all sent before the first is read."""
    count = 500
    target = Target()
    with serving(target, allow_parallel=parallel) as port, Client(HOST, port) as other:
        with connected(port) as peer:
            selected(peer)
            for number in range(1, count + 1):
                peer.send(call(number, b"big", b"[1000000]"))
            until(lambda: len(target.log) >= 1)
            seen = -1
            while seen != len(target.log):  # until nothing more happens between two round trips
                seen = len(target.log)
                for _ in range(20):
                    assert other.echo(1) == 1
            assert len(target.log) < 50
            for number in range(1, count + 1):
                answer, _, [buffer] = frame(peer)
                assert answer == number
                assert len(buffer) == 1_000_000
        assert len(target.log) == count


def test_a_client_that_sends_and_never_reads_is_not_read_for_ever() -> None:
    target = Target()
    with serving(target) as port, connected(port) as peer, Client(HOST, port) as other:
        selected(peer)
        peer.send(call(1, b"big", b"[60000000]"))
        until(lambda: bool(target.log))
        peer.socket.settimeout(0.2)
        requests = b"".join(call(k, b"note", b'["%b"]' % (b"x" * 10_000)) for k in range(2, 102))
        with pytest.raises(TimeoutError):  # noqa: PT012
            for _ in range(100):
                peer.socket.sendall(requests)
        assert other.echo(1) == 1
        assert target.log == [60_000_000]


@secured
def test_a_large_transfer_does_not_stall_the_others(tls: bool) -> None:
    """One client takes 50 MB piece by piece, while another one is answered in between."""
    target, size = Target(), 50_000_000

    async def main(port: int) -> None:
        options = certificates_of_client(tls)
        async with (
            connected_client(port, **options) as large,
            connected_client(port, **options) as small,
        ):
            transport = large._AsyncioClient__connection.transport  # type: ignore[attr-defined]
            task = asyncio.create_task(large.big(size))
            await comes_true(lambda: target.log)
            transport.pause_reading()
            for _ in range(20):
                assert await small.echo(1) == 1
                transport.resume_reading()
                await asyncio.sleep(0)
                transport.pause_reading()
            assert not task.done()
            transport.resume_reading()
            answered = 0
            while not task.done():
                assert await small.echo(1) == 1
                answered += 1
            assert hashlib.sha256(await task).digest() == hashlib.sha256(b"\xff" * size).digest()
            assert answered

    with serving(target, tls) as port:
        asyncio.run(main(port))


@secured
def test_a_large_request_while_large_replies_are_due(tls: bool) -> None:
    """Neither side may wait for the other to take what it sends."""

    class Slow(Target):
        async def late(self, size: int) -> bytes:
            await super().wait()
            return b"y" * size

        async def resist(self, size: int) -> bytes:
            with contextlib.suppress(asyncio.CancelledError):
                await super().wait()
            return b"y" * size

    target, size = Slow(), 20_000_000
    with serving(target, tls, allow_parallel=True) as port:
        with Client(HOST, port, **certificates_of_client(tls)) as client:
            for _ in range(3):
                for _ in range(3):  # large answers that are due, and that nobody wants
                    with pytest.raises(TimeoutError), call_timeout(client, 0.05):
                        client.resist(size)
                with call_timeout(client, DEADLINE):
                    assert len(client.echo(b"x" * size)) == size
                    assert client.echo(1) == 1


@secured
def test_a_large_request_while_large_items_are_due(tls: bool) -> None:
    class Gives(Target):
        def large(self) -> Iterator[bytes]:
            for number in range(10):
                yield bytes([number]) * 10_000_000

    with serving(Gives(), tls) as port:
        with Client(HOST, port, **certificates_of_client(tls)) as client:
            items = client.large()
            for number in range(10):
                assert next(items) == bytes([number]) * 10_000_000
                assert len(client.echo(b"x" * 20_000_000)) == 20_000_000
            assert list(items) == []
            items = client.large()
            next(items)
            items.close()
            for _ in range(3):
                assert len(client.echo(b"x" * 20_000_000)) == 20_000_000


# --- limits ----------------------------------------------------------------------------------


def test_a_reply_that_is_too_long_is_dropped() -> None:
    with serving(Target()) as port:
        with Client(HOST, port, max_line=100_000) as client:
            for size in (100_000, 200_000, 5_000_000):
                with pytest.raises(
                    LineTooLong, match=r"is too long: the limit is 100000"
                ) as caught:
                    client.big(size)
                assert size < caught.value.size < size + 200
                assert client.big(99_000) == b"\xff" * 99_000

        async def main() -> None:
            async with asyncio.timeout(DEADLINE), AsyncioClient(max_line=100_000) as client:
                await client.connect_rpc(HOST, port)
                late = [client.big(5_000_000), client.echo(1), client.big(200_000), client.echo(2)]
                one, two, three, four = await asyncio.gather(*late, return_exceptions=True)
                assert isinstance(one, LineTooLong)
                assert isinstance(three, LineTooLong)
                assert (two, four) == (1, 2)

        asyncio.run(main())


@pytest.mark.parametrize("value", [b"x" * 5_000_000, "x" * 5_000_000, [b"x" * 50_000] * 3])
def test_a_request_that_is_too_long_is_an_error(value: Any) -> None:
    with serving(Target(), max_line=100_000) as port, Client(HOST, port) as client:
        for _ in range(2):
            with pytest.raises(
                (ValueError, GenericRemoteException), match=r"limit is 100000 bytes"
            ):
                client.echo(value)
            assert client.echo(b"x" * 90_000) == b"x" * 90_000


def test_many_calls_of_many_threads() -> None:
    with serving(Target(), threaded=True) as port, Client(HOST, port) as client:
        wrong: list[Any] = []

        def work(number: int) -> None:
            for k in range(50):
                value = [number, k, bytes([number]) * 3000]
                if client.echo(value) != value:
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert not wrong


def test_a_server_that_is_told_not_to_offers_no_frames() -> None:
    with rpc_server({"t": Target()}, frames=False) as port:
        with Client(HOST, port) as client:
            assert client.echo([1, b"x" * 5000]) == [1, b"x" * 5000]
        with connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\nt pyon_v2 frames\n")
            assert peer.line() == b'{"targets":["t"],"description":null,"features":["pyon_v2"]}\n'
            assert peer.line() == b""
