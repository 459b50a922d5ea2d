"""Servers that a task, a thread or a program has from beginning to end."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc._server.options import ServerOptions
from sipyco_rpc.net import listening
from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    Client,
    ConnectionLost,
    Server,
    ServerLoopOptions,
    ServerThread,
    SimpleSSLConfig,
    serve,
    serve_in_thread,
    simple_server_loop,
)
from support.certificates import identity
from support.event_loops import every_loop, loop_factory
from support.forks import fork, in_child
from support.peers import DEADLINE, HOST
from support.programs import free_port


class Target:
    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def ping(self) -> str:
        return "pong"

    def leave(self) -> None:
        sys.exit(7)

    def block(self) -> None:
        self.entered.set()
        self.go_on.wait(DEADLINE)


# --- in a thread -----------------------------------------------------------------------------


def test_a_thread_serves_on_any_port_that_is_free() -> None:
    with serve_in_thread({"t": Target()}, HOST, 0) as server:
        assert server.running
        with Client(HOST, server.port) as client:
            assert client.ping() == "pong"
    assert not server.running
    assert server.wait()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        Client(HOST, server.port)


def test_a_thread_takes_what_a_server_takes() -> None:
    made = serve_in_thread(
        {"t": Target()}, HOST, 0, "for tests", threaded=True, builtin_terminate=False
    )
    with made as server, Client(HOST, server.port, None) as client:
        assert client.get_rpc_id() == (["t"], "for tests")
        client.select_rpc_target("t")
        assert "terminate" not in client.get_rpc_method_list()["methods"]


def test_a_thread_serves_with_tls() -> None:
    ours, theirs = identity("server"), identity("client")
    with serve_in_thread(
        {"t": Target()}, HOST, 0, ssl_config=SimpleSSLConfig(ours.cert, ours.key, theirs.cert)
    ) as server:
        config = SimpleSSLConfig(theirs.cert, theirs.key, ours.cert)
        with Client(HOST, server.port, ssl_config=config) as client:
            assert client.ping() == "pong"


def test_an_error_at_the_start_is_that_of_the_caller() -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(OSError, match="in use"):
        serve_in_thread({"t": Target()}, HOST, taken.getsockname()[1])
    with pytest.raises(ValueError, match="white space"):
        serve_in_thread({"a b": Target()}, HOST, 0)
    with pytest.raises(TypeError, match="no_such_option"):
        serve_in_thread({"t": Target()}, HOST, 0, no_such_option=1)  # type: ignore[call-arg]


def test_an_object_in_place_of_the_dictionary_is_told_to_the_caller() -> None:
    targets: Any = Target()
    with pytest.raises(TypeError, match="targets is a dictionary of objects by their names"):
        serve_in_thread(targets, HOST, 0)


def test_a_client_may_end_a_thread() -> None:
    with serve_in_thread({"t": Target()}, HOST, 0) as server:
        with Client(HOST, server.port) as client:
            client.terminate()
        assert server.wait(DEADLINE)
        assert server.exit_code is None


def test_sys_exit_of_a_method_ends_its_thread_only() -> None:
    with serve_in_thread({"t": Target()}, HOST, 0) as server:
        with pytest.raises(EOFError), Client(HOST, server.port) as client:
            client.leave()
        assert server.wait(DEADLINE)
        assert server.exit_code == 7


def test_stopping_once_more_does_not_cut_short_how_it_stops() -> None:
    servers: list[ServerThread] = []
    entered, cleaned_up = threading.Event(), threading.Event()

    class Careful:
        async def hold(self) -> None:
            try:
                entered.set()
                await asyncio.sleep(DEADLINE)
            finally:
                servers[0].stop()
                for _ in range(100):
                    await asyncio.sleep(0)
                cleaned_up.set()

    def call() -> None:
        with pytest.raises(ConnectionLost), Client(HOST, server.port) as client:
            client.hold()

    server = serve_in_thread({"t": Careful()}, HOST, 0)
    servers.append(server)
    calling = threading.Thread(target=call)
    calling.start()
    assert entered.wait(DEADLINE)
    server.stop()
    calling.join(DEADLINE)
    assert cleaned_up.is_set()


def test_a_method_may_stop_its_own_server() -> None:
    servers: list[ServerThread] = []

    class Stopping:
        def stop(self) -> bool:
            servers[0].stop()
            return servers[0].wait(0)

    with serve_in_thread({"t": Stopping()}, HOST, 0) as server:
        servers.append(server)
        with Client(HOST, server.port) as client:
            assert client.stop() is False
        assert server.wait(DEADLINE)


def test_a_thread_that_is_stuck_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sipyco_rpc._server.thread.THREAD_STOP_TIMEOUT", 0.01)
    target = Target()
    server = serve_in_thread({"t": target}, HOST, 0)

    def call() -> None:
        with Client(HOST, server.port) as client:
            client.block()

    calling = threading.Thread(target=call)
    calling.start()
    assert target.entered.wait(DEADLINE)
    server.stop()
    assert caplog.messages == [
        "the server of t does not end: a method of it is still running; it is left behind"
    ]
    target.go_on.set()
    calling.join(DEADLINE)
    assert server.wait(DEADLINE)


def test_what_fails_later_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(self: Server) -> None:
        raise RuntimeError("for a test")

    monkeypatch.setattr(Server, "wait_terminate", fails)
    server = serve_in_thread({"t": Target()}, HOST, 0)
    assert server.wait(DEADLINE)
    assert caplog.messages == ["the server of t has failed"]


def test_a_wait_that_is_interrupted_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    from sipyco_rpc._server import thread

    # Of its own: `threading` has events as well.
    own = types.SimpleNamespace(**{**vars(threading), "Event": Interrupted})
    monkeypatch.setattr(thread, "threading", own)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        serve_in_thread({"t": Target()}, HOST, 0)
    for started in set(threading.enumerate()) - before:
        started.join(DEADLINE)
        assert not started.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_has_no_server() -> None:
    with serve_in_thread({"t": Target()}, HOST, 0) as server:

        def child() -> Any:
            server.stop()
            return [server.running, server.wait()]

        assert in_child(child) == "[False, True]"
        with Client(HOST, server.port) as client:
            assert client.ping() == "pong"


# --- in a loop -------------------------------------------------------------------------------


@every_loop
def test_a_task_serves_until_it_is_cancelled(loop: str) -> None:
    async def main() -> None:
        ports: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def ready(server: Server) -> None:
            ports.set_result(server.bound_port())

        task = asyncio.create_task(serve({"t": Target()}, HOST, 0, ready=ready))
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, await ports)
            assert await client.ping() == "pong"
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_a_task_returns_what_ended_it() -> None:
    async def main() -> Any:
        ports: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = serve({"t": Target()}, HOST, 0, ready=lambda s: ports.set_result(s.bound_port()))
        task = asyncio.create_task(serving)
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, await ports)
            with pytest.raises(EOFError):
                await client.leave()
        return await task

    assert asyncio.run(main()) == 7


def test_in_a_running_loop_the_way_out_is_said() -> None:
    async def main() -> None:
        with pytest.raises(
            RuntimeError, match=r"use `serve_in_thread\(…\)` or `await serve\(…\)`"
        ):
            simple_server_loop({"t": Target()}, HOST, 0)
        loop = asyncio.new_event_loop()
        with pytest.raises(RuntimeError, match="as in notebooks"):
            simple_server_loop({"t": Target()}, HOST, 0, loop=loop)
        loop.close()

    asyncio.run(main())


def test_a_loop_that_may_run_within_another_is_let_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `nest_asyncio` has it."""

    def run(work: Any) -> None:
        work.close()
        raise NotImplementedError("it was called")

    run.__module__ = "nest_asyncio"

    async def main() -> None:
        with pytest.raises(NotImplementedError):
            simple_server_loop({"t": Target()}, HOST, 0)

    running = asyncio.run
    monkeypatch.setattr(asyncio, "run", run)
    running(main())


def test_the_options_of_a_server_are_those_that_it_has() -> None:
    parameters = inspect.signature(Server).parameters
    assert set(ServerOptions.__annotations__) == set(parameters) - {"targets", "description"}
    by_name = [
        name
        for name, parameter in inspect.signature(simple_server_loop).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    assert set(ServerLoopOptions.__annotations__) == set(by_name)


# --- ready -----------------------------------------------------------------------------------


def test_what_a_callback_raises_ends_the_server() -> None:
    def fail(server: Server) -> None:
        raise LookupError(server.bound_port())

    port = free_port()
    with pytest.raises(LookupError, match=str(port)):
        simple_server_loop({"t": Target()}, HOST, port, ready=fail)
    with pytest.raises(LookupError):
        serve_in_thread({"t": Target()}, HOST, port, ready=fail)
    with pytest.raises(LookupError):
        asyncio.run(serve({"t": Target()}, HOST, port, ready=fail))


@every_loop
def test_a_callback_that_is_awaited_is_cancelled_when_the_server_is_to_end(loop: str) -> None:
    async def main() -> None:
        begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def wait(server: Server) -> None:
            begun.set_result(server.bound_port())
            await asyncio.Event().wait()

        task = asyncio.create_task(serve({"t": Target()}, HOST, 0, ready=wait))
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, await begun)
            await client.terminate()
        assert await asyncio.wait_for(task, DEADLINE) is None

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_a_callback_that_waits_is_cancelled_when_the_server_is_to_end() -> None:
    ended: list[bool] = []

    async def ready(server: Server) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, server.bound_port())
            await client.terminate()
            try:
                await asyncio.sleep(2 * DEADLINE)
            except asyncio.CancelledError:
                ended.append(True)
                raise

    simple_server_loop({"t": Target()}, HOST, 0, ready=ready)
    asyncio.run(serve({"t": Target()}, HOST, 0, ready=ready))
    thread = serve_in_thread({"t": Target()}, HOST, 0, ready=ready)
    assert thread.wait(DEADLINE)
    assert thread.port
    assert ended == [True, True, True]


def test_a_callback_that_is_cancelled_ends_the_server() -> None:
    async def cancelled(server: Server) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        serve_in_thread({"t": Target()}, HOST, 0, ready=cancelled)


def test_a_server_that_does_not_listen_has_no_port() -> None:
    with pytest.raises(RuntimeError, match="was not started, or has stopped"):
        Server({}).bound_port()


def test_the_port_file_is_there_while_it_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "port"
    seen: list[str] = []
    with serve_in_thread(
        {"t": Target()}, HOST, 0, port_file=path, ready=lambda _: seen.append(path.read_text())
    ) as server:
        assert seen == [path.read_text()] == [f"{server.port}\n"]
    assert not path.exists()


def test_a_port_file_of_somebody_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "port"
    with serve_in_thread({"t": Target()}, HOST, 0, port_file=path):
        path.write_text("1\n")
    assert path.read_text() == "1\n"
    with serve_in_thread({"t": Target()}, HOST, 0, port_file=path):
        path.unlink()
    assert not path.exists()


def test_two_servers_with_one_port_file_leave_that_of_the_later(tmp_path: Path) -> None:
    path = tmp_path / "port"
    first = serve_in_thread({"t": Target()}, HOST, 0, port_file=path)
    with first, serve_in_thread({"t": Target()}, HOST, 0, port_file=path) as later:
        assert path.read_text() == f"{later.port}\n"
        first.stop()
        assert path.read_text() == f"{later.port}\n"
    assert not path.exists()


def test_a_port_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        serve_in_thread({"t": Target()}, HOST, 0, port_file=tmp_path / "no" / "port")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_leaves_the_port_file(tmp_path: Path) -> None:
    from sipyco_rpc.net.port_file import port_file

    path = tmp_path / "port"
    with port_file(path, 5):

        def child() -> str:
            with port_file(None, 6):
                pass
            return "left"

        assert in_child(child) == "left"
        if (pid := fork()) == 0:
            try:
                raise SystemExit  # goes through the block, as that of a method does
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert path.read_text() == "5\n"


# --- what is said ----------------------------------------------------------------------------


def records(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "sipyco.pc_rpc"]


def test_a_server_says_what_it_serves_where_and_who_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="sipyco.pc_rpc")
    with serve_in_thread({"lda": Target(), "aux": Target()}, HOST, 0) as server:
        with socket.create_connection((HOST, server.port)) as other:
            host, port = other.getsockname()
        with Client(HOST, server.port, "aux") as client:
            client.terminate()
        assert server.wait(DEADLINE)
    where = f"{HOST} port {server.port}"
    said = records(caplog)
    peer = next(text for level, text in said if "selected" in text).partition(" has")[0]
    assert said[0] == ("INFO", f"serving lda, aux on {where} (this computer only, no TLS)")
    assert sorted(said[1:]) == sorted(
        [
            ("DEBUG", f"connection from {host} port {port}"),
            ("DEBUG", f"the connection from {host} port {port} has ended"),
            ("DEBUG", f"connection from {peer}"),
            ("DEBUG", f"{peer} has selected the target `aux`"),
            ("DEBUG", "calling terminate()"),
            ("INFO", f"stopping: `terminate` called by {peer}"),
            ("DEBUG", f"the connection from {peer} has ended"),
        ]
    )


@pytest.mark.parametrize(
    ("names", "tls", "text"),
    [
        ([(HOST, 3253)], False, f"{HOST} port 3253 (this computer only, no TLS)"),
        (
            [("::1", 5, 0, 0), (HOST, 5)],
            True,
            f"{HOST} port 5 and ::1 port 5 (this computer only, TLS)",
        ),
        ([("0.0.0.0", 5)], True, "0.0.0.0 port 5 (reachable from other computers, TLS)"),
        (
            [(HOST, 5), ("192.0.2.1", 5)],
            False,
            f"{HOST} port 5 and 192.0.2.1 port 5 (reachable from other computers, no TLS)",
        ),
        (
            [("fe80::1%eth0", 5, 0, 2)],
            True,
            "fe80::1%eth0 port 5 (reachable from other computers, TLS)",
        ),
    ],
)
def test_who_can_reach_a_server_is_said(names: list[Any], tls: bool, text: str) -> None:
    sockets = [types.SimpleNamespace(getsockname=lambda name=name: name) for name in names]
    assert listening.describe_listening(sockets, tls) == text


# --- one port --------------------------------------------------------------------------------


def two_addresses() -> list[str]:
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        return [HOST, "::1"]
    return [HOST, "127.0.0.2"]


@every_loop
def test_any_free_port_is_the_same_on_all_addresses(loop: str) -> None:
    async def main() -> None:
        async with Server({"t": Target()}) as server:
            await server.start(two_addresses(), 0)
            assert server.server is not None
            bound = [sock.getsockname()[1] for sock in server.server.sockets]
            assert len(bound) == 2
            assert set(bound) == {server.bound_port()}

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_a_port_that_is_taken_on_another_address_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_addresses()
    taken = [socket.create_server((second, 0)) for _ in range(3)]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        create_server, left = loop.create_server, list(taken)

        async def create(factory: Any, host: Any, port: int, **options: Any) -> Any:
            if port == 0 and left and options:
                # The system gives the first address a port that the second has in use.
                port, host = left.pop().getsockname()[1], first
            return await create_server(factory, host, port, **options)

        monkeypatch.setattr(loop, "create_server", create)
        async with Server({"t": Target()}) as server:
            await server.start([first, second], 0)
            assert server.server is not None
            ports = {sock.getsockname()[1] for sock in server.server.sockets}
            assert len(ports) == 1
            assert ports.isdisjoint(sock.getsockname()[1] for sock in taken)
        assert left == []

    try:
        asyncio.run(main())
    finally:
        for sock in taken:
            sock.close()
