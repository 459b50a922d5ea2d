"""Clients and servers over loopback: what must hold whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import pydoc
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    AutoTarget,
    BestEffortClient,
    Client,
    GenericRemoteException,
    IncompatibleServer,
    LineTooLong,
    Server,
    as_interface,
    call_timeout,
)
from support.gates import GatedTarget
from support.peers import (
    DEADLINE,
    HOST,
    Peer,
    connected,
    handshake,
    rpc_server,
    running_server,
    scripted_server,
    until,
)
from support.programs import free_port
from support.threads import in_a_thread

pytestmark = pytest.mark.usefixtures("either_protocol")


class Target(GatedTarget):
    """A target."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def echo(self, x: Any = 5) -> Any:
        """Return the argument."""
        return x

    def count(self) -> int:
        self.calls += 1
        return self.calls

    def fail(self) -> None:
        raise FileNotFoundError(2, "No such file", "/x")

    def decode(self) -> None:
        b"\xff".decode()

    def interrupt(self) -> None:
        raise GeneratorExit

    async def cancel(self) -> None:
        raise asyncio.CancelledError

    def _private(self) -> None: ...

    @property
    def computed(self) -> Any:
        raise AssertionError("evaluated")


# --- contract 1: a reply belongs to its call ---------------------------------------------------


def test_a_late_reply_is_not_the_next_calls() -> None:
    target = Target()
    with rpc_server({"t": target}) as port, Client(HOST, port) as client:
        with pytest.raises(TimeoutError, match=r"`t\.wait` on 127\.0\.0\.1 port \d+ timed out"):
            with call_timeout(client, 0.05):
                client.wait()
        target.released.set()
        assert client.echo("mine") == "mine"


def test_a_late_reply_of_any_server_is_dropped_by_counting() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        for _ in range(3):
            peer.line()
        peer.send(b'{"status":"ok","ret":1}\n{"status":"ok","r')
        peer.send(b'et":2}\n{"status":"ok","ret":3}\n')
        assert peer.line() == b""

    with scripted_server(play) as port, Client(HOST, port) as client:
        for _ in range(2):
            with pytest.raises(TimeoutError), call_timeout(client, 0.05):
                client.f()
        assert client.f() == 3


def test_a_reply_that_nobody_asked_for_is_nobodys() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.send(b'{"status":"ok","ret":1}\n{"status":"ok","ret":"stray"}\n')
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            assert await client.f() == 1
            with pytest.raises(ConnectionError, match="nobody had asked for"):
                await client.f()

    with scripted_server(play) as port:
        with Client(HOST, port) as client:
            assert client.f() == 1
            with pytest.raises(ConnectionError, match="nobody had asked for"):
                client.f()
        asyncio.run(main(port))


def test_a_request_sent_in_part_closes_the_connection() -> None:
    release = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        assert release.wait(DEADLINE)

    with scripted_server(play) as port, Client(HOST, port) as client:
        vars(client)["_Client__connection"].timeout = 0.2  # connecting may take longer
        with pytest.raises(TimeoutError, match=r"`test\.f`"):
            client.f("x" * 50_000_000)
        with pytest.raises(ConnectionError, match="sent in part"):
            client.f()
        release.set()


def test_ctrl_c_does_not_spoil_the_next_call() -> None:
    target = Target()
    with rpc_server({"t": target}) as port, Client(HOST, port) as client:

        def interrupt() -> None:
            assert target.entered.wait(DEADLINE)
            assert main is not None
            until(lambda: sys._current_frames()[main].f_code.co_name == "receive_some")
            signal.pthread_kill(main, signal.SIGINT)
            # Python overlooks a signal that comes just before it enters the system call.
            while not interrupted.wait(1):
                signal.pthread_kill(main, signal.SIGINT)

        main = threading.main_thread().ident
        assert main is not None
        interrupted = threading.Event()
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            client.wait()
        interrupted.set()
        thread.join()
        target.released.set()
        assert client.echo("mine") == "mine"


def test_a_call_inside_a_call_of_the_same_thread_is_refused() -> None:
    target = Target()
    with rpc_server({"t": target}) as port, Client(HOST, port) as client:
        refused: list[str] = []

        def handler(number: int, frame: object) -> None:
            try:
                client.echo()
            except RuntimeError as exc:
                refused.append(str(exc))
            target.released.set()

        def interrupt() -> None:
            assert target.entered.wait(DEADLINE)
            main = threading.main_thread().ident
            assert main is not None
            # Python sees no signal that comes just before a system call that blocks.
            while not target.released.wait(0.05):
                signal.pthread_kill(main, signal.SIGUSR1)

        previous = signal.signal(signal.SIGUSR1, handler)
        try:
            thread = threading.Thread(target=interrupt)
            thread.start()
            assert client.wait() == "waited"
            thread.join()
        finally:
            signal.signal(signal.SIGUSR1, previous)
        assert "another call" in refused[0]


def test_cancelled_calls_do_not_spoil_others() -> None:
    target = Target()

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.wait(), 0.05)
            calls = [asyncio.create_task(client.echo(i)) for i in range(10)]
            await asyncio.sleep(0)
            calls[3].cancel()
            target.released.set()
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert [x for x in found if not isinstance(x, BaseException)] == [
                *(0, 1, 2, 4, 5, 6, 7, 8, 9)
            ]

    with rpc_server({"t": target}) as port:
        asyncio.run(main(port))


def test_calls_of_many_tasks_are_pipelined() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        requests = [peer.line() for _ in range(20)]  # all, before the first reply
        for request in requests:
            number = request.split(b"[[")[1].split(b"]")[0]
            peer.send(b'{"status":"ok","ret":' + number + b"}\n")
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            assert await asyncio.gather(*(client.f(i) for i in range(20))) == list(range(20))

    with scripted_server(play) as port:
        asyncio.run(main(port))


def test_a_client_may_be_used_from_several_threads() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        wrong: list[Any] = []

        def work(number: int) -> None:
            for i in range(50):
                if client.echo([number, i]) != [number, i]:
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert wrong == []


def test_waiting_for_another_thread_counts_as_well() -> None:
    target = Target()
    with rpc_server({"t": target}) as port, Client(HOST, port) as client:
        thread = threading.Thread(target=client.wait)
        thread.start()
        assert target.entered.wait(DEADLINE)
        with pytest.raises(TimeoutError, match="waiting for another thread"):
            with call_timeout(client, 0.05):
                client.echo()
        target.released.set()
        thread.join()


# --- timeouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b'{"targets":["test"]'])
def test_the_handshake_honours_the_timeout(said: bytes) -> None:
    def play(peer: Peer) -> None:
        peer.send(said)
        while peer.line():
            pass

    async def main(port: int) -> None:
        with pytest.raises(TimeoutError, match=f"port {port} timed out after"):
            await AsyncioClient(timeout=0.1).connect_rpc(HOST, port)

    with scripted_server(play) as port:
        with pytest.raises(TimeoutError, match=f"the handshake on {HOST} port {port}"):
            Client(HOST, port, timeout=0.1)
        asyncio.run(main(port))


def test_asyncio_calls_honour_both_timeouts() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient(timeout=0.05) as client:
            while True:
                try:
                    await client.connect_rpc(HOST, port)
                    break
                except TimeoutError:
                    pass  # it holds for connecting, too, which is slow on a busy machine
            with pytest.raises(TimeoutError, match=r"`t\.wait` on .* port \d+ timed out"):
                await client.wait()
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(TimeoutError, match=r"`t\.wait`"), call_timeout(client, 0.05):
                await client.wait()

    target = Target()
    with rpc_server({"t": target}, allow_parallel=True) as port:
        asyncio.run(main(port))
        target.released.set()


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_timeout_is_positive(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"), call_timeout(None, seconds):
        pass


# --- clients -------------------------------------------------------------------------------------


def test_methods_show_the_remote_signature_and_docstring() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        assert str(inspect.signature(client.echo)) == "(x: 'Any' = 5) -> 'Any'"
        assert inspect.getdoc(client.echo) == "Return the argument."
        assert "Return the argument." in pydoc.render_doc(client.echo)
        assert {"echo", "wait", "close_rpc"} <= set(dir(client))
        assert "_private" not in dir(client)
        with pytest.raises(AttributeError, match="no method `nosuch`"):
            client.nosuch
        assert "echo" in client._Client__valid_methods


def test_asyncio_methods_are_coroutine_functions_with_the_remote_documentation() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            assert inspect.iscoroutinefunction(client.echo)
            assert str(inspect.signature(client.echo)) == "(*args, **kwargs)"
            await client.get_rpc_method_list()
            assert str(inspect.signature(client.echo)) == "(x: 'Any' = 5) -> 'Any'"
            assert inspect.getdoc(client.echo) == "Return the argument."
            assert "echo" in dir(client)
            with pytest.raises(AttributeError, match="no method `nosuch`"):
                client.nosuch

    with rpc_server({"t": Target()}) as port:
        asyncio.run(main(port))


class Interface(Protocol):
    def echo(self, x: int) -> int: ...
    def nosuch(self) -> None: ...


def test_an_interface_is_checked() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        with pytest.raises(IncompatibleServer, match="lacks methods of `Interface`: `nosuch`"):
            as_interface(client, Interface)
        assert as_interface(client, type("Less", (), {"echo": Target.echo})) is client


def test_exceptions_come_back_as_themselves() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        with pytest.raises(FileNotFoundError) as caught:
            client.fail()
        assert (caught.value.errno, caught.value.filename) == (2, "/x")
        assert "Remote traceback" in caught.value.__notes__[0]
        assert "in fail" in "".join(caught.value.parent_traceback)  # type: ignore[attr-defined]
        with pytest.raises(UnicodeDecodeError) as undecoded:
            client.decode()
        assert undecoded.value.object == b"\xff"
        with pytest.raises(GenericRemoteException, match="GeneratorExit"):
            client.interrupt()
        with pytest.raises(GenericRemoteException, match="CancelledError"):
            client.cancel()
        with pytest.raises(TypeError, match="not PYON encodable"):
            client.echo(object())
        assert client.echo() == 5


@pytest.mark.parametrize("name", ["_private", "computed", "__class__", "released", "nosuch"])
def test_only_public_callables_can_be_called(name: str) -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n")
        assert peer.line().startswith(b'{"targets":["t"]')
        assert name.encode() not in peer.line()
        peer.send(b'{"action":"call","name":"%s","args":[],"kwargs":{}}\n' % name.encode())
        assert b'"class":"AttributeError"' in peer.line()
        peer.send(b'{"action":"get_rpc_method_list"}\n')
        assert b'"status":"ok"' in peer.line()


def test_a_server_killed_in_mid_call_is_the_end_of_the_file() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.send(b'{"status"')

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(EOFError, match="closed the connection"):
                await client.f()
            with pytest.raises(ConnectionError, match="closed by the other side earlier"):
                await client.f()

    with scripted_server(play) as port:
        with Client(HOST, port) as client:
            with pytest.raises(EOFError, match=r"call of `test\.f`: the other side closed"):
                client.f()
            with pytest.raises(ConnectionError, match="closed by the other side earlier"):
                client.f()
        asyncio.run(main(port))


def test_close_is_repeatable_and_ends_calls_of_other_threads() -> None:
    target = Target()
    with rpc_server({"t": target}, allow_parallel=True) as port:
        client = Client(HOST, port)
        ended: list[BaseException] = []

        def call() -> None:
            try:
                client.wait()
            except (EOFError, OSError) as exc:
                ended.append(exc)

        thread = threading.Thread(target=call)
        thread.start()
        assert target.entered.wait(DEADLINE)
        client.close_rpc()
        client.close_rpc()
        thread.join(DEADLINE)
        assert ended
        with pytest.raises(ConnectionError, match="closed by this program"):
            client.echo()
        target.released.set()


def test_asyncio_close_can_be_used_in_every_way() -> None:
    def connect(port: int) -> tuple[asyncio.AbstractEventLoop, AsyncioClient]:
        loop = asyncio.new_event_loop()
        client = AsyncioClient()
        loop.run_until_complete(client.connect_rpc(HOST, port))
        return loop, client

    with rpc_server({"t": Target()}) as port, warnings.catch_warnings():
        warnings.simplefilter("error")
        loop, client = connect(port)
        loop.run_until_complete(client.close_rpc())
        client.close_rpc()
        loop.close()
        loop, client = connect(port)
        client.close_rpc()  # dropped
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        loop, client = connect(port)
        loop.close()
        client.close_rpc()
        asyncio.run(client.close_rpc())

        async def task() -> None:
            other = AsyncioClient()
            await other.connect_rpc(HOST, port, None)
            await asyncio.gather(asyncio.create_task(other.close_rpc()), other.close_rpc())

        asyncio.run(task())


def test_auto_target_and_unknown_targets() -> None:
    with rpc_server({"b": Target(), "a": lambda: Target()}, description="d") as port:
        with pytest.raises(ValueError, match=r"^Server has multiple targets: a b$"):
            Client(HOST, port)
        with pytest.raises(IncompatibleServer, match="no target `c`"):
            Client(HOST, port, "c")
        with Client(HOST, port, None) as client:
            assert client.get_rpc_id() == (["a", "b"], "d")
            assert client.get_selected_target() is None
            with pytest.raises(ValueError, match="no target is selected"):
                client.get_rpc_method_list()
            client.select_rpc_target("a")
            assert client.count() == 1
        with Client(HOST, port, "a") as client:
            assert client.count() == 1  # one object for each connection
            assert client.get_local_host() == HOST


def test_a_refused_connection_says_where() -> None:
    port = free_port()
    with pytest.raises(ConnectionRefusedError, match=f"{HOST} port {port}"):
        Client(HOST, port)
    with pytest.raises(ConnectionRefusedError, match=f"{HOST} port {port}"):
        asyncio.run(AsyncioClient().connect_rpc(HOST, port))


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH\n", b"\xff\n", b'{"a":1}\n'])
def test_another_server_is_recognised(greeting: bytes) -> None:
    with scripted_server(lambda peer: peer.send(greeting)) as port:
        with pytest.raises(IncompatibleServer, match="not an RPC server"):
            Client(HOST, port)


def test_a_reply_that_is_too_long_is_dropped() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port, max_line=200) as client:
        with pytest.raises(LineTooLong, match="limit is 200 bytes"):
            client.echo("x" * 500)
        assert client.echo(1) == 1


# --- best effort ---------------------------------------------------------------------------------


def test_best_effort_outlives_its_server(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with BestEffortClient(HOST, port, "t", retry=0.01) as client:
        assert client.anything() is None
        assert "could not connect" in caplog.text
        with pytest.raises(AttributeError):
            client._private()

        async def main() -> None:
            server = Server({"t": Target()}, allow_parallel=True)
            await server.start(HOST, port)
            try:
                async with asyncio.timeout(DEADLINE):
                    while await asyncio.to_thread(client.echo, 1) is None:
                        await asyncio.sleep(0.01)
                with pytest.raises(FileNotFoundError):
                    await asyncio.to_thread(client.fail)
                with pytest.raises(TypeError):
                    await asyncio.to_thread(client.echo, object())
                assert await asyncio.to_thread(client.echo, 2) == 2
            finally:
                await server.stop()

        asyncio.run(main())
        assert client.echo(3) is None
        assert "reconnecting in the background" in caplog.text
        with pytest.raises(AttributeError, match="no method `nosuch`"):
            client.nosuch()


def test_best_effort_stops_trying_at_once() -> None:
    port = free_port()
    client = BestEffortClient(HOST, port, AutoTarget, retry=1000)
    client.close_rpc()
    client.close_rpc()
    assert not [t for t in threading.enumerate() if t.name.startswith("reconnect to")]
    assert client.echo() is None


# --- servers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"x" * 1000 + b"\n", b"line of 1000 bytes is too long: the limit is 500 bytes"),
        (b"{bad\n", b"not PYON v2"),
        (b"\xff\xff\n", b"ValueError"),
        (b"[]\n", b"a request is a dictionary"),
        (b"{}\n", b"KeyError"),
        (b'{"action":"call"}\n', b"`name`"),
        (b"[" * 400 + b"\n", b"failed"),
    ],
)
def test_a_bad_request_is_answered_and_the_connection_goes_on(line: bytes, reason: bytes) -> None:
    with rpc_server({"t": Target()}, max_line=500) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n")
        peer.line()
        peer.line()
        peer.send(line)
        reply = peer.line()
        assert b'"status":"failed"' in reply
        assert reason in reply
        peer.send(b'{"action":"call","name":"echo","args":[1],"kwargs":{}}\n')
        assert peer.line() == b'{"status":"ok","ret":1}\n'


@pytest.mark.parametrize(
    "said", [b"X", b"\x16\x03\x01", b"ARTIQ pc_rpc\r\n", b"ARTIQ pc_rpc\nx\n"]
)
def test_a_stray_client_is_turned_away_with_a_reason(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        peer.send(said)
        with contextlib.suppress(ConnectionResetError):  # some of our bytes were not read
            while peer.line():
                pass
        until(lambda: "closing the connection from 127.0.0.1 port" in caplog.text)


def test_threads_keep_a_blocking_driver_apart() -> None:
    slow, quick = Target(), Target()
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server({"slow": slow, "quick": quick}, threaded=True))
        return servers[0]

    with running_server(make) as port:
        with Client(HOST, port, "slow") as first, Client(HOST, port, "quick") as second:
            thread = threading.Thread(target=first.block)
            thread.start()
            assert slow.entered.wait(DEADLINE)
            assert second.echo(1) == 1
            with Client(HOST, port, "slow") as third:
                assert "block" in third.get_rpc_method_list()["methods"]
                with pytest.raises(TimeoutError), call_timeout(third, 0.05):
                    third.count()
            until(lambda: len(servers[0]._handlers) == 2)
            slow.released.set()
            thread.join(DEADLINE)
            assert first.echo(2) == 2
        # The caller that went away gave up its turn, so its call was never made.
        with Client(HOST, port, "slow") as last:
            assert last.count() == 1


def test_stop_does_not_wait_for_a_driver_that_is_stuck() -> None:
    target = Target()
    try:
        with contextlib.ExitStack() as stack:
            with rpc_server({"t": target}, threaded=True) as port:
                client = stack.enter_context(Client(HOST, port))
                outcome = stack.enter_context(in_a_thread(client.block))
                assert target.entered.wait(DEADLINE)
        assert isinstance(outcome[0], EOFError)
    finally:
        target.released.set()


def test_stop_is_repeatable_and_ends_calls() -> None:
    async def main() -> None:
        server = Server({"t": Target()})
        await server.stop()
        await server.start(HOST, 0)
        assert server.server is not None
        port = server.server.sockets[0].getsockname()[1]
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            call = asyncio.create_task(client.wait())
            await client_has_sent(call)
            await server.stop()
            await server.stop()
            with pytest.raises(EOFError):
                await call
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def client_has_sent(task: asyncio.Task[Any]) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(main())


def test_terminate_and_system_exit_stop_a_server() -> None:
    class Exiting:
        def leave(self) -> None:
            raise SystemExit(3)

    async def main(call: Callable[[AsyncioClient], Any]) -> None:
        server = Server({"t": Exiting()}, builtin_terminate=True)
        await server.start(HOST, 0)
        assert server.server is not None
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, server.server.sockets[0].getsockname()[1])
            await call(client)
        async with asyncio.timeout(DEADLINE):
            await server.wait_terminate()
        await server.stop()

    async def terminate(client: AsyncioClient) -> None:
        assert await client.terminate() is None

    async def leave(client: AsyncioClient) -> None:
        with pytest.raises(EOFError):
            await client.leave()

    asyncio.run(main(terminate))
    asyncio.run(main(leave))


@pytest.mark.parametrize("name", ["a b", "", "a\n"])
def test_a_server_refuses_names_that_cannot_be_selected(name: str) -> None:
    with pytest.raises(ValueError, match="white space"):
        Server({name: Target()})
    with pytest.raises(ValueError, match="description"):
        Server({"a": Target()}, 5)  # type: ignore[arg-type]


def test_a_strange_member_does_not_spoil_the_listing(caplog: pytest.LogCaptureFixture) -> None:
    class Strange:
        number = int
        opaque = staticmethod(lambda x=object(): None)  # noqa: B008

        def annotated(self, x: nosuch) -> alsonot: ...  # type: ignore[name-defined]  # noqa: F821

    caplog.set_level(logging.ERROR)
    for v2 in (b" pyon_v2", b""):
        with rpc_server({"t": Strange()}) as port, connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\nt" + v2 + b"\n")
            peer.line()
            peer.line()
            peer.send(b'{"action": "get_rpc_method_list"}\n')
            reply = peer.line()
            assert b"nosuch" in reply
            assert b"<object object" in reply
    assert caplog.text == ""
