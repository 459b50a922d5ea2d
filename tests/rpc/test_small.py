"""The smaller modules: signatures as text, fire and forget, keepalive, tests of drivers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

import sipyco_rpc.testing
from sipyco_rpc.arguments import formatargspec
from sipyco_rpc.asyncio_server import AsyncioServer
from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.keepalive import async_open_connection, create_connection
from sipyco_rpc.signals import SignalHandler
from support.peers import DEADLINE, HOST


def test_signatures_as_text() -> None:
    assert formatargspec(["a", "b"], defaults=(1,)) == "(a, b=1)"
    assert formatargspec([], "args", "kw", None, ["c", "d"], {"d": 4}) == "(*args, c, d=4, **kw)"
    assert formatargspec(["a"], kwonlyargs=["b"], annotations={"a": "int", "return": "str"}) == (
        "(a: 'int', *, b) -> 'str'"
    )


class Slow:
    value = 5

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()
        self.calls: list[Any] = []

    def show(self, x: Any) -> None:
        self.calls.append(x)
        self.entered.set()
        assert self.released.wait(DEADLINE)

    def _hidden(self) -> None:
        self.calls.append("hidden")

    def fail(self) -> None:
        raise ValueError("bad")


def test_calls_that_nobody_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    target = Slow()
    proxy = FFProxy(target)
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


DRIVER = """
import sys
from sipyco_rpc import simple_server_loop
class T:
    def echo(self, x): return x
simple_server_loop({"t": T()}, "127.0.0.1", int(sys.argv[1]))
"""


def free_port() -> int:
    with socket.create_server((HOST, 0)) as sock:
        return int(sock.getsockname()[1])


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
        [sys.executable, str(tmp_path / "driver.py"), str(port)], stderr=subprocess.PIPE
    )
    try:
        from sipyco_rpc import Client
        from support.peers import until

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
        assert errors == b""
    finally:
        process.kill()
        process.communicate()


# Each of them takes a good part of the time in which the client is there without it.
HEAVY = (
    *("ast", "asyncio", "dataclasses", "importlib", "inspect", "json", "logging", "numpy"),
    *("random", "ssl", "traceback", "typing"),
)


def test_the_client_is_light() -> None:
    code = (
        "import sys; from sipyco_rpc import Client; "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
