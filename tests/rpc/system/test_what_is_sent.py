"""What is sent is what was there when the method returned, whoever still holds the memory."""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import mmap
import sys
import threading
import weakref
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sipyco_rpc.net import sender
from sipyco_rpc.net.sender import Sender
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server
from sipyco_rpc.support import aliasing
from sipyco_rpc.wire import server_session
from support.certificates import paths_of
from support.event_loops import every_loop, loop_factory
from support.fake_transport import FakeTransport
from support.pairs import selected_session
from support.peers import DEADLINE, HOST, connection_of, rpc_server, until
from support.transports import secured

numpy: Any = pytest.importorskip("numpy")

SIZE = 300_000  # bytes: more than one write has


async def send(
    function: Callable[[], Any], writes: int, afterwards: Callable[[], object] = lambda: None
) -> list[Any]:
    """Send what a function returns to a peer that is slow; give what the transport was given."""
    transport = FakeTransport(writes)
    sender = transport.sender = Sender(transport)  # type: ignore[arg-type]
    sender.begin()
    server = selected_session(b"t pyon_v2 frames", 1)
    if not writes:
        sender.pause()
    outcome = [function()]
    sender.put(server.reply(1, outcome.pop()))
    afterwards()
    sender.resume()
    for _ in range(100):  # passes of the loop; large pieces are sent in several
        await asyncio.sleep(0)
    assert not sender.backpressured
    return transport.written


# --- attacks -----------------------------------------------------------------------------------


class Camera:
    """Fills one buffer again and again, and gives it away in many ways.

    Each method fills `memory` with ones, and returns an array of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory: Any = numpy.zeros(SIZE, numpy.uint8)
        self.more: list[Any] = []

    def fill(self, value: int) -> None:
        self.memory[:] = value

    def itself(self) -> Any:
        return self.memory

    def view(self) -> Any:
        return self.memory[:]

    def reshaped(self) -> Any:
        return self.memory.reshape(3, -1)

    def as_other_dtype(self) -> Any:
        return self.memory.view("f8")

    def as_times(self) -> Any:
        return self.memory.view("M8[s]")

    def field(self) -> Any:
        return self.memory.view([("x", "u1")])["x"]

    def in_a_dictionary(self) -> Any:
        return {"image": self.memory[1500:], "more": [1, (self.memory[:1500],)]}

    def only_the_memoryview_is_kept(self) -> Any:
        return self._kept_as(lambda image: image.data)

    def only_a_view_is_kept(self) -> Any:
        return self._kept_as(lambda image: image[:])

    def only_a_view_of_a_view_is_kept(self) -> Any:
        return self._kept_as(lambda image: image.reshape(3, -1)[:].reshape(-1))

    def only_a_weak_reference_is_kept(self) -> Any:
        image = numpy.ones(SIZE, numpy.uint8)
        found = weakref.ref(image)

        class Revived:
            def __setitem__(self, key: Any, value: Any) -> None:
                image = found()
                if image is not None:
                    image[key] = value

        self.memory = Revived()
        return image

    def only_a_weak_reference_to_the_base_is_kept(self) -> Any:
        return self.only_a_weak_reference_is_kept()[:]

    def a_closure_keeps_it(self) -> Any:
        image = numpy.ones(SIZE, numpy.uint8)

        def fill(value: int) -> None:
            image[:] = value

        self.fill = fill  # type: ignore[method-assign]
        return image

    def a_partial_keeps_it(self) -> Any:
        image = numpy.ones(SIZE, numpy.uint8)
        fill = partial(numpy.copyto, image)
        self.fill = fill  # type: ignore[method-assign]
        return image

    def a_bound_method_keeps_it(self) -> Any:
        image = numpy.ones(SIZE, numpy.uint8)
        self.fill = image.fill  # type: ignore[method-assign]
        return image

    def a_generator_keeps_it(self) -> Any:
        def frames() -> Iterator[Any]:
            image = numpy.zeros(SIZE, numpy.uint8)
            while True:
                image[:] = yield image

        generator = frames()
        next(generator)
        self.fill = generator.send  # type: ignore[attr-defined, method-assign]
        return generator.send(1)  # type: ignore[attr-defined]

    def the_stack_of_a_generator_keeps_it(self) -> Any:
        def frames() -> Iterator[Any]:
            while True:
                numpy.copyto((yield), (yield))

        generator: Any = frames()
        image = numpy.ones(SIZE, numpy.uint8)
        next(generator)
        generator.send(image)
        self.fill = generator.send  # type: ignore[method-assign]
        return image

    def a_coroutine_keeps_it(self) -> Any:
        async def fill(image: Any, value: asyncio.Future[int]) -> None:
            image[:] = await value

        future = asyncio.get_running_loop().create_future()
        image = numpy.ones(SIZE, numpy.uint8)
        coroutine = fill(image, future)
        coroutine.send(None)

        def resume(value: int) -> None:
            future.set_result(value)
            with pytest.raises(StopIteration):
                coroutine.send(None)

        self.fill = resume  # type: ignore[method-assign]
        return image

    def a_thread_keeps_it(self) -> Any:
        image = numpy.ones(SIZE, numpy.uint8)
        values: list[int] = []
        wanted, done = threading.Event(), threading.Event()

        def work(image: Any) -> None:
            assert wanted.wait(DEADLINE)
            image[:] = values.pop()
            done.set()

        thread = threading.Thread(target=work, args=(image,))
        thread.start()

        def fill(value: int) -> None:
            values.append(value)
            wanted.set()
            assert done.wait(DEADLINE)
            thread.join()

        self.fill = fill  # type: ignore[method-assign]
        return image

    def an_exception_keeps_it(self) -> Any:
        def work() -> None:
            image = numpy.ones(SIZE, numpy.uint8)
            self.more.append(image)
            raise ValueError

        try:
            work()
        except ValueError as exc:
            self.error = exc

        def fill(value: int) -> None:
            self.error.__traceback__.tb_next.tb_frame.f_locals["image"][:] = value  # type: ignore[union-attr]

        self.fill = fill  # type: ignore[method-assign]
        return self.more.pop()

    def of_an_iterator(self) -> Any:
        rows = iter([numpy.ones(SIZE, numpy.uint8)] * 2)
        image = next(rows)
        self.fill = lambda value: next(rows).fill(value)  # type: ignore[method-assign]
        return image

    def of_a_bytearray(self) -> Any:
        self.memory = memoryview(bytearray(b"\1" * SIZE))
        self.fill = self._fill_buffer  # type: ignore[method-assign]
        return numpy.frombuffer(self.memory.obj, numpy.uint8)

    def of_a_memoryview(self) -> Any:
        self.memory = memoryview(bytearray(b"\1" * SIZE))
        self.fill = self._fill_buffer  # type: ignore[method-assign]
        return numpy.asarray(self.memory)

    def of_an_array(self) -> Any:
        self.memory = memoryview(array("B", b"\1" * SIZE))
        self.fill = self._fill_buffer  # type: ignore[method-assign]
        return numpy.frombuffer(self.memory, numpy.uint8)

    def of_a_mapping(self) -> Any:
        self.memory = mmap.mmap(-1, SIZE)
        self.fill = self._fill_buffer  # type: ignore[method-assign]
        self.fill(1)
        return numpy.frombuffer(self.memory, numpy.uint8)

    def of_a_file(self) -> Any:
        self.memory = numpy.memmap(self.folder / "frame", numpy.uint8, "w+", shape=(SIZE,))
        self.memory[:] = 1
        return numpy.asarray(self.memory)

    def of_ctypes(self) -> Any:
        self.memory = (ctypes.c_uint8 * SIZE)()
        self.fill = self._fill_buffer  # type: ignore[method-assign]
        self.fill(1)
        return numpy.ctypeslib.as_array(self.memory)

    def of_an_array_interface(self) -> Any:
        memory = self.memory

        class Foreign:
            @property
            def __array_interface__(self) -> Any:
                return memory.__array_interface__

        return numpy.asarray(Foreign())

    def with_strides_of_its_own(self) -> Any:
        return numpy.lib.stride_tricks.as_strided(self.memory, (SIZE,), (1,))

    def made_by_c_code(self) -> Any:
        return array_over(self.memory)

    def view_of_what_c_code_made(self) -> Any:
        return array_over(self.memory)[:]

    def reshaped_of_what_c_code_made(self) -> Any:
        return array_over(self.memory).reshape(3, -1)

    def the_exporter_of_a_buffer(self) -> Any:
        self.memory = numpy.ones(SIZE, numpy.uint8)
        pinned = memoryview(self.memory)
        image, self.memory = self.memory, numpy.frombuffer(pinned, numpy.uint8)
        return image

    def _kept_as(self, keep: Callable[[Any], Any]) -> Any:
        image = numpy.ones(SIZE, numpy.uint8)
        self.memory = keep(image)
        if isinstance(self.memory, memoryview):
            self.fill = self._fill_buffer  # type: ignore[method-assign]
        return image

    def _fill_buffer(self, value: int) -> None:
        memoryview(self.memory).cast("B")[:] = bytes([value]) * SIZE


def array_over(memory: Any) -> Any:
    """Make an array over memory that it neither owns nor knows the owner of, as SWIG does."""
    core = importlib.import_module("numpy._core._multiarray_umath")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer(core._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    kind = ctypes.py_object
    new = ctypes.PYFUNCTYPE(
        kind,
        kind,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_ssize_t),
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_void_p,
    )(table[93])  # PyArray_New
    shape = (ctypes.c_ssize_t * 1)(memory.nbytes)
    made = new(numpy.ndarray, 1, shape, 2, None, memory.ctypes.data, 0, 0x501, None)
    assert not made.flags.owndata
    assert made.base is None
    return made


ATTACKS = sorted(
    name
    for name in vars(Camera)
    if not name.startswith("_") and name != "fill" and callable(vars(Camera)[name])
)


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_sent_is_what_was_returned(attack: str, writes: int, tmp_path: Path) -> None:
    camera = Camera(tmp_path)

    def expose() -> Any:
        camera.fill(1)
        return getattr(camera, attack)()

    async def main() -> bytes:
        written = await send(expose, writes, lambda: camera.fill(2))
        return b"".join(written)

    sent = asyncio.run(main())
    assert sent.count(b"\1") >= SIZE, attack
    assert b"\2" not in sent


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_buffer_may_be_resized_as_soon_as_it_was_put(writes: int) -> None:
    buffer = bytearray(b"\1" * SIZE)

    async def main() -> bytes:
        written = await send(lambda: numpy.frombuffer(buffer, numpy.uint8), writes, buffer.clear)
        return b"".join(written)

    assert asyncio.run(main()).endswith(b"\1" * SIZE)


@pytest.mark.parametrize("attack", ATTACKS)
def test_without_counts_that_can_be_trusted_everything_is_copied(
    attack: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(aliasing, "COUNTS_HOLD", False)
    test_what_is_sent_is_what_was_returned(attack, 1, tmp_path)


def fresh() -> Any:
    return numpy.ones(SIZE, numpy.uint8)


FRESH: dict[str, Callable[[], Any]] = {
    "an array": fresh,
    "of another shape": lambda: fresh().reshape(3, -1),
    "of another dtype": lambda: fresh().view("f8"),
    "of times": lambda: fresh().view("M8[s]"),
    "the result of a computation": lambda: fresh() * numpy.uint8(1),
}


def addresses(pieces: list[Any]) -> set[int]:
    """Where the memory of pieces is, and all of what these were cut from."""
    return {
        numpy.frombuffer(getattr(piece, "obj", piece), numpy.uint8).ctypes.data
        for piece in pieces
        if isinstance(piece, memoryview)
    }


@pytest.mark.parametrize("writes", [0, 2])
@pytest.mark.parametrize("kind", FRESH)
def test_an_array_that_nobody_else_has_is_sent_from_where_it_is(kind: str, writes: int) -> None:
    if not aliasing.COUNTS_HOLD:
        pytest.skip("this Python does not tell")
    found = []

    def make() -> Any:
        result = FRESH[kind]()
        found.append(result.ctypes.data)
        return result

    async def main() -> None:
        written = await send(make, writes)
        assert found[0] in addresses(written)

    asyncio.run(main())


@pytest.mark.parametrize("kind", FRESH)
def test_an_array_that_nobody_else_has_is_copied_where_counts_tell_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliasing, "COUNTS_HOLD", False)
    found = []

    def make() -> Any:
        result = FRESH[kind]()
        found.append(result.ctypes.data)
        return result

    async def main() -> None:
        written = await send(make, 0)
        assert b"".join(written).count(b"\1") >= SIZE
        assert found[0] not in addresses(written)

    asyncio.run(main())


def test_counts_are_believed_on_these_versions() -> None:
    """It would be slow otherwise; a version that is not listed may be."""
    if sys.implementation.name != "cpython" or "free-threading" in sys.version:
        pytest.skip("another kind of Python")
    if sys.version_info < (3, 16):
        assert aliasing.COUNTS_HOLD


@pytest.mark.parametrize(
    "count",
    [
        None,
        lambda value: 2,
        lambda value: 2**32 - 1,
        lambda value: sys.getrefcount(value) // 9,
        lambda value: iter(()).__next__(),
    ],
    ids=["absent", "always the same", "immortal", "a part of them", "raises"],
)
def test_odd_counts_are_not_believed(count: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliasing, "_getrefcount", count)
    assert not aliasing._counts_hold()


def test_other_kinds_of_python_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version", "3.14.0 free-threading build")
    assert not aliasing._counts_hold()
    monkeypatch.undo()
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert not aliasing._counts_hold()
    monkeypatch.undo()
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    assert not aliasing._counts_hold()
    monkeypatch.undo()
    jit = SimpleNamespace(is_enabled=lambda: True)
    monkeypatch.setattr(sys, "_jit", jit, raising=False)
    assert not aliasing._counts_hold()
    monkeypatch.undo()
    monkeypatch.setattr(aliasing, "_KNOWN", False)
    assert not aliasing._counts_hold()


def test_counts_that_change_while_the_program_runs_are_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    piece = memoryview(fresh())
    assert aliasing.is_unaliased(piece) == aliasing.COUNTS_HOLD
    monkeypatch.setattr(aliasing, "_getrefcount", lambda value: 2)
    assert not aliasing.is_unaliased(piece)


def test_what_was_optimized_tells_the_same() -> None:
    kept = fresh()
    told = set()
    for _ in range(6000):  # more than it takes Python to do so
        alone = aliasing.is_unaliased(memoryview(numpy.empty(9)))
        told.add((alone, aliasing.is_unaliased(memoryview(kept))))
    assert told == {(aliasing.COUNTS_HOLD, False)}


def test_arrays_of_derived_classes_are_not_taken_for_private() -> None:
    class Frame(numpy.ndarray):  # type: ignore[name-defined, misc]
        pass

    own = memoryview(numpy.ndarray.__new__(Frame, 9, numpy.uint8))
    view = memoryview(numpy.ndarray.__new__(Frame, 9, numpy.uint8).view(numpy.ndarray))
    assert [aliasing.is_unaliased(own), aliasing.is_unaliased(view)] == [False, False]


def test_memory_that_numpy_knows_nothing_of_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not aliasing.is_unaliased(memoryview(bytearray(10)))
    piece = memoryview(fresh())
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert not aliasing.is_unaliased(piece)


# --- connections -------------------------------------------------------------------------------

LARGE = 12_000_000  # bytes: more than the buffers of a socket take


def own_certificates(tls: bool) -> dict[str, str]:
    return paths_of("client", "server") if tls else {}


def run(loop: str, tls: bool, target: Any, work: Callable[[int], Any], **options: Any) -> None:
    """Serve a target in a loop of a kind, and run a coroutine function beside it, of the port."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE), Server({"t": target}, **options) as server:
            await server.start(HOST, 0, **(paths_of("server", "client") if tls else {}))
            assert server.server is not None
            await work(server.server.sockets[0].getsockname()[1])

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


class Frames:
    """One buffer, which the next call fills anew."""

    def __init__(self) -> None:
        self.buffer = numpy.zeros(LARGE, numpy.uint8)
        self.ready = asyncio.Event()
        self.entered = asyncio.Event()

    async def wait_frame(self) -> Any:
        self.entered.set()
        await self.ready.wait()
        self.buffer[:] = 1
        asyncio.get_running_loop().call_soon(self.next_in_loop)
        return self.buffer

    def next_in_loop(self) -> None:
        """Whatever comes between two steps of others."""

    def trigger(self) -> None:
        self.ready.set()

    def refill(self) -> None:
        self.buffer[:] = 2

    def frames(self, count: int) -> Iterator[Any]:
        for number in range(1, count + 1):
            self.buffer[:] = number
            yield self.buffer
            self.buffer[:] = 99

    async def async_frames(self, count: int) -> Any:
        async def items() -> Any:
            for item in self.frames(count):
                yield item
                await asyncio.sleep(0)

        return items()


def test_an_array_in_a_dictionary_that_a_method_returns_is_nobody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not aliasing.COUNTS_HOLD:
        pytest.skip("this Python does not tell")

    class Target:
        def frame(self) -> Any:
            return {"image": numpy.ones(SIZE, numpy.uint8)}

    found: list[bool] = []

    def is_unaliased(piece: Any) -> bool:
        found.append(aliasing.is_unaliased(piece))
        return found[-1]

    monkeypatch.setattr(sender, "is_unaliased", is_unaliased)
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        assert client.frame()["image"].sum() == SIZE
    assert found == [True]


@every_loop
@secured
@pytest.mark.parametrize("parallel", [False, True])
def test_a_reply_that_comes_while_requests_of_its_client_wait_is_sent_as_it_was(
    loop: str, tls: bool, parallel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_session, "MAX_CALLS", 1)
    frames = Frames()

    async def work(port: int) -> None:
        async with AsyncioClient() as one, AsyncioClient() as other, AsyncioClient() as third:
            for client in (one, other, third):
                await client.connect_rpc(HOST, port, **own_certificates(tls))
            waiting = asyncio.create_task(one.wait_frame())
            await frames.entered.wait()
            more = [asyncio.create_task(one.refill())]
            if parallel:
                frames.next_in_loop = frames.refill  # type: ignore[method-assign]
            else:
                more.append(asyncio.create_task(other.refill()))  # as soon as it is its turn
            for _ in range(2):
                await third.get_rpc_method_list()  # by then they have arrived
            frames.ready.set()
            got = await waiting
            assert (got == 1).all()
            await asyncio.gather(*more)

    run(loop, tls, frames, work, allow_parallel=parallel)


@every_loop
@secured
@pytest.mark.parametrize("method", ["frames", "async_frames"])
def test_items_are_sent_as_they_were_given(loop: str, tls: bool, method: str) -> None:
    frames = Frames()

    async def work(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **own_certificates(tls))
            wanted = 1
            async for item in await getattr(client, method)(3):
                assert (item == wanted).all()
                wanted += 1
            assert wanted == 4

    run(loop, tls, frames, work)


@every_loop
def test_a_client_that_half_closes_gets_what_was_there(loop: str) -> None:
    frames = Frames()

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        request = b'{"action":"call","name":"wait_frame","args":[],"kwargs":{}}'
        writer.write(b"ARTIQ pc_rpc\nt pyon_v2 frames\n#1 %d\n%b" % (len(request), request))
        await frames.entered.wait()
        writer.write_eof()
        await asyncio.sleep(0)
        frames.ready.set()
        while not (frames.buffer == 1).any():
            await asyncio.sleep(0)
        frames.refill()
        received = await reader.read()
        writer.close()
        assert received.endswith(b"\1" * LARGE)

    run(loop, False, frames, work)


class Keeps:
    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep(self, *values: Any) -> None:
        self.kept.append(values)


@every_loop
@secured
def test_a_call_that_waits_takes_its_arguments_when_it_is_made(loop: str, tls: bool) -> None:
    target = Keeps()

    async def work(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **own_certificates(tls))
            long = numpy.ones(LARGE, numpy.uint8)
            array, nested = numpy.ones(5000, numpy.uint8), [1, {"a": [1]}]
            calls = [asyncio.create_task(client.keep(long))]
            calls += [asyncio.create_task(client.keep(array, nested)) for _ in range(3)]
            await asyncio.sleep(0)  # they have been called
            long[:] = 2
            array[:] = 2
            nested[1]["a"].append(2)  # type: ignore[index]
            await asyncio.gather(*calls)

    run(loop, tls, target, work)
    assert (target.kept[0][0] == 1).all()
    assert len(target.kept) == 4
    for image, numbers in target.kept[1:]:
        assert (image == 1).all()
        assert numbers == [1, {"a": [1]}]


@pytest.mark.parametrize("kind", [Client, BestEffortClient])
def test_a_call_that_waits_for_another_thread_takes_its_arguments_when_it_is_made(
    kind: Any,
) -> None:
    entered, released = threading.Event(), threading.Event()

    class Slow(Keeps):
        def wait(self) -> None:
            entered.set()
            assert released.wait(DEADLINE)

    target = Slow()
    array, nested = numpy.ones(5000, numpy.uint8), [1, {"a": [1]}]
    with rpc_server({"t": target}, threaded=True) as port, kind(HOST, port, "t") as client:
        threads = [threading.Thread(target=client.wait)]
        threads[0].start()
        assert entered.wait(DEADLINE)
        connection = connection_of(client)
        threads.append(threading.Thread(target=client.keep, args=(array, nested)))
        threads[1].start()
        until(lambda: len(connection.lock.waiting) == 1)
        array[:] = 2
        nested[1]["a"].append(2)  # type: ignore[index]
        released.set()
        for thread in threads:
            thread.join(DEADLINE)
    [(image, numbers)] = target.kept
    assert (image == 1).all()
    assert numbers == [1, {"a": [1]}]
