"""Clients and servers in a process that was forked: they refuse, and the parent goes on."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc import fire_and_forget
from sipyco_rpc._client.blocking import transport
from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.net.signals import SignalHandler
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server
from sipyco_rpc.support import process_bound
from sipyco_rpc.support.process_bound import after_fork_in_child, leave_descriptor
from support.environment import as_installed
from support.event_loops import every_loop, loop_factory
from support.forks import fork, in_child, outcome
from support.gates import GatedTarget
from support.peers import (
    DEADLINE,
    HOST,
    Peer,
    connect_elsewhere,
    handshake,
    rpc_server,
    running_server,
    scripted_server,
    until,
)
from support.programs import free_port
from support.transports import TRANSPORTS, every_transport

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

BELONGS = f"belongs to process {os.getpid()}, from which this one was forked: make another client"


class Target(GatedTarget):
    def items(self) -> Iterator[int]:
        yield from range(5)


@every_transport
def test_a_client_refuses_in_a_child_and_goes_on_in_the_parent(transport: str) -> None:
    ours, theirs = TRANSPORTS[transport]()
    with running_server(lambda: Server({"t": Target()}), **ours) as port:
        with Client(HOST, port, **theirs) as client:
            items = client.items()
            assert next(items) == 0
            echo = client.echo

            def use() -> str:
                texts = [outcome(lambda: echo(1)), outcome(lambda: next(items))]
                texts += [outcome(items.close), outcome(client.get_rpc_method_list)]
                texts.append(outcome(client.close_rpc))
                with Client(HOST, port, **theirs) as other:
                    texts.append(other.echo("a new one"))
                gc.collect()
                return "\n".join(texts)

            call, item, close, listing, close_rpc, new = in_child(use).split("\n")
            where = f"the connection to {HOST} port {port}"
            assert call == f"ConnectionLost: call of `t.echo`: {where} {BELONGS} in this process"
            assert item.startswith(f"ConnectionLost: call of `t.items`: {where} belongs to")
            assert listing.startswith(f"ConnectionLost: listing the methods: {where} belongs")
            assert (close, close_rpc, new) == ("None", "None", "a new one")
            assert client.echo(2) == 2
            assert list(items) == [1, 2, 3, 4]


def test_the_peer_gets_no_byte_from_the_child_and_no_end() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        assert b'"g"' in peer.line()
        peer.send(b'{"status":"ok","ret":5}\n')
        assert peer.line() == b""

    with scripted_server(play) as port, Client(HOST, port, "test") as client:
        in_child(lambda: (outcome(client.f), client.close_rpc(), gc.collect()))
        assert client.g() == 5


def test_a_child_does_not_keep_a_connection_open_that_its_parent_closes() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        assert peer.line() == b""  # though the child lives
        ended.set()

    ended = threading.Event()
    with scripted_server(play) as port:
        client = AsyncioClient()
        with asyncio.Runner() as runner:
            runner.run(client.connect_rpc(HOST, port))
            reads, writes = os.pipe()
            child = fork()
            if child == 0:
                os.close(writes)
                os.read(reads, 1)  # until the parent has closed it
                os._exit(0)
            runner.run(_closed(client))
            assert ended.wait(DEADLINE)
        os.close(writes)
        os.close(reads)
        assert os.waitpid(child, 0)[1] == 0


async def _closed(client: AsyncioClient) -> None:
    await client.close_rpc()


def test_a_pool_whose_workers_use_a_client_of_the_parent() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        global _client
        _client = client
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                for text in pool.map(_use_global_client, range(8)):
                    assert BELONGS in text
                pool.close()
                pool.join()
        assert [client.echo(x) for x in range(8)] == list(range(8))


_client: Any = None


def _use_global_client(x: int) -> str:
    return outcome(lambda: _client.echo(x))


def test_a_fork_while_another_thread_is_in_a_call_leaves_no_turn_taken() -> None:
    target = Target()
    with rpc_server({"t": target}, threaded=True) as port, Client(HOST, port) as client:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(client.block()))
        thread.start()
        assert target.entered.wait(DEADLINE)
        assert BELONGS in in_child(lambda: client.echo(1))
        assert in_child(client.close_rpc) == "None"
        target.released.set()
        thread.join(DEADLINE)
        assert answers == ["released"]


def test_a_fork_while_other_threads_hold_the_locks_of_clients() -> None:
    with rpc_server({"t": Target()}) as port:
        with Client(HOST, port) as client, BestEffortClient(HOST, port, "t") as best:
            proxy = FFProxy(Target())
            lock = client._Client__connection.lock  # type: ignore[attr-defined]
            reconnecting = best._BestEffortClient__connection
            locks = [lock.guard, reconnecting._lock, fire_and_forget._shared.lock]
            held, release = threading.Event(), threading.Event()

            def hold() -> None:
                for lock in locks:
                    lock.acquire()
                held.set()
                assert release.wait(DEADLINE)
                for lock in locks:
                    lock.release()

            thread = threading.Thread(target=hold)
            thread.start()
            assert held.wait(DEADLINE)

            def use() -> str:
                text = outcome(lambda: client.echo(1))
                proxy.echo(1)
                proxy.ff_join()
                return f"{text} {best.echo(2)}"

            assert in_child(use).endswith(" in this process 2")
            assert in_child(lambda: (client.close_rpc(), best.close_rpc())) == "(None, None)"
            release.set()
            thread.join(DEADLINE)
            assert client.echo(3) == best.echo(3) == 3


@every_transport
def test_a_best_effort_client_connects_anew_in_a_child(transport: str) -> None:
    ours, theirs = TRANSPORTS[transport]()
    with running_server(lambda: Server({"t": Target()}), **ours) as port:
        with BestEffortClient(HOST, port, "t", DEADLINE, **theirs) as client:
            items = client.items()
            assert next(items) == 0

            def use() -> Any:
                values = [client.echo(1), client.get_local_host(), list(client.items())]
                client.close_rpc()
                return [*values, client.echo(2)]

            assert in_child(use) == "[1, '127.0.0.1', [0, 1, 2, 3, 4], None]"
            assert in_child(lambda: list(items)) == "[]"  # as where a connection breaks
            assert client.echo(3) == 3
            assert list(items) == [1, 2, 3, 4]
            client.close_rpc()
            assert in_child(lambda: client.echo(4)) == "None"  # it was closed


def test_a_best_effort_client_goes_on_trying_in_a_child(caplog: pytest.LogCaptureFixture) -> None:
    with rpc_server({"t": Target()}) as port:
        client = BestEffortClient(HOST, port, "t", DEADLINE, 0.01)

    # Its server is no more.
    def use() -> Any:
        assert client.echo(1) is None
        with rpc_server({"t": Target()}) as other:
            connect_elsewhere(client, other)
            until(lambda: client.echo(2) == 2)
        client.close_rpc()
        return "came back"

    assert in_child(use) == "came back"
    client.close_rpc()


@every_transport
@every_loop
def test_an_asyncio_client_refuses_in_a_child(transport: str, loop: str) -> None:
    ours, theirs = TRANSPORTS[transport]()
    with running_server(lambda: Server({"t": Target()}), **ours) as port:
        client = AsyncioClient()

        async def begin() -> Any:
            await client.connect_rpc(HOST, port, **theirs)
            items = await client.items()
            assert await anext(items) == 0
            return items

        async def use(items: Any) -> str:
            texts = []
            for work in (client.echo(1), anext(items), client.get_rpc_method_list()):
                try:
                    texts.append(await work)
                except Exception as exc:
                    texts.append(f"{type(exc).__name__}: {exc}")
            await items.aclose()
            await client.close_rpc()
            async with AsyncioClient() as other:
                await other.connect_rpc(HOST, port, **theirs)
                texts.append(await other.echo("a new one"))
            return "\n".join(texts)

        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            items = runner.run(begin())
            texts = in_child(lambda: asyncio.run(use(items))).split("\n")
            text = f"ConnectionLost: the connection to {HOST} port {port} {BELONGS}"
            assert texts == [f"{text} in this process"] * 3 + ["a new one"]

            async def go_on() -> None:
                running = asyncio.get_running_loop()
                woken = asyncio.Event()
                thread = threading.Thread(target=running.call_soon_threadsafe, args=(woken.set,))
                thread.start()
                async with asyncio.timeout(DEADLINE):
                    await woken.wait()
                    assert await client.echo(2) == 2
                    assert [item async for item in items] == [1, 2, 3, 4]
                    await client.close_rpc()

            runner.run(go_on())


@every_loop
@every_transport
def test_a_server_does_not_answer_in_a_child(transport: str, loop: str) -> None:
    ours, theirs = TRANSPORTS[transport]()

    async def main() -> None:
        server = Server({"t": Target()})
        await server.start(HOST, 0, **ours)
        assert server.server is not None
        port = server.server.sockets[0].getsockname()[1]
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **theirs)
            reads, writes = os.pipe()
            child = fork()
            if child == 0:
                os.close(writes)
                os.read(reads, 1)
                os._exit(0)
            assert await client.echo(1) == 1
            async with asyncio.timeout(DEADLINE):
                await server.stop()
                with pytest.raises((EOFError, ConnectionError)):
                    await client.echo(2)  # the connection has ended, though the child lives
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(HOST, port)
            os.close(writes)
            os.close(reads)
            assert os.waitpid(child, 0)[1] == 0

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_a_server_may_be_started_anew_in_a_child() -> None:
    server = Server({"t": Target()}, builtin_terminate=True)

    async def start() -> int:
        await server.start(HOST, 0)
        assert server.server is not None
        port: int = server.server.sockets[0].getsockname()[1]
        return port

    async def serve_once() -> str:
        await server.stop()  # what is the parent's
        port = await start()
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            value = await client.echo("served")
            await client.terminate()
            await server.wait_terminate()
        await server.stop()
        return str(value)

    with asyncio.Runner() as runner:
        port = runner.run(start())
        assert in_child(lambda: asyncio.run(serve_once())) == "served"

        async def use() -> None:
            async with AsyncioClient() as client:
                await client.connect_rpc(HOST, port)
                assert await client.echo(1) == 1

        runner.run(use())
        runner.run(server.stop())


FORKING = """
import os, sys
from sipyco_rpc.pc_rpc import simple_server_loop

class Target:
    def echo(self, x):
        return x

    def fork(self, end):
        child = os.fork()
        if child == 0:
            if end == "exit":
                sys.exit(5)
            if end == "raise":
                raise ValueError("the child's own")
            if end == "_exit":
                os._exit(5)
        return child

threaded = sys.argv[2] == "thread"
simple_server_loop({"t": Target()}, "127.0.0.1", int(sys.argv[1]), threaded=threaded)
"""


@pytest.mark.parametrize("where", ["loop", "thread"])
@pytest.mark.parametrize("end", ["exit", "_exit", "raise", "return"])
def test_a_method_that_forks_is_answered_once_and_its_child_ends(end: str, where: str) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING, str(port), where],
        stderr=subprocess.PIPE,
        text=True,
        env=as_installed(),
    )
    try:
        client = _connected(port)
        with client:
            child = client.fork(end)
            assert client.echo("still there") == "still there"
            until(lambda: not _alive(child))
            with Client(HOST, port) as other:
                assert other.echo(1) == 1
            client.terminate()
        _, errors = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    if end == "raise":
        assert "ValueError: the child's own" in errors


def _connected(port: int) -> Client:
    clients: list[Client] = []

    def connects() -> bool:
        try:
            clients.append(Client(HOST, port))
        except ConnectionRefusedError:
            return False
        return True

    until(connects)
    return clients[0]


def _alive(process: int) -> bool:
    """Tell whether a process runs: one that has ended stays until its parent has asked."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_of_a_server_program_takes_its_signals_as_any_process_does() -> None:
    async def main() -> None:
        handler = SignalHandler()
        handler.setup()
        try:
            child = fork()
            if child == 0:
                time.sleep(DEADLINE)  # until the signal
                os._exit(0)
            # At once: the child may not have run yet.
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
            assert os.WTERMSIG(status) == signal.SIGTERM
            assert not handler._event.is_set()
        finally:
            handler.teardown()

    asyncio.run(main())


EXITING = """
import asyncio, atexit, json, os, sys
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server

HOST = "127.0.0.1"
ours, theirs = json.loads(sys.argv[1])

class Target:
    def echo(self, x):
        return x

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)

async def begin():
    server = Server({"t": Target()})
    await server.start(HOST, 0, **ours)
    port = server.server.sockets[0].getsockname()[1]
    client = AsyncioClient()
    await client.connect_rpc(HOST, port, **theirs)
    blocking = await loop.run_in_executor(None, lambda: Client(HOST, port, **theirs))
    best = await loop.run_in_executor(None, lambda: BestEffortClient(HOST, port, "t", **theirs))
    return server, client, blocking, best

server, client, blocking, best = loop.run_until_complete(begin())
atexit.register(blocking.close_rpc)
atexit.register(best.close_rpc)
child = os.fork()
if child == 0:
    sys.exit(5)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5

async def go_on():
    async with asyncio.timeout(50):
        assert await client.echo(1) == 1
        # What threads say still wakes the loop.
        assert await asyncio.to_thread(blocking.echo, 2) == 2
        assert await asyncio.to_thread(best.echo, 3) == 3
        await client.close_rpc()
        await server.stop()
loop.run_until_complete(go_on())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
print("went on")
"""


@pytest.mark.parametrize("transport", ["tcp", "local_cert"])
def test_a_child_that_ends_as_programs_do_leaves_its_parent_alone(transport: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EXITING, json.dumps(TRANSPORTS[transport]())],
        env=as_installed(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.stdout == "went on\n", done.stderr
    assert "Error" not in done.stderr


def test_a_loop_that_goes_on_in_a_child_stops_and_says_why() -> None:
    async def main() -> None:
        server = Server({"t": Target()})
        await server.start(HOST, 0)
        if fork() == 0:
            await asyncio.Event().wait()  # for ever, one might think
        await server.stop()

    def run() -> str:
        logging.getLogger("asyncio").disabled = True
        said: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("sipyco.tools").addHandler(handler)
        me = os.getpid()
        text = outcome(lambda: asyncio.run(main()))
        if os.getpid() == me:
            _, status = os.waitpid(-1, 0)
            return f"{text} {os.waitstatus_to_exitcode(status)}"
        text = f"the event loop belongs to process {me}, from which this one was forked: "
        text += "run another one in this process (`asyncio.run`)"
        os._exit(7 if said == [text] else 1)

    assert in_child(run) == "None 7"


@every_loop
def test_a_descriptor_that_has_become_something_else_is_left_alone(
    loop: str, tmp_path: Path
) -> None:
    with rpc_server({"t": Target()}) as port:
        client = AsyncioClient()

        async def begin_and_end() -> int:
            await client.connect_rpc(HOST, port)
            transport = client._AsyncioClient__connection.transport  # type: ignore[attr-defined]
            number: int = transport.get_extra_info("socket").fileno()
            await client.close_rpc()
            return number

        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            number = runner.run(begin_and_end())
            path = tmp_path / "file"
            path.write_text("of the program")
            file = os.open(path, os.O_RDONLY)
            if file != number:
                os.dup2(file, number)
                os.close(file)
            try:
                assert in_child(lambda: os.pread(number, 100, 0)) == "b'of the program'"
            finally:
                os.close(number)


@pytest.fixture
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a child find nothing that other tests have left behind, which may fail as well."""
    monkeypatch.setattr(process_bound, "_methods", {})


class Held:
    """Something that holds descriptors, or fails to let go of them.

    Args:
        holder: has the descriptor; None to fail.
        loop: where it was used.
    """

    def __init__(self, holder: Any, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.holder = holder
        self.loop = loop
        after_fork_in_child(self.after_fork)

    def after_fork(self) -> asyncio.AbstractEventLoop | None:
        if self.holder is None:
            raise ZeroDivisionError("it fails")
        leave_descriptor(self.holder)
        return self.loop


@pytest.mark.usefixtures("no_others")
def test_one_that_fails_in_a_child_keeps_no_other_from_its_end() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    one, other = socket.socketpair()
    with one, other, open(os.devnull) as file:
        file.close()
        held = [Held(None), Held(file, closed), Held(one)]
        said: list[Any] = []

        def use() -> str:
            one.setblocking(False)
            return f"{one.recv(10)!r} {said[0].exc_value}"

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "unraisablehook", said.append)  # pytest's would fail the test
            assert in_child(use) == "b'' it fails"  # what stands in for it has ended
        other.send(b"still there")
        assert one.recv(100) == b"still there"
        del held


class HeldTwice(Held):
    """A class of which two bases have something to let go of."""

    def __init__(self, holder: Any, other: Any) -> None:
        super().__init__(holder)
        self.other = other
        after_fork_in_child(self.leave_other)

    def leave_other(self) -> None:
        leave_descriptor(self.other)


def test_an_object_may_have_two_connections() -> None:
    pairs = [socket.socketpair(), socket.socketpair()]
    held = HeldTwice(pairs[0][0], pairs[1][0])
    for one, other in pairs:
        one.setblocking(False)
        other.send(b"for the parent")
    assert in_child(lambda: [one.recv(10) for one, _ in pairs]) == "[b'', b'']"
    assert [one.recv(100) for one, _ in pairs] == [b"for the parent"] * 2
    for one, other in pairs:
        one.close()
        other.close()
    del held


@pytest.mark.usefixtures("no_others")
def test_a_loop_that_cannot_be_left_keeps_no_other_from_it() -> None:
    loops = [asyncio.new_event_loop(), asyncio.new_event_loop()]
    one, other = socket.socketpair()
    with one, other, pytest.MonkeyPatch.context() as patch:
        held = [Held(one, loop) for loop in loops]
        left: list[Any] = []

        def leave(loop: asyncio.AbstractEventLoop) -> None:
            left.append(loop)
            raise OSError("no descriptor is left")

        said: list[Any] = []
        patch.setattr(process_bound, "_leave_loop", leave)
        patch.setattr(sys, "unraisablehook", said.append)  # pytest's would fail the test
        assert in_child(lambda: f"{left == loops} {said[0].exc_value}") == (
            "True no descriptor is left"
        )
        del held
    for loop in loops:
        loop.close()


def test_the_child_does_not_enter_openssl_whose_locks_others_may_hold() -> None:
    ours, theirs = TRANSPORTS["local_cert"]()
    cleared: list[bool] = []
    with running_server(lambda: Server({"t": Target()}), **ours) as port:
        with Client(HOST, port, **theirs) as client, pytest.MonkeyPatch.context() as patch:
            patch.setattr(transport, "clear_tls_errors", lambda: cleared.append(True))
            assert in_child(lambda: cleared) == "[]"
            assert client.echo(1) == 1


def test_a_child_without_descriptors_closes_its_copies() -> None:
    resource = pytest.importorskip("resource")

    class Limiting(Held):
        def after_fork(self) -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))

    one, other = socket.socketpair()
    with one, other:
        held = [Limiting(None), Held(one)]
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        reads, writes = os.pipe()
        child = fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            try:
                os.fstat(one.fileno())
            except OSError:
                os.write(writes, b"closed")
            os._exit(0)
        os.close(writes)
        assert os.read(reads, 100) == b"closed"
        os.close(reads)
        os.waitpid(child, 0)
        del held


def test_a_loop_in_debug_mode_that_runs_in_another_thread_is_left() -> None:
    ended, began = threading.Event(), threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            clients.append(client)
            began.set()
            await asyncio.to_thread(ended.wait, DEADLINE)
            assert await client.echo(1) == 1

    clients: list[AsyncioClient] = []
    with rpc_server({"t": Target()}) as port:
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        assert began.wait(DEADLINE)

        async def use() -> str:
            try:
                return str(await clients[0].echo(2))
            except ConnectionAbortedError as exc:
                return str(exc)

        try:
            assert BELONGS in in_child(lambda: asyncio.run(use()))
        finally:
            ended.set()
            thread.join(DEADLINE)
