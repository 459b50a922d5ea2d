"""Hosts with several addresses, with none, and with zones; every way of connecting of RPC."""

from __future__ import annotations

import asyncio
import errno
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sipyco_rpc.net import asyncio_connect, connect
from sipyco_rpc.net.connect import addresses_of, open_socket
from sipyco_rpc.net.keepalive import async_open_connection, create_connection
from sipyco_rpc.net.tls import server_name
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server, SimpleSSLConfig
from support.addresses import NAME, dead_address, first_address_dead, resolving
from support.certificates import identity
from support.event_loops import every_loop, loop_factory
from support.peers import DEADLINE, HOST, running_server
from support.programs import free_port


class Target:
    def echo(self, x: Any) -> Any:
        return x


def run(name: str, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a loop of a kind."""
    try:
        factory = loop_factory(name)
    except BaseException:
        work.close()
        raise
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def by_client(host: str, port: int, timeout: float | None, **tls: Any) -> Any:
    with Client(host, port, timeout=timeout, **tls) as client:
        return client.echo(1)


def by_best_effort_client(host: str, port: int, timeout: float | None, **tls: Any) -> Any:
    with BestEffortClient(host, port, "t", timeout, retry=1000, **tls) as client:
        return client.echo(1)


async def call(host: str, port: int, timeout: float | None, **tls: Any) -> Any:
    async with AsyncioClient(timeout) as client:
        await client.connect_rpc(host, port, **tls)
        return await client.echo(1)


def by_asyncio_client(host: str, port: int, timeout: float | None, **tls: Any) -> Any:
    return run("asyncio", call(host, port, timeout, **tls))


def by_asyncio_client_in_uvloop(host: str, port: int, timeout: float | None, **tls: Any) -> Any:
    return run("uvloop", call(host, port, timeout, **tls))


CLIENTS = [by_client, by_best_effort_client, by_asyncio_client, by_asyncio_client_in_uvloop]
every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda way: way.__name__)
Way = Callable[..., Any]


def secured(san: str, form: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the arguments of TLS of a server with a subjectAltName, and those of its client."""
    server, client = identity(f"of {san}".replace(":", "-"), san), identity("client")
    theirs = {"local_cert": server.cert, "local_key": server.key, "peer_cert": client.cert}
    ours = {"local_cert": client.cert, "local_key": client.key, "peer_cert": server.cert}
    return theirs, {"ssl_config": SimpleSSLConfig(**ours)} if form == "config" else ours


# --- several addresses -----------------------------------------------------------------------


@every_client
@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_where_the_first_address_is_dead_the_second_is_taken(
    client: Way, timeout: float | None
) -> None:
    with running_server(lambda: Server({"t": Target()})) as port, first_address_dead(port) as host:
        assert client(host, port, timeout) == 1


@every_client
@pytest.mark.parametrize("form", ["config", "paths"])
def test_so_it_is_with_tls(client: Way, form: str) -> None:
    theirs, ours = secured(f"DNS:{NAME}", form)
    with running_server(lambda: Server({"t": Target()}), **theirs) as port:
        with first_address_dead(port) as host:
            assert client(host, port, DEADLINE, **ours) == 1


def test_so_it_is_for_programs_with_protocols_of_their_own() -> None:
    async def connect(host: str, port: int) -> str:
        _, writer = await async_open_connection(host, port)
        peer: str = writer.get_extra_info("peername")[0]
        writer.close()
        await writer.wait_closed()
        return peer

    with running_server(lambda: Server({"t": Target()})) as port, first_address_dead(port) as host:
        with create_connection(host, port) as sock:
            assert sock.getpeername()[0] == HOST
            assert sock.gettimeout() is None
        assert run("asyncio", connect(host, port)) == HOST
        assert run("uvloop", connect(host, port)) == HOST


def test_the_first_address_that_answers_is_taken_where_the_others_are_late() -> None:
    # All are tried at once in the end, and the one that was tried first may answer last.
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        with (
            dead_address("127.0.0.2", port),
            dead_address("127.0.0.3", port),
            resolving({NAME: ["127.0.0.2", "127.0.0.3", "127.0.0.4", HOST]}),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(connect, "HEAD_START", 0.01)
            with open_socket(NAME, port) as sock:
                assert sock.getpeername()[0] == HOST

            async def open_and_close() -> None:
                with await asyncio_connect.open_socket(NAME, port) as sock:
                    assert sock.getpeername()[0] == HOST
                tasks = asyncio.all_tasks() - {asyncio.current_task()}
                assert not tasks  # of the others nothing is left

            run("asyncio", open_and_close())
            run("uvloop", open_and_close())


@pytest.mark.parametrize("client", [c for c in CLIENTS if c is not by_best_effort_client])
def test_the_error_tells_what_came_of_each_address(client: Way) -> None:
    port = free_port()
    with resolving({NAME: ["127.0.0.3", "127.0.0.2"]}):
        with pytest.raises(ConnectionRefusedError) as raised:
            client(NAME, port, DEADLINE)
    refused = "[Errno 111] Connection refused"
    if sys.platform == "linux":
        assert str(raised.value) == (
            f"{refused}: could not connect to {NAME} port {port} "
            "(127.0.0.3: Connection refused; 127.0.0.2: Connection refused)"
        )


@pytest.mark.parametrize("client", [c for c in CLIENTS if c is not by_best_effort_client])
def test_a_timeout_is_for_all_addresses_and_tells_of_each(client: Way) -> None:
    port = free_port()
    said = (
        rf"connecting on {NAME} port {port} timed out after \S+ s "
        r"\(127\.0\.0\.2: no answer; 127\.0\.0\.3: "
    )
    with dead_address("127.0.0.2", port), resolving({NAME: ["127.0.0.2", "127.0.0.3"]}):
        with pytest.raises(TimeoutError, match=said):
            client(NAME, port, 0.1)


def test_each_address_has_its_chance_within_a_short_timeout() -> None:
    def head_start(timeout: float | None) -> float:
        attempt = connect.Attempt(NAME, 1, timeout)
        attempt.addresses = [(socket.AF_INET, (host, 1)) for host in ("127.0.0.2", "127.0.0.3")]
        return attempt.head_start

    assert [head_start(0.2), head_start(60), head_start(None)] == [0.1, 0.25, 0.25]


@every_loop
def test_connecting_can_be_cancelled_while_all_addresses_are_silent(loop: str) -> None:
    port = free_port()

    async def main() -> None:
        task = asyncio.create_task(AsyncioClient().connect_rpc(NAME, port))
        while len(asyncio.all_tasks()) < 4:  # this one, that one, and one for each address
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with (
        dead_address("127.0.0.2", port),
        dead_address("127.0.0.3", port),
        resolving({NAME: ["127.0.0.2", "127.0.0.3"]}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(connect, "HEAD_START", 0.001)
        run(loop, main())  # sockets that were left open would warn


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to this process")
def test_connecting_can_be_interrupted_while_all_addresses_are_silent() -> None:
    port = free_port()
    waiting = threading.Event()

    class Selector(connect.Selector):  # type: ignore[misc]
        def select(self, timeout: float | None = None) -> Any:
            waiting.set()
            return super().select(timeout)

    def interrupt() -> None:
        assert waiting.wait(DEADLINE)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with (
        dead_address("127.0.0.2", port),
        dead_address("127.0.0.3", port),
        resolving({NAME: ["127.0.0.2", "127.0.0.3"]}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(connect, "Selector", Selector)
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            Client(NAME, port)
        thread.join(DEADLINE)


def test_who_is_cancelled_while_the_other_attempts_end_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[socket.socket] = []
    attempt = connect.Attempt(HOST, 1, 0.01)
    attempt.addresses = [(socket.AF_INET, (host, 1)) for host in ("127.0.0.2", "127.0.0.3")]

    async def main() -> None:
        racing, both = asyncio.current_task(), asyncio.Event()
        assert racing is not None

        async def connect_to(address: Any, errors: Any, connected: list[socket.socket]) -> None:
            if address == attempt.addresses[0]:
                await both.wait()
                made.append(socket.socket())
                connected.append(made[-1])
                return
            both.set()
            try:
                await asyncio.Event().wait()
            finally:
                racing.cancel()

        monkeypatch.setattr(asyncio_connect, "_connect", connect_to)
        await asyncio_connect._race(attempt)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert [sock.fileno() for sock in made] == [-1]


def test_an_address_that_is_connected_at_once_is_taken() -> None:
    class Socket(socket.socket):
        def setblocking(self, flag: bool) -> None:
            """Stay as it is: `connect` waits."""

    with socket.create_server((HOST, 0)) as listening, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Socket)
        with open_socket(*listening.getsockname()) as sock:
            assert sock.getpeername() == listening.getsockname()


def test_an_address_that_is_refused_at_once_is_told() -> None:
    with pytest.raises(OSError, match=f": could not connect to {HOST} port 1$") as raised:
        open_socket(HOST, 1, None, ("192.0.2.1", 0))  # which is none of ours
    assert raised.value.errno == errno.EADDRNOTAVAIL


def test_of_two_connections_that_are_made_in_the_same_moment_one_is_closed() -> None:
    made: list[socket.socket] = []

    async def main(port: int) -> None:
        loop = asyncio.get_running_loop()
        real, both = loop.sock_connect, asyncio.Event()

        async def sock_connect(sock: socket.socket, address: Any) -> None:
            await real(sock, (HOST, port))
            made.append(sock)
            if len(made) == 2:
                both.set()
            await both.wait()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "sock_connect", sock_connect)
            with await asyncio_connect.open_socket(NAME, port) as sock:
                assert sorted(one.fileno() for one in made) == [-1, sock.fileno()]

    with (
        socket.create_server((HOST, 0)) as listening,
        resolving({NAME: ["127.0.0.2", "127.0.0.3"]}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(connect, "HEAD_START", 0.001)
        asyncio.run(main(listening.getsockname()[1]))


def test_families_take_turns_and_the_first_one_begins() -> None:
    def found(family: int, address: str) -> tuple[Any, ...]:
        return (family, socket.SOCK_STREAM, 6, "", (address, 1))

    six, four = socket.AF_INET6, socket.AF_INET
    answer = [found(six, "a"), found(six, "b"), found(six, "c"), found(four, "d")]
    assert [address for _, (address, _) in addresses_of(answer)] == ["a", "d", "b", "c"]
    with pytest.raises(socket.gaierror, match="no addresses were found"):
        addresses_of([])


def test_a_connection_without_a_descriptor_left_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*args: Any) -> Any:
        raise OSError(24, "Too many open files")

    async def main() -> None:
        with pytest.raises(OSError, match="Too many open files: could not connect to"):
            await asyncio_connect.open_socket(HOST, 1)

    loop = asyncio.new_event_loop()
    monkeypatch.setattr(socket, "socket", none_left)
    try:
        with pytest.raises(OSError, match="Too many open files: could not connect to"):
            open_socket(HOST, 1)
        loop.run_until_complete(main())
    finally:
        monkeypatch.undo()
        loop.close()


def test_what_sockets_and_streams_take_is_taken_as_before() -> None:
    async def connect(port: int) -> list[str]:
        peers = []
        for options in (
            {"limit": 1000},
            {"family": socket.AF_INET},
            {"local_addr": ("127.0.0.1", 0)},
        ):
            _, writer = await async_open_connection(HOST, port, **options)
            peers.append(writer.get_extra_info("peername")[0])
            writer.close()
            await writer.wait_closed()
        return peers

    async def connect_socket(port: int) -> None:
        sock = socket.create_connection((HOST, port))
        _, writer = await async_open_connection(None, None, sock=sock)  # type: ignore[arg-type]
        writer.close()
        await writer.wait_closed()
        with pytest.raises(OSError, match="Invalid argument"):
            await async_open_connection(HOST, port, family=socket.AF_INET, after_idle=-1)

    with running_server(lambda: Server({"t": Target()})) as port:
        run("asyncio", connect_socket(port))
        source = ("127.0.0.5", 0) if sys.platform == "linux" else (HOST, 0)
        with create_connection(HOST, port, 5, source) as sock:
            assert sock.getsockname()[0] == source[0]
        with create_connection(HOST, port, all_errors=True) as sock:
            assert sock.getpeername() == (HOST, port)
        assert run("asyncio", connect(port)) == [HOST] * 3
    with pytest.raises(ExceptionGroup):
        create_connection(HOST, free_port(), all_errors=True)


def test_a_default_timeout_of_sockets_holds_where_none_is_given() -> None:
    before = socket.getdefaulttimeout()
    try:
        with socket.create_server((HOST, 0)) as listening:
            socket.setdefaulttimeout(DEADLINE)
            with create_connection(*listening.getsockname()) as sock:
                assert sock.gettimeout() == DEADLINE
            with create_connection(*listening.getsockname(), None) as sock:
                assert sock.gettimeout() is None
    finally:
        socket.setdefaulttimeout(before)


@pytest.mark.parametrize("form", ["plain", "tls"])
def test_this_end_has_an_address_that_is_known_after_closing(form: str) -> None:
    theirs, ours = secured("IP:127.0.0.1", "paths") if form == "tls" else ({}, {})

    async def main(port: int) -> None:
        client = AsyncioClient()
        await client.connect_rpc(HOST, port, **ours)
        await client.close_rpc()
        assert client.get_local_host() == HOST

    with running_server(lambda: Server({"t": Target()}), **theirs) as port:
        run("asyncio", main(port))
        run("uvloop", main(port))
        client = Client(HOST, port, **ours)
        client.close_rpc()
        assert client.get_local_host() == HOST


# --- names that lead nowhere -----------------------------------------------------------------


@pytest.mark.parametrize("client", [c for c in CLIENTS if c is not by_best_effort_client])
def test_the_error_of_a_name_without_an_address_has_the_name(client: Way) -> None:
    said = re.escape("could not connect to nosuch.invalid port 3250")
    with pytest.raises(socket.gaierror, match=said) as raised:
        client("nosuch.invalid", 3250, DEADLINE)
    assert raised.value.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)


def test_a_client_that_does_its_best_warns_with_the_name(caplog: pytest.LogCaptureFixture) -> None:
    with BestEffortClient("nosuch.invalid", 3250, "t", retry=1000) as client:
        assert client.echo(1) is None
    assert "could not connect to nosuch.invalid port 3250" in caplog.text


@every_loop
@pytest.mark.parametrize("host", ["nosuch.invalid", [HOST, "nosuch.invalid"]], ids=["one", "list"])
def test_so_has_that_of_a_server(host: Any, loop: str) -> None:
    async def main() -> None:
        async with Server({"t": Target()}) as server:
            said = "could not listen on nosuch.invalid port 0"
            with pytest.raises(socket.gaierror, match=said) as raised:
                await server.start(host, 0)
            assert raised.value.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)
            await server.start(HOST, 0)  # it can be tried again

    run(loop, main())


def test_a_name_that_is_found_again_in_that_moment_gives_the_error_as_it_was() -> None:
    error = socket.gaierror(socket.EAI_AGAIN, "try again")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        real, times = loop.getaddrinfo, iter([error])

        async def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
            for exc in times:
                raise exc
            return await real(*args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "getaddrinfo", getaddrinfo)
            with pytest.raises(socket.gaierror, match="try again"):
                await Server({}).start("localhost", 0)

    asyncio.run(main())


# --- what a certificate is for ---------------------------------------------------------------


@every_client
@pytest.mark.parametrize("form", ["config", "paths"])
def test_the_zone_of_an_address_is_no_part_of_its_name(client: Way, form: str) -> None:
    theirs, ours = secured("IP:fe80::1", form)
    with running_server(lambda: Server({"t": Target()}), **theirs) as port:
        with resolving({"fe80::1%eth0": [HOST], "fe80::2%eth0": [HOST]}):
            assert client("fe80::1%eth0", port, DEADLINE, **ours) == 1


def test_a_certificate_of_another_address_is_refused_with_a_zone_as_well() -> None:
    theirs, ours = secured("IP:fe80::1", "paths")
    with running_server(lambda: Server({"t": Target()}), **theirs) as port:
        with resolving({"fe80::2%eth0": [HOST]}):
            for client in (by_client, by_asyncio_client):
                with pytest.raises(OSError, match="IP address mismatch"):
                    client("fe80::2%eth0", port, DEADLINE, **ours)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
        ("lab.example.", "lab.example"),
        ("lab.example", "lab.example"),
        ("127.0.0.1", "127.0.0.1"),
        (None, "localhost"),
    ],
)
def test_what_a_certificate_has_to_be_for(host: str | None, name: str) -> None:
    assert server_name(host) == name
