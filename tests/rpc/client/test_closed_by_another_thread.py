"""A blocking client that one thread closes in the midst of what another does with it.

What the system says then to the other thread depends on the Python, on TLS and on the moment. What
is raised does not: it says that this program has closed the connection.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc.pc_rpc import BestEffortClient, Client, Server
from support.gates import GatedTarget
from support.peers import DEADLINE, HOST, running_server, until
from support.threads import in_a_thread
from support.transports import TRANSPORTS, every_transport

fcntl: Any = pytest.importorskip("fcntl")  # POSIX systems have it
termios: Any = pytest.importorskip("termios")

MIB = 1024 * 1024


class Target(GatedTarget):
    async def wait_for(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async def items(self) -> AsyncIterator[int]:
        await self.wait()
        yield 1


@contextmanager
def serving(transport: str) -> Iterator[tuple[int, Target, dict[str, Any]]]:
    """Run a server; give its port, its target, and what a client needs to connect."""
    target = Target()
    listening, connecting = TRANSPORTS[transport]()
    with running_server(lambda: Server({"t": target}), **listening) as port:
        try:
            yield port, target, connecting
        finally:
            target.released.set()


def unsent(connection: BlockingConnection) -> int:
    """Tell how many bytes the system has not got rid of."""
    sock = connection.transport._socket
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])


def check(outcome: list[Any], kinds: tuple[type[BaseException], ...] = (EOFError,)) -> None:
    assert len(outcome) == 1
    assert isinstance(outcome[0], kinds)
    assert str(outcome[0]).endswith("was closed by this program")


@every_transport
def test_while_it_waits_for_a_reply(transport: str) -> None:
    with (
        serving(transport) as (port, target, tls),
        Client(HOST, port, **tls) as client,
    ):
        with in_a_thread(client.wait) as outcome:
            assert target.entered.wait(DEADLINE)
            client.close_rpc()
            client.close_rpc()
        check(outcome)
        with pytest.raises(ConnectionError, match="closed by this program"):
            client.echo(1)


@every_transport
def test_while_it_waits_for_an_item(transport: str) -> None:
    with (
        serving(transport) as (port, target, tls),
        Client(HOST, port, **tls) as client,
    ):
        items = client.items()
        with in_a_thread(lambda: next(items)) as outcome:
            assert target.entered.wait(DEADLINE)
            client.close_rpc()
        check(outcome)


@every_transport
@pytest.mark.parametrize("owing", [False, True], ids=["", "owing"])
def test_while_it_sends(transport: str, owing: bool) -> None:
    with (
        serving(transport) as (port, target, tls),
        Client(HOST, port, **tls) as blocker,
        Client(HOST, port, **tls) as client,
    ):
        items = client.items() if owing else None  # what it may give is received meanwhile
        with in_a_thread(blocker.block):
            assert target.entered.wait(DEADLINE)
            with in_a_thread(lambda: client.echo(bytes(32 * MIB))) as outcome:
                connection = client._Client__connection
                until(lambda: unsent(connection) > 0)
                client.close_rpc()
            check(outcome)
            target.released.set()
        del items


@every_transport
def test_a_best_effort_client_gives_nothing(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        serving(transport) as (port, target, tls),
        BestEffortClient(HOST, port, "t", **tls) as client,
    ):
        with in_a_thread(client.wait) as outcome:
            assert target.entered.wait(DEADLINE)
            client.close_rpc()
        assert outcome == [None]
    assert "failed" not in caplog.text


@pytest.mark.parametrize(
    ("operation", "broken"),
    [
        ("send", BrokenPipeError(32, "Broken pipe")),
        ("send", OSError(9, "Bad file descriptor")),
        ("send", ValueError("Invalid file descriptor: -1")),
        ("recv_into", ConnectionResetError(104, "Connection reset by peer")),
        ("recv_into", OSError(9, "Bad file descriptor")),
        ("recv_into", ValueError("Read on closed or unwrapped SSL socket.")),
        ("settimeout", OSError(9, "Bad file descriptor")),
    ],
    ids=repr,
)
def test_whatever_the_system_says(operation: str, broken: Exception) -> None:
    """A stand-in for the socket says it, in the moment in which it is closed."""
    with serving("tcp") as (port, *_):
        client = Client(HOST, port, timeout=DEADLINE)
        transport = client._Client__connection.transport
        real = transport._socket

        class Socket:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        def fail(*args: Any) -> Any:
            transport.closed = "the connection was closed by this program"
            raise broken

        sock = Socket()
        setattr(sock, operation, fail)
        transport._socket = sock
        if operation == "settimeout":
            client._Client__connection.timeout = 1.0
        try:
            with pytest.raises(EOFError, match="closed by this program"):
                client.echo(1)
        finally:
            real.close()


@pytest.mark.parametrize("transport", ["ssl_config", "local_cert"])
def test_what_breaks_one_connection_breaks_no_other_of_the_thread(transport: str) -> None:
    """OpenSSL keeps errors by threads, and Python 3.14 takes them for those of the next call."""
    with (
        serving(transport) as (port, target, tls),
        serving(transport) as (other_port, *_),
        Client(HOST, port, **tls) as blocker,
        Client(HOST, other_port, **tls) as other,
    ):
        clients = [Client(HOST, port, **tls) for _ in range(5)]

        def work() -> list[float]:
            answers = []
            for client in clients:
                with pytest.raises(EOFError, match="closed by this program"):
                    client.echo(bytes(32 * MIB))
                answers.append(other.wait_for(0.01))
            return answers

        with in_a_thread(blocker.block):
            assert target.entered.wait(DEADLINE)
            with in_a_thread(work) as outcome:
                for client in clients:
                    connection = client._Client__connection
                    until(lambda connection=connection: unsent(connection) > 0)  # type: ignore[misc]
                    client.close_rpc()
            target.released.set()
        assert outcome == [[0.01] * 5]
