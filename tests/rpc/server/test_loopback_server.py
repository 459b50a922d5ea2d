"""The server over loopback: targets, turns, threads, and whatever a method does."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import socket
import threading
import unittest.mock
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    Client,
    GenericRemoteException,
    Server,
    simple_server_loop,
)
from support.gates import GatedTarget
from support.peers import DEADLINE, HOST, connected, rpc_server, running_server, until
from support.programs import free_port

pytestmark = pytest.mark.usefixtures("either_protocol")

both_threadings = pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])


class Own(BaseException):
    """Derived from BaseException, by a program that had its reasons."""


class WithoutText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Strange:
    """Methods that end in strange ways."""

    def own(self) -> None:
        raise Own("text")

    async def own_async(self) -> None:
        raise Own("text")

    def generator_exit(self) -> None:
        raise GeneratorExit

    async def generator_exit_async(self) -> None:
        raise GeneratorExit

    def stop_iteration(self) -> None:
        raise StopIteration(3)

    async def cancelled(self) -> None:
        raise asyncio.CancelledError

    def system_exit(self) -> None:
        raise SystemExit(3)

    def without_text(self) -> None:
        raise WithoutText

    def cyclic(self) -> Any:
        value: list[Any] = []
        value.append(value)
        return value

    def deep(self) -> Any:
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]
        return value

    def recursion(self) -> Any:
        return self.recursion()

    def not_a_value(self) -> Any:
        return object()

    def reserved_key(self) -> Any:
        return {"__jsonclass__": 1}

    def many_lines(self) -> None:
        raise ValueError("one\ntwo\r\n\x00\udc80é")

    def surrogate(self) -> str:
        return "\udc80\n"


STRANGE = [
    name for name in vars(Strange) if not name.startswith("_") and name not in ("surrogate",)
]


@both_threadings
@pytest.mark.parametrize("name", STRANGE)
def test_whatever_a_method_raises_is_answered(
    name: str, threaded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with rpc_server({"t": Strange()}, threaded=threaded) as port:
        with Client(HOST, port, timeout=DEADLINE) as client:
            with pytest.raises(Exception) as caught:
                getattr(client, name)()
            assert not isinstance(caught.value, (EOFError, OSError)), "no answer"
            assert isinstance(caught.value.parent_traceback, list)  # type: ignore[attr-defined]
            assert client.surrogate() == "\udc80\n"
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_strange_exceptions_keep_their_texts() -> None:
    with rpc_server({"t": Strange()}) as port, Client(HOST, port) as client:
        with pytest.raises(GenericRemoteException, match=r"Own: text"):
            client.own()
        with pytest.raises(ValueError, match="one") as caught:
            client.many_lines()
        assert str(caught.value) == "one\ntwo\r\n\x00\udc80é"
        with pytest.raises(GenericRemoteException, match="SystemExit: 3"):
            client.system_exit()
        with pytest.raises(RecursionError):
            client.recursion()


@both_threadings
def test_targets_of_every_kind(threaded: bool) -> None:
    class Base:
        """Base."""

        def inherited(self, a: int) -> int:
            """Of the base."""
            return a

        @staticmethod
        def static(a: int) -> int:
            return a

        @classmethod
        def of_class(cls) -> str:
            return cls.__name__

    class Derived(Base):
        __slots__ = ("attribute", "late")
        partial = functools.partialmethod(Base.inherited, 7)

        def __init__(self) -> None:
            self.attribute = 5
            self.late = lambda x: x * 2

        @property
        def forbidden(self) -> Any:
            raise AssertionError("evaluated")

        @functools.cached_property
        def also_forbidden(self) -> Any:
            raise AssertionError("evaluated")

        @functools.wraps(Base.inherited)
        def wrapped(self, *args: Any) -> Any:
            return args

        def kinds(self, a, /, b, *, c=3, **more):  # type: ignore[no-untyped-def]
            return [a, b, c, more]

    with rpc_server({"t": Derived()}, threaded=threaded) as port, Client(HOST, port) as client:
        assert client._Client__valid_methods == {
            *("inherited", "static", "of_class", "partial", "late", "wrapped", "kinds")
        }
        assert client.inherited(1) == 1
        assert client.static(a=2) == 2
        assert client.of_class() == "Derived"
        assert client.partial() == 7
        assert client.late(4) == 8
        assert client.wrapped(1, 2) == (1, 2)
        assert client.kinds(1, 2, d=4) == [1, 2, 3, {"d": 4}]
        listing = client.get_rpc_method_list()
        assert set(listing["methods"]) == client._Client__valid_methods
        assert listing["methods"]["inherited"][1] == "Of the base."


def test_targets_without_methods_and_targets_that_make_up_their_attributes() -> None:
    class Proxy:
        """Methods that exist only when asked for, as proxies have them."""

        def __getattr__(self, name: str) -> Any:
            if name == "made_up":
                return lambda x: [name, x]
            raise AttributeError(name)

    targets = {"empty": object(), "proxy": Proxy(), "mock": lambda: unittest.mock.Mock(spec=["f"])}
    with rpc_server(targets) as port:
        for v2 in (b" pyon_v2", b""):
            with connected(port) as peer:
                peer.send(b"ARTIQ pc_rpc\nempty" + v2 + b"\n")
                peer.line()
                expected = b'{"__jsonclass__":["set",[[]]]}\n' if v2 else b"{*()}\n"
                assert peer.line() == expected
                peer.send(b'{"action": "call", "name": "f", "args": [], "kwargs": {}}\n')
                assert b"AttributeError" in peer.line()
        with connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\nproxy pyon_v2\n")
            peer.line()
            peer.line()
            peer.send(b'{"action":"call","name":"made_up","args":[1],"kwargs":{}}\n')
            assert peer.line() == b'{"status":"ok","ret":["made_up",1]}\n'


def test_a_factory_makes_a_target_for_each_connection_and_may_fail(
    caplog: pytest.LogCaptureFixture, either_protocol: bool
) -> None:
    made: list[int] = []

    class Made:
        def __init__(self) -> None:
            if len(made) == 2:
                made.append(0)
                raise RuntimeError("the device is not there")
            made.append(len(made))
            self.number = made[-1]

        def get(self) -> int:
            return self.number

    with rpc_server({"t": Made}) as port:
        with Client(HOST, port) as one, Client(HOST, port) as two:
            assert (one.get(), two.get()) == (0, 1)
        with pytest.raises(RuntimeError if either_protocol else EOFError):
            Client(HOST, port)
        assert "the device is not there" in caplog.text
        with Client(HOST, port) as four:
            assert four.get() == 3


def test_without_allow_parallel_calls_take_turns_and_listing_does_not_wait() -> None:
    class Counting(GatedTarget):
        """In which calls could meet."""

        def __init__(self) -> None:
            super().__init__()
            self.running = 0
            self.most = 0

        async def call(self) -> int:
            self.running += 1
            self.most = max(self.most, self.running)
            await self.wait()
            self.running -= 1
            return self.most

    async def most(port: int, target: Counting, together: int) -> int:
        clients = [AsyncioClient() for _ in range(4)]
        for client in clients:
            await client.connect_rpc(HOST, port)
        calls = [asyncio.create_task(client.call()) for client in clients]
        while target.running < together:
            await asyncio.sleep(0.002)
        other = AsyncioClient()
        await other.connect_rpc(HOST, port)  # while calls are running
        assert (await other.get_rpc_method_list())["docstring"] == "In which calls could meet."
        target.released.set()
        await asyncio.gather(*calls)
        for client in (*clients, other):
            await client.close_rpc()
        return target.most

    for parallel, expected in ((False, 1), (True, 4)):
        target = Counting()
        with rpc_server({"t": target}, allow_parallel=parallel) as port:
            assert asyncio.run(most(port, target, expected)) == expected


def test_a_call_goes_on_when_its_caller_has_gone_and_the_turn_passes_on() -> None:
    class Slow(GatedTarget):
        ended = 0

        async def counted(self) -> int:
            await self.wait()
            self.ended += 1
            return self.ended

    target = Slow()
    with rpc_server({"t": target}) as port:
        with connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n")
            peer.line()
            peer.line()
            peer.send(b'{"action":"call","name":"counted","args":[],"kwargs":{}}\n')
            assert target.entered.wait(DEADLINE)
        target.released.set()
        with Client(HOST, port) as client:
            assert client.counted() == 2


def test_threads_run_coroutines_in_the_loop_and_plain_methods_beside_it() -> None:
    class Where:
        def plain(self) -> str:
            return threading.current_thread().name

        def again(self) -> str:
            return threading.current_thread().name

        async def coroutine(self) -> str:
            return threading.current_thread().name

    with rpc_server({"a": Where(), "b": Where()}, threaded=True) as port:
        with Client(HOST, port, "a") as a, Client(HOST, port, "b") as b:
            assert a.plain() == a.again()  # one thread for each target
            assert a.plain() != b.plain()
            assert a.coroutine() == b.coroutine()
            assert a.coroutine() not in (a.plain(), b.plain())
    until(lambda: not any("calls of" in thread.name for thread in threading.enumerate()))


@both_threadings
def test_a_stopped_server_can_be_started_again(threaded: bool) -> None:
    class Target:
        def echo(self, x: Any) -> Any:
            return x

    async def main() -> None:
        server = Server({"t": Target()}, threaded=threaded)
        for _ in range(3):
            await server.start(HOST, 0)
            assert server.server is not None
            async with AsyncioClient() as client:
                await client.connect_rpc(HOST, server.server.sockets[0].getsockname()[1])
                assert await client.echo(1) == 1
                await server.stop()
                with pytest.raises((EOFError, ConnectionError)):
                    await client.echo(2)
            await server.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_port_that_is_taken_is_an_error_and_leaves_the_server_usable() -> None:
    async def main() -> None:
        server = Server({})
        with socket.create_server((HOST, 0)) as taken:
            with pytest.raises(OSError, match="in use"):
                await server.start(HOST, taken.getsockname()[1])
        await server.stop()
        await server.start([HOST], 0)
        await server.stop()

    asyncio.run(main())


def test_floats_of_numpy_as_plain_numbers_on_request() -> None:
    np = pytest.importorskip("numpy")

    class Target:
        def get(self) -> Any:
            return np.float64(0.5)

    for plain, expected in (
        (True, b'{"status":"ok","ret":0.5}\n'),
        (False, b'{"status":"ok","ret":{"__jsonclass__":["npscalar",["<f8","AAAAAAAA4D8="]]}}\n'),
    ):
        with rpc_server({"t": Target()}, plain_float64=plain) as port, connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n")
            peer.line()
            peer.line()
            peer.send(b'{"action":"call","name":"get","args":[],"kwargs":{}}\n')
            assert peer.line() == expected


# --- simple_server_loop --------------------------------------------------------------------------


class Pings:
    def ping(self) -> bool:
        return True

    def leave(self) -> None:
        raise SystemExit


def serve_until(call: Callable[[Client], Any], *args: Any, **kwargs: Any) -> None:
    """Run `simple_server_loop` here, in the main thread, until a client has made a call."""
    port = free_port()
    failures: list[BaseException] = []

    def use() -> None:
        try:
            until(lambda: listening(port))
            with Client(HOST, port, "t", timeout=DEADLINE) as client:
                assert client.ping() is True
                call(client)
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=use)
    thread.start()
    if "host" in kwargs:
        kwargs["port"] = port
    else:
        args = ({"t": Pings()}, HOST, port, *args)
    simple_server_loop(*args, **kwargs)
    thread.join(DEADLINE)
    assert failures == []


def listening(port: int) -> bool:
    try:
        socket.create_connection((HOST, port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_simple_server_loop_by_position() -> None:
    serve_until(lambda client: client.terminate())
    serve_until(lambda client: client.terminate(), "a description", True, None)


def test_simple_server_loop_by_keyword_in_a_loop_of_the_caller() -> None:
    loop = asyncio.new_event_loop()
    try:
        serve_until(
            lambda client: client.terminate(),
            targets={"t": Pings()},
            host=HOST,
            description="d",
            allow_parallel=True,
            loop=loop,
        )
        assert not loop.is_closed()
        assert asyncio.all_tasks(loop) == set()
    finally:
        loop.close()


def test_simple_server_loop_ends_when_a_method_raises_system_exit() -> None:
    def leave(client: Client) -> None:
        with pytest.raises(EOFError):
            client.leave()

    serve_until(leave)


def test_terminate_is_listed_and_answered_before_the_server_stops() -> None:
    argspec = {
        "args": ["self"],
        "defaults": None,
        "varargs": None,
        "varkw": None,
        "kwonlyargs": [],
        "kwonlydefaults": [],
    }

    def check(client: Client) -> None:
        assert client.get_rpc_method_list()["methods"]["terminate"] == (
            argspec,
            "Terminate the server.",
        )
        assert client.terminate() is None

    serve_until(check)


def test_simple_server_loop_may_be_ended_by_its_owner_only() -> None:
    def check(client: Client) -> None:
        assert "terminate" not in client.get_rpc_method_list()["methods"]
        with pytest.raises(GenericRemoteException, match="SystemExit"):
            client.leave()
        os.kill(os.getpid(), signal.SIGTERM)

    serve_until(check, builtin_terminate=False)


def test_servers_tell_their_ports() -> None:
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server({"t": Pings()}))
        return servers[0]

    with running_server(make) as port:
        assert servers[0].server is not None
        assert servers[0].server.sockets[0].getsockname() == (HOST, port)
