"""The smaller modules: signatures as text, fire and forget, keepalive, tests of drivers."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sipyco_pyon
import sipyco_rpc.testing
from sipyco_pyon import pyon
from sipyco_rpc import pc_rpc
from sipyco_rpc._server.listing import document_function, document_object, make_encodable
from sipyco_rpc.arguments import formatargspec
from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.limits import MAX_CONNECTIONS
from sipyco_rpc.net.admission import default_max_connections
from sipyco_rpc.net.keepalive import async_open_connection, create_connection, set_keepalive
from sipyco_rpc.net.listening import usable
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.net.signals import SignalHandler
from sipyco_rpc.net.workarounds import stop_accepting
from support.environment import without_durations
from support.gates import GatedTarget
from support.peers import DEADLINE, HOST, until
from support.programs import free_port


def test_signatures_as_text() -> None:
    assert formatargspec(["a", "b"], defaults=(1,)) == "(a, b=1)"
    assert formatargspec([], "args", "kw", None, ["c", "d"], {"d": 4}) == "(*args, c, d=4, **kw)"
    assert formatargspec(["a"], kwonlyargs=["b"], annotations={"a": "int", "return": "str"}) == (
        "(a: 'int', *, b) -> 'str'"
    )
    assert formatargspec(["a"], annotations={"a": int}) == "(a: int)"


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("nothing to show")


def test_defaults_that_cannot_be_sent_are_listed_as_they_show() -> None:
    class Undocumented:
        @property
        def __doc__(self) -> str:  # type: ignore[override]
            raise RuntimeError("no text")

        def __call__(self) -> None: ...

    class Target:
        def f(self, a=1, b=int, *, c=2, d=Unshowable()):  # type: ignore[no-untyped-def]  # noqa: B008
            """Do it."""

    Target.f.__annotations__ = {"a": int, "b": list[int], "c": "text"}

    def encodable(value: Any) -> bool:
        try:
            pyon.encode(value)
        except TypeError:
            return False
        return True

    listing = make_encodable(document_object(Target(), {"f": Target().f}), encodable)
    argspec, docstring = listing["methods"]["f"]
    assert docstring == "Do it."
    assert argspec["defaults"] == (1, "<class 'int'>")
    assert argspec["kwonlydefaults"] == {"c": 2, "d": "<Unshowable>"}
    assert argspec["annotations"] == {"a": "int", "b": "list", "c": "text"}
    assert document_function(Undocumented())[1] is None


def test_a_limit_needs_a_client() -> None:
    with pytest.raises(TypeError, match="call_timeout needs a client of sipyco, got 5"):
        with pc_rpc.call_timeout(5, 1):
            pass


class Slow(GatedTarget):
    value = 5

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def show(self, x: Any) -> None:
        self.calls.append(x)
        self._enter()

    def _hidden(self) -> None:
        self.calls.append("hidden")

    def fail(self) -> None:
        raise ValueError("bad")


def test_calls_that_nobody_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    target = Slow()
    proxy = FFProxy(target)
    proxy.ff_join()  # nothing runs yet
    assert not hasattr(FFProxy.__new__(FFProxy), "_FFProxy__target")  # as `copy` asks
    assert proxy.show(1) is None
    assert target.entered.wait(DEADLINE)
    proxy.show(2)
    assert "skipping show" in caplog.text
    target.released.set()
    proxy.ff_join()
    assert target.calls == [1]
    proxy._hidden()
    proxy.ff_join()
    assert target.calls == [1, "hidden"]
    proxy.fail()
    proxy.ff_join()
    assert "ValueError: bad" in caplog.text
    for name in ("nosuch", "value"):
        with pytest.raises(AttributeError):
            getattr(proxy, name)


class EchoServer(AsyncioServer):
    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line = await reader.readline()
        if line == b"fail\n":
            raise ValueError("bad")
        writer.write(line)
        await writer.drain()
        await reader.read()


def test_connections_have_keepalive_and_no_delay() -> None:
    async def main() -> None:
        server = EchoServer()
        await server.start([HOST], 0)
        assert server.server is not None
        port = server.server.sockets[0].getsockname()[1]
        reader, writer = await async_open_connection(HOST, port)
        writer.write(b"x\n")
        assert await reader.readline() == b"x\n"
        blocking = await asyncio.to_thread(create_connection, HOST, port, 5, after_idle=7)
        for sock in (writer.get_extra_info("socket"), blocking):
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert blocking.gettimeout() == 5
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert blocking.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
        blocking.close()
        with pytest.raises(RuntimeError, match="already"):
            await server.start(HOST, 0)
        await server.stop()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())


class GivingServer(AsyncioServer):
    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        writer.write(b"x" * 300_000)


@pytest.mark.usefixtures("patient")
def test_a_connection_may_end_with_what_was_still_to_be_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with GivingServer() as server:
            await server.start(HOST, 0)
            assert server.server is not None
            port = server.server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(HOST, port)
            assert len(await reader.read()) == 300_000
            writer.close()
            while server._handlers:
                await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
    assert caplog.messages == []  # asyncio's transport fails if it is aborted after that


def test_an_error_of_a_handler_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = EchoServer()
        await server.start(HOST, 0)
        assert server.server is not None
        reader, writer = await async_open_connection(
            HOST, server.server.sockets[0].getsockname()[1]
        )
        writer.write(b"fail\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await server.stop()

    asyncio.run(main())
    assert "error while serving 127.0.0.1 port" in caplog.text
    assert "ValueError: bad" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_waited_for(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    async def main() -> None:
        handler = SignalHandler()
        handler.setup()
        try:
            task = asyncio.create_task(handler.wait_terminate())
            await asyncio.sleep(0)
            os.kill(os.getpid(), number)
            async with asyncio.timeout(DEADLINE):
                await task
        finally:
            handler.teardown()

    asyncio.run(main())
    assert signal.getsignal(number) is before


def test_a_signal_is_not_lost_before_and_after_its_loop() -> None:
    before = signal.getsignal(signal.SIGHUP)
    handler = SignalHandler()
    handler.setup()
    ours = signal.getsignal(signal.SIGHUP)
    handler.setup()
    try:
        assert signal.getsignal(signal.SIGHUP) == ours
        os.kill(os.getpid(), signal.SIGHUP)  # nobody waits yet
        asyncio.run(handler.wait_terminate())
        os.kill(os.getpid(), signal.SIGHUP)  # the loop is closed
        asyncio.run(handler.wait_terminate())
    finally:
        handler.teardown()
        handler.teardown()
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_system_without_a_signal_takes_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    number, before = signal.SIGHUP, signal.getsignal(signal.SIGHUP)
    monkeypatch.delattr(signal, "SIGHUP")
    handler = SignalHandler()
    handler.setup()
    try:
        assert signal.getsignal(number) is before
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT)
    finally:
        handler.teardown()


def test_keepalive_under_the_names_of_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = socket.TCP_KEEPIDLE
    monkeypatch.setattr(socket, "TCP_KEEPALIVE", idle, raising=False)  # macOS has this name
    monkeypatch.delattr(socket, "TCP_KEEPIDLE")
    with socket.socket() as sock:
        set_keepalive(sock, 7)
        assert sock.getsockopt(socket.IPPROTO_TCP, idle) == 7
    monkeypatch.delattr(socket, "TCP_KEEPALIVE")
    with socket.socket() as sock:
        before = sock.getsockopt(socket.IPPROTO_TCP, idle)
        set_keepalive(sock, 7)
        assert sock.getsockopt(socket.IPPROTO_TCP, idle) == before
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_other_sockets_have_no_keepalive() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        set_keepalive(ours)
        assert not ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_connection_that_cannot_have_what_is_asked_for_is_closed() -> None:
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        for _ in range(2):
            with pytest.raises(OSError, match="Invalid argument"):
                create_connection(HOST, port, after_idle=-1)
            with pytest.raises(OSError, match="Invalid argument"):
                asyncio.run(async_open_connection(HOST, port, after_idle=-1))
            for _ in range(2):
                sock, _ = listening.accept()
                with sock:
                    sock.settimeout(DEADLINE)
                    try:
                        assert sock.recv(1) == b""
                    except ConnectionResetError:
                        pass  # it ends so, too


def test_names_are_loaded_when_they_are_used() -> None:
    assert {"Server", "Client", "simple_server_loop"} <= set(dir(pc_rpc)) & set(dir(sipyco_rpc))
    for module in (pc_rpc, sipyco_rpc):
        with pytest.raises(AttributeError, match="has no attribute 'nosuch'"):
            module.nosuch


def test_the_private_function_for_lines_reads_one_line() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall("é\nrest".encode())
            assert pc_rpc._socket_readline(ours) == "é"
            assert ours.recv(2) == b"re"
        with pytest.raises(EOFError, match="before a full line"):
            pc_rpc._socket_readline(ours)


def test_a_host_without_ipv6_listens_on_what_it_has(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = errno.EADDRNOTAVAIL

    def create_server(address: Any, **options: Any) -> Any:
        raise OSError(number, "no")

    monkeypatch.setattr(socket, "create_server", create_server)
    assert usable([HOST, "::1"]) == [HOST]
    assert caplog.messages == ["not listening on ::1: this host has no such address"]
    assert usable(["::1"]) == ["::1"]  # the attempt will say what is wrong
    number = errno.EACCES
    with pytest.raises(PermissionError):
        usable(["::1"])


def test_a_loop_that_does_not_accept_by_readers_needs_no_help() -> None:
    class Loop:
        def remove_reader(self, fd: int) -> None:
            raise NotImplementedError

    with socket.create_server((HOST, 0)) as listening:
        server: Any = SimpleNamespace(sockets=[listening], get_loop=Loop)
        stop_accepting(server)
        socket.create_connection(listening.getsockname(), DEADLINE).close()


def test_the_number_of_connections_where_nothing_limits_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import resource

    for limit, number in ((100, 50), (1, 1), (resource.RLIM_INFINITY, MAX_CONNECTIONS)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, limit=limit: (limit, limit))
        assert default_max_connections() == number
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows has none
    assert default_max_connections() == MAX_CONNECTIONS


DRIVER = """
import sys
from sipyco_rpc import simple_server_loop
class T:
    def echo(self, x): return x
simple_server_loop({"t": T()}, "127.0.0.1", int(sys.argv[1]))
"""


def test_a_driver_is_started_and_stopped(tmp_path: Any) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    case = sipyco_rpc.testing.GenericRPCCase()
    case.setUp()
    try:
        port = free_port()
        client = case.start_server("d", f"{sys.executable} {tmp_path / 'driver.py'} {port}", port)
        assert client.echo(1) == 1
        process = case.servers["d"][0]
        assert case.servers["d"][1:] == (port, client)
    finally:
        case.tearDown()
    assert process.poll() == 0
    assert case.servers == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_loop_ends_by_a_signal(number: signal.Signals, tmp_path: Any) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), str(port)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        from sipyco_rpc import Client

        def answers() -> bool:
            try:
                Client(HOST, port, timeout=DEADLINE).close_rpc()
            except OSError:
                return False
            return True

        until(answers)
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
        name = "Ctrl-C" if number == signal.SIGINT else number.name
        assert without_durations(errors) == (
            f"serving t on {HOST} port {port} (this computer only, no TLS)\nstopping: {name}\n"
        )
    finally:
        process.kill()
        process.communicate()


# Each of them takes a good part of the time in which the client is there without it.
HEAVY = (
    *("ast", "asyncio", "dataclasses", "importlib", "inspect", "json", "logging", "numpy"),
    *("random", "ssl", "traceback", "typing"),
)


def test_the_client_is_light() -> None:
    # `-I` and `-S`: what `site` and the environment load is not the client's.
    roots = [str(Path(str(module.__file__)).parents[1]) for module in (sipyco_pyon, sipyco_rpc)]
    code = (
        f"import sys; sys.path[:0] = {roots!r}; from sipyco_rpc import Client; "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, check=True, text=True
    )
    assert done.stdout == "[]\n"
