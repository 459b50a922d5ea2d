"""A target that is a client of another server: its methods are those of that server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server
from sipyco_rpc.support.relay import RemoteTarget
from support.certificates import paths_of
from support.peers import DEADLINE, HOST, rpc_server, running_server, until


class Camera:
    """Takes images."""

    def __init__(self) -> None:
        self.closed = 0
        self.waiting = threading.Event()
        self.go_on = threading.Event()

    def expose(self, seconds: float, *, gain: int = 1) -> str:
        """Take one image."""
        return f"image of {seconds} s, gain {gain}"

    def fail(self) -> None:
        raise FileNotFoundError(2, "no camera", "/dev/video0")

    def acquire(self, count: int) -> Iterator[int]:
        """Take many."""
        try:
            yield from range(count)
        finally:
            self.closed += 1

    async def acquire_async(self, count: int) -> AsyncIterator[int]:
        try:
            for number in range(count):
                yield number
        finally:
            self.closed += 1

    def acquire_and_fail(self) -> Iterator[int]:
        yield 1
        raise ValueError("no more light")

    def acquire_slowly(self) -> Iterator[int]:
        try:
            yield 1
            self.waiting.set()
            self.go_on.wait(DEADLINE)
            yield 2
        finally:
            self.closed += 1


class Blocking(Client):
    def both(self, seconds: float) -> list[str]:
        """Take two."""
        return [self.expose(seconds), self.expose(seconds)]

    def close_rpc(self) -> None:
        super().close_rpc()


class Asynchronous(AsyncioClient):
    async def both(self, seconds: float) -> list[str]:
        """Take two."""
        return [await self.expose(seconds), await self.expose(seconds)]


class BestEffort(BestEffortClient):
    def both(self, seconds: float) -> list[str]:
        """Take two."""
        return [self.expose(seconds), self.expose(seconds)]


class Relay(Server):
    """A server whose target is a client."""

    def __init__(self, cls: type[Any], port: int, tls: dict[str, Any], **options: Any) -> None:
        self.tls = tls
        if issubclass(cls, AsyncioClient):
            self.client: Any = cls()
        elif issubclass(cls, BestEffortClient):
            self.client = cls(HOST, port, "camera", DEADLINE, **tls)
        else:
            self.client = cls(HOST, port, timeout=DEADLINE, **tls)
        self.port_of_camera = port
        super().__init__({"relay": self.client}, **options)

    async def start(self, *args: Any, **kwargs: Any) -> None:
        if isinstance(self.client, AsyncioClient):
            await self.client.connect_rpc(HOST, self.port_of_camera, **self.tls)
        await super().start(*args, **kwargs)

    async def stop(self) -> None:
        await super().stop()
        closing = self.client.close_rpc()
        if closing is not None:
            await closing


KINDS = [Client, Blocking, AsyncioClient, Asynchronous, BestEffortClient, BestEffort]
every_kind = pytest.mark.parametrize("kind", KINDS)
both_threadings = pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])


@contextmanager
def relayed(
    kind: type[Any], camera: Camera | None = None, tls: bool = False, **options: Any
) -> Iterator[Client]:
    """Give a client of a relay of a server."""
    files: dict[str, Any] = paths_of("server", "client") if tls else {}
    own: dict[str, Any] = paths_of("client", "server") if tls else {}
    with running_server(lambda: Server({"camera": camera or Camera()}), **files) as port:
        with running_server(lambda: Relay(kind, port, own, **options)) as relay:
            with Client(HOST, relay, timeout=DEADLINE) as client:
                yield client


REMOTE = {name for name in vars(Camera) if not name.startswith("_")}


@every_kind
@both_threadings
def test_a_relay_offers_the_remote_methods_and_what_a_subclass_adds(
    kind: type[Any], threaded: bool
) -> None:
    added = set() if kind in (Client, AsyncioClient, BestEffortClient) else {"both"}
    with relayed(kind, threaded=threaded) as client:
        assert client._Client__valid_methods == REMOTE | added
        assert client.expose(2.5, gain=3) == "image of 2.5 s, gain 3"
        with pytest.raises(FileNotFoundError) as caught:
            client.fail()
        assert caught.value.filename == "/dev/video0"
        if added:
            assert client.both(1) == ["image of 1 s, gain 1"] * 2


@every_kind
def test_nothing_of_the_relay_itself_can_be_called(kind: type[Any]) -> None:
    own = (
        "close_rpc",
        "connect_rpc",
        "get_local_host",
        "get_rpc_id",
        "get_rpc_method_list",
        "get_selected_target",
        "select_rpc_target",
        "_Client__connection",
    )
    with relayed(kind) as client:
        call = client._Client__connection.call
        for name in own:
            with pytest.raises(AttributeError, match=f"`{name}`|'{name}'"):
                call(name, (), {})
        assert client.expose(1) == "image of 1 s, gain 1"


class Odd(RemoteTarget):
    """A client whose server says what no listing has in it."""

    def __init__(self) -> None:
        self.expose = Camera().expose

    async def get_rpc_method_list(self) -> Any:
        return {"docstring": None, "methods": {"expose": object()}}


@both_threadings
def test_a_listing_that_cannot_be_sent_is_an_error_of_the_call(threaded: bool) -> None:
    with rpc_server({"relay": Odd()}, threaded=threaded) as port:
        with Client(HOST, port, timeout=DEADLINE) as client:
            with pytest.raises(TypeError):
                client.get_rpc_method_list()
            assert client.expose(1) == "image of 1 s, gain 1"


class Driver:
    """Hands on what it lacks to a client of its own."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.get_rpc_id = client.get_rpc_id  # on purpose

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def test_what_hands_on_to_its_client_gives_nothing_of_that_away() -> None:
    with running_server(lambda: Server({"camera": Camera()})) as port:
        with Client(HOST, port) as own:
            with running_server(lambda: Server({"driver": Driver(own)})) as relay:
                with Client(HOST, relay) as client:
                    call = client._Client__connection.call
                    for name in ("close_rpc", "get_rpc_method_list", "select_rpc_target"):
                        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
                            call(name, (), {})
                    assert call("expose", (1,), {}) == "image of 1 s, gain 1"
                    assert call("get_rpc_id", (), {}) == (["camera"], None)


@every_kind
@both_threadings
def test_the_listing_is_that_of_the_other_server(kind: type[Any], threaded: bool) -> None:
    with rpc_server({"camera": Camera()}) as port, Client(HOST, port) as direct:
        expected = direct.get_rpc_method_list()
    with relayed(kind, threaded=threaded) as client:
        listing = client.get_rpc_method_list()
        both = listing["methods"].pop("both", None)
        assert listing == expected
        assert both is None or both[1] == "Take two."


def test_a_relay_may_allow_fewer_methods() -> None:
    with relayed(Client, allowed_methods={"relay": ["expose"]}) as client:
        assert set(client.get_rpc_method_list()["methods"]) == {"expose"}
        with pytest.raises(AttributeError):
            client.fail


@every_kind
@both_threadings
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_streams_are_relayed(kind: type[Any], threaded: bool, tls: bool) -> None:
    camera = Camera()
    with relayed(kind, camera, tls, threaded=threaded) as client:
        for method in (client.acquire, client.acquire_async):
            assert list(method(50)) == list(range(50))
        items = client.acquire_and_fail()
        assert next(items) == 1
        with pytest.raises(ValueError, match="no more light"):
            next(items)
        items = client.acquire(10**9)
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        assert camera.closed == 2
        items.close()
        assert client.expose(1) == "image of 1 s, gain 1"
        until(lambda: camera.closed == 3)


@pytest.mark.parametrize("kind", [Client, AsyncioClient, BestEffortClient])
def test_a_stream_that_waits_is_ended_at_once(kind: type[Any]) -> None:
    camera = Camera()
    with running_server(lambda: Server({"camera": camera}, threaded=True)) as port:
        with running_server(lambda: Relay(kind, port, {}, threaded=True)) as relay:
            with Client(HOST, relay, timeout=DEADLINE) as client:
                items = client.acquire_slowly()
                assert next(items) == 1
                assert camera.waiting.wait(DEADLINE)
                items.close()
                # The relay's thread does not wait for an item that nobody wants.
                assert client.get_rpc_method_list()["docstring"] == "Takes images."
                camera.go_on.set()
                until(lambda: camera.closed == 1)


@pytest.mark.parametrize("kind", [Client, AsyncioClient])
def test_streams_need_frames_on_the_way_out(kind: type[Any]) -> None:
    with relayed(kind, frames=False) as client:
        with pytest.raises(TypeError, match="frames"):
            client.acquire(3)
        assert client.expose(1) == "image of 1 s, gain 1"


def test_a_relay_of_a_relay() -> None:
    with rpc_server({"camera": Camera()}, frames=True) as port:
        with running_server(lambda: Relay(Client, port, {}, threaded=True)) as first:
            with running_server(lambda: Relay(AsyncioClient, first, {})) as second:
                with Client(HOST, second, timeout=DEADLINE) as client:
                    assert list(client.acquire(5)) == [0, 1, 2, 3, 4]
                    assert client.expose(1) == "image of 1 s, gain 1"
                    signature = client.get_rpc_method_list()["methods"]["expose"][0]
                    assert signature["args"] == ["self", "seconds"]


def test_a_method_may_return_the_items_of_its_own_client() -> None:
    class Driver:
        def __init__(self, port: int) -> None:
            self.port = port
            self.camera = Client(HOST, port, timeout=DEADLINE)

        def acquire(self) -> Any:
            return self.camera.acquire(3)

        async def acquire_async(self) -> Any:
            self.other = AsyncioClient(DEADLINE)
            await self.other.connect_rpc(HOST, self.port)
            return await self.other.acquire(3)

        async def close(self) -> None:
            self.camera.close_rpc()
            await self.other.close_rpc()

    with rpc_server({"camera": Camera()}, frames=True) as port:
        with rpc_server({"driver": Driver(port)}, frames=True) as driver:
            with Client(HOST, driver, timeout=DEADLINE) as client:
                assert list(client.acquire()) == [0, 1, 2]
                assert list(client.acquire_async()) == [0, 1, 2]
                client.close()


def test_what_a_relay_cannot_reach_is_an_error_of_the_call() -> None:
    relays: list[Relay] = []

    def make(port: int) -> Callable[[], Relay]:
        def relay() -> Relay:
            relays.append(Relay(BestEffortClient, port, {}))
            return relays[0]

        return relay

    with rpc_server({"camera": Camera()}, frames=True) as port:
        with running_server(make(port)) as relay, Client(HOST, relay) as client:
            assert client.expose(1) == "image of 1 s, gain 1"
            relays[0].client.close_rpc()
            assert client.expose(1) is None
            listing = client.get_rpc_method_list()
            assert listing["docstring"] is None
            assert set(listing["methods"]) == REMOTE


def test_calls_through_an_asyncio_client_run_side_by_side() -> None:
    class Meeting:
        def __init__(self) -> None:
            self.both = 0
            self.met = asyncio.Event()

        async def meet(self) -> str:
            self.both += 1
            if self.both == 2:
                self.met.set()
            await self.met.wait()
            return "met"

    async def main() -> list[str]:
        async with Server({"t": Meeting()}, allow_parallel=True) as server:
            await server.start(HOST, 0)
            assert server.server is not None
            port = server.server.sockets[0].getsockname()[1]
            async with Relay(AsyncioClient, port, {}, allow_parallel=True) as relay:
                await relay.start(HOST, 0)
                assert relay.server is not None
                async with AsyncioClient(DEADLINE) as client:
                    await client.connect_rpc(HOST, relay.server.sockets[0].getsockname()[1])
                    return list(await asyncio.gather(client.meet(), client.meet()))

    assert asyncio.run(main()) == ["met", "met"]
