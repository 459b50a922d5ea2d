"""What tests of drivers use: programs that do as they should, and programs that do not."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc import testing
from sipyco_rpc.pc_rpc import Client, Server
from sipyco_rpc.testing import (
    DriverProcess,
    GenericRPCCase,
    create_ssl_certs,
    create_ssl_config,
)
from support.peers import HOST, running_server
from support.programs import free_port

STUBBORN = """\
import asyncio, signal, sys
from sipyco_rpc.pc_rpc import Server


class Target:
    def terminate(self):
        return "no"


async def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    async with Server({"t": Target()}) as server:
        await server.start("127.0.0.1", int(sys.argv[1]))
        await asyncio.Event().wait()


asyncio.run(main())
"""


# What the common options and `simple_server_loop` do with `--port` and `--port-file`.
PORT_OF_ITS_OWN = """\
import asyncio, pathlib, sys
from sipyco_rpc.pc_rpc import Server


class Target:
    def port(self):
        return server.server.sockets[0].getsockname()[1]


async def main(port="0", path=None):
    global server
    async with Server({"t": Target()}, builtin_terminate=True) as server:
        await server.start("127.0.0.1", int(port))
        if path is not None:
            written = pathlib.Path(path + ".new")
            written.write_text(f"{Target().port()}\\n")
            written.replace(path)
        await server.wait_terminate()


options = [word for word in sys.argv[1:] if not word.startswith("--port")]
asyncio.run(main(*options))
"""


@pytest.fixture
def case() -> Iterator[GenericRPCCase]:
    case = GenericRPCCase()
    case.setUp()
    yield case
    case.tearDown()
    assert case.servers == {}


def test_a_program_that_ends_is_told_of(case: GenericRPCCase) -> None:
    with pytest.raises(AssertionError, match="server 'd' ended with status 3"):
        case.start_server("d", f"{sys.executable} -c 'raise SystemExit(3)'", free_port())


def test_what_a_program_printed_before_it_ended_is_in_the_error(
    case: GenericRPCCase, capfd: pytest.CaptureFixture[str]
) -> None:
    program = "import sys; print('one'); print('no instrument', file=sys.stderr); sys.exit(4)"
    with pytest.raises(AssertionError) as caught:
        case.start_server("d", f'{sys.executable} -c "{program}"', 0)
    expected = "server 'd' ended with status 4; it printed:\none\nno instrument"
    assert str(caught.value) == expected
    assert capfd.readouterr().err == "one\nno instrument\n"


@pytest.mark.parametrize("places", ["{port}", "0 --port-file {port_file}", ""])
def test_a_program_gets_a_port_that_is_free(
    case: GenericRPCCase, tmp_path: Path, places: str
) -> None:
    (tmp_path / "driver.py").write_text(PORT_OF_ITS_OWN)
    client = case.start_server("d", f"{sys.executable} {tmp_path / 'driver.py'} {places}", 0)
    process, port, connected = case.servers["d"]
    assert client is connected
    assert client.port() == port != 0
    case.stop_server("d")
    assert process.returncode == 0


def test_a_program_that_cannot_be_started_is_an_error(case: GenericRPCCase) -> None:
    with pytest.raises(FileNotFoundError, match="nosuch"):
        case.start_server("d", "/nosuch", 0)
    assert case.servers == {}


def test_a_program_that_does_not_answer_is_killed(
    case: GenericRPCCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[DriverProcess] = []

    def driver(*arguments: Any) -> DriverProcess:
        started.append(DriverProcess(*arguments))
        return started[-1]

    monkeypatch.setattr(testing, "DriverProcess", driver)
    monkeypatch.setattr(testing, "_STARTUP", 0)
    port = free_port()
    with pytest.raises(AssertionError, match=f"'d' does not answer on localhost port {port}: "):
        case.start_server(
            "d", f"{sys.executable} -c 'import signal; signal.pause()'", port, sleep=0
        )
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_program_that_resists_is_killed_in_the_end(case: GenericRPCCase, tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    port = free_port()
    case.start_server("d", f"{sys.executable} {tmp_path / 'stubborn.py'} {port}", port)
    process = case.servers["d"][0]
    with pytest.raises(AssertionError, match="server 'd' runs already"):
        case.start_server("d", "/nosuch", port)
    case.stop_server("d", timeout=0.05)
    assert process.returncode == -signal.SIGKILL


def test_certificates_for_both_sides(tmp_path: Path) -> None:
    class Target:
        def echo(self, x: Any) -> Any:
            return x

    paths = create_ssl_certs(tmp_path)
    assert sorted(paths) == ["client_cert", "client_key", "server_cert", "server_key"]
    assert sorted(paths.values()) == sorted(map(str, tmp_path.iterdir()))
    server, client = create_ssl_config("server", paths), create_ssl_config("client", paths)
    with running_server(lambda: Server({"t": Target()}), ssl_config=server) as port:
        with Client(HOST, port, ssl_config=client) as connected:
            assert connected.echo(1) == 1
    with pytest.raises(ValueError, match="a role is 'server' or 'client', got 'peer'"):
        create_ssl_config("peer", paths)
