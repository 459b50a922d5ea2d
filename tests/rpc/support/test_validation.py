"""Hosts, ports and times that make no sense are refused, with one text, wherever they come in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest

from sipyco_rpc.net.keepalive import async_open_connection, create_connection
from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    BestEffortClient,
    Client,
    Server,
    call_timeout,
    simple_server_loop,
)
from sipyco_rpc.support.validation import (
    check_host,
    checked_pause,
    checked_port,
    checked_time_limit,
    checked_timeout,
)
from sipyco_rpc.testing import GenericRPCCase
from support.peers import DEADLINE, HOST, rpc_server
from support.programs import free_port

INF, NAN = float("inf"), float("nan")


class Port(IntEnum):
    lda = 3253


class WithIndex:
    def __index__(self) -> int:
        return 3253


# --- ports -----------------------------------------------------------------------------------

Connect = Callable[[Any, Any], Any]


async def connect_streams(host: Any, port: Any) -> None:
    _, writer = await async_open_connection(host, port)
    writer.close()


CONNECTING: dict[str, Connect] = {
    "Client": lambda host, port: Client(host, port).close_rpc(),
    "AsyncioClient": lambda host, port: asyncio.run(AsyncioClient().connect_rpc(host, port)),
    "BestEffortClient": lambda host, port: BestEffortClient(host, port, "t").close_rpc(),
    "create_connection": lambda host, port: create_connection(host, port).close(),
    "create_connection, all errors": lambda host, port: create_connection(
        host, port, all_errors=True
    ).close(),
    "async_open_connection": lambda host, port: asyncio.run(connect_streams(host, port)),
    "async_open_connection, its own way": lambda host, port: asyncio.run(
        async_open_connection(host, port, happy_eyeballs_delay=0.25)  # type: ignore[arg-type]
    ),
}
connecting = pytest.mark.parametrize("connect", CONNECTING.values(), ids=CONNECTING)


@connecting
@pytest.mark.parametrize(
    "wrong", [65536 + 3300, 65536, -1, 0, "68836", "http", 3300.0, True, None]
)
def test_what_cannot_be_a_port_is_not_connected_to(connect: Connect, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 65535, got {wrong!r}$"):
        connect(HOST, wrong)


def test_a_port_that_would_wrap_is_not_connected_to() -> None:
    with rpc_server({"t": object()}) as port:
        Client(HOST, port).close_rpc()
        with pytest.raises(ValueError, match="a port is a whole number from 1 to 65535, got "):
            Client(HOST, 65536 + port)


@pytest.mark.parametrize("wrong", [65536 + 3300, -1, "http", 3300.0, True])
@pytest.mark.parametrize("host", [HOST, [HOST, "::1"], None], ids=["one", "list", "all"])
def test_what_cannot_be_a_port_is_not_listened_on(host: Any, wrong: Any) -> None:
    text = f"a port is a whole number from 0 to 65535, got {wrong!r}$"
    with pytest.raises(ValueError, match=text):
        asyncio.run(Server({}).start(host, wrong))
    with pytest.raises(ValueError, match=text):
        simple_server_loop({}, host, wrong)


def test_digits_and_numbers_of_other_kinds_are_ports() -> None:
    assert checked_port("3253") == 3253
    assert type(checked_port(Port.lda)) is int
    assert checked_port(WithIndex()) == 3253
    assert checked_port(65535) == 65535
    assert checked_port(0, listening=True) == 0
    with rpc_server({"t": object()}) as port:
        Client(HOST, str(port)).close_rpc()  # type: ignore[arg-type]


def test_a_server_takes_what_asyncio_takes_for_any_port() -> None:
    async def main() -> None:
        for port in (0, "0", None):
            async with Server({}) as server:
                await server.start(HOST, port)  # type: ignore[arg-type]

    asyncio.run(main())


@pytest.mark.parametrize(
    "wrong",
    ["9" * 5000, 10**5000, object(), b"3253", "\u0663\u0662", "3_000", ""],
    ids=lambda wrong: type(wrong).__name__,
)
def test_whatever_is_no_port_is_said_to_be_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a port is a whole number from 1 to 65535, got "):
        checked_port(wrong)


def test_a_driver_is_not_started_for_a_port_that_is_none(tmp_path: Any) -> None:
    case = GenericRPCCase()
    case.setUp()
    with pytest.raises(ValueError, match="a port is a whole number"):
        case.start_server("driver", f"touch {tmp_path}/started", 68836)
    assert list(tmp_path.iterdir()) == []


# --- hosts -----------------------------------------------------------------------------------

IMPOSSIBLE = ["a..b", ".a", "x" * 64, "", "a\0b", "::1\n", "\ud800", 5, b"localhost", "ä" * 64]


@connecting
@pytest.mark.parametrize("wrong", IMPOSSIBLE, ids=ascii)
def test_what_cannot_be_a_host_is_not_looked_up(connect: Connect, wrong: Any) -> None:
    with pytest.raises(ValueError, match="a host is the name or address of a computer") as raised:
        connect(wrong, 3253)
    assert type(raised.value) is ValueError


@pytest.mark.parametrize("wrong", [w for w in IMPOSSIBLE if w != ""], ids=ascii)
def test_nor_is_it_listened_on(wrong: Any) -> None:
    for host in [wrong, [HOST, wrong]] if isinstance(wrong, str) else [[HOST, wrong]]:
        with pytest.raises(ValueError, match="a host is the name or address of a computer"):
            asyncio.run(Server({}).start(host, 0))


def test_a_server_without_an_address_says_so() -> None:
    with pytest.raises(ValueError, match="the list of hosts is empty"):
        asyncio.run(Server({}).start([], 0))


def test_a_server_takes_an_empty_host_for_all() -> None:
    async def main() -> None:
        async with Server({}) as server:
            await server.start("", 0)

    asyncio.run(main())


def test_names_addresses_and_none_are_hosts() -> None:
    for host in (
        "localhost",
        "lab.example.",
        "b\u00fccher.example",
        "fe80::1%eth0",
        "x" * 63,
        None,
    ):
        check_host(host)


# --- times -----------------------------------------------------------------------------------

TIMES: dict[str, Callable[[Any], Any]] = {
    "timeout": lambda wrong: Client(HOST, free_port(), timeout=wrong),
    "firstcon_timeout": lambda wrong: BestEffortClient(HOST, 1, "t", firstcon_timeout=wrong),
    "a timeout": lambda wrong: call_timeout(None, wrong).__enter__(),
}
TIMES["timeout "] = lambda wrong: AsyncioClient(timeout=wrong)
TIMES["timeout  "] = lambda wrong: create_connection(HOST, 1, wrong)


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    "wrong",
    [INF, -INF, NAN, 0, -1, True, "5", 3e6, 10**400, object()],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_cannot_be_waited_for_is_refused_at_once(name: str, wrong: Any) -> None:
    said = (
        f"^{name.strip()} is a positive number of seconds, at most 2000000, or None for no limit"
    )
    with pytest.raises(ValueError, match=said):
        TIMES[name](wrong)


@pytest.mark.parametrize("wrong", [INF, NAN, 0, 0.0005, -1, True, "5", None, 1e6])
def test_a_pause_that_takes_all_of_a_processor_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(
        ValueError, match=r"retry is a number of seconds from 0\.001 to 100000, got"
    ):
        BestEffortClient(HOST, 1, "t", retry=wrong)


@pytest.mark.parametrize("wrong", [INF, NAN, 0, True, "5", None])
def test_a_server_has_a_limit_for_handshakes(wrong: Any) -> None:
    with pytest.raises(ValueError, match="handshake_timeout is a positive number of seconds"):
        Server({}, handshake_timeout=wrong)
    with pytest.raises(ValueError, match="handshake_timeout is a positive number of seconds"):
        simple_server_loop({}, HOST, 0, handshake_timeout=wrong)


def test_times_may_be_numbers_of_any_kind() -> None:
    numpy = pytest.importorskip("numpy")
    assert checked_timeout(None) is None
    assert checked_timeout(numpy.float32(0.5)) == 0.5
    assert checked_timeout(1_000_000) == 1e6
    assert checked_time_limit(numpy.int64(3), "t") == 3
    assert checked_pause(0.001, "pause") == 0.001


def test_a_client_takes_a_timeout_of_any_kind_between_others() -> None:
    class Target:
        def echo(self, x: Any) -> Any:
            return x

    with (
        rpc_server({"t": Target()}) as port,
        Client(HOST, port, timeout=Decimal(DEADLINE)) as client,
    ):
        with call_timeout(client, Fraction(99, 2)):
            assert client.echo(1) == 1
        assert client.echo(2) == 2


def test_the_longest_timeout_can_be_waited_for() -> None:
    class Target:
        def echo(self, x: Any) -> Any:
            return x

        def numbers(self) -> Any:
            yield 1

    async def main(port: int) -> None:
        async with AsyncioClient(2_000_000) as client, asyncio.timeout(DEADLINE):
            await client.connect_rpc(HOST, port)
            assert await client.echo(1) == 1

    with rpc_server({"t": Target()}) as port:
        with Client(HOST, port, timeout=2_000_000) as client:
            assert client.echo(1) == 1
            assert len(client.echo(b"x" * 3_000_000)) == 3_000_000
            with call_timeout(client, 2_000_000):
                assert client.echo(1) == 1
                assert list(client.numbers()) == [1]
        with BestEffortClient(HOST, port, "t", 2_000_000, 100_000) as best:
            assert best.echo(1) == 1
        asyncio.run(main(port))


SWAPPED = "are host and port swapped"


@connecting
@pytest.mark.parametrize(("host", "port"), [(3253, "::1"), (3253, HOST), (3253, 3253)])
def test_host_and_port_in_the_wrong_order_are_told_from_a_mistake_in_one(
    connect: Connect, host: Any, port: Any
) -> None:
    with pytest.raises(ValueError, match=f"got 3253: {SWAPPED}"):
        connect(host, port)


@pytest.mark.parametrize("port", ["::1", "127.0.0.1", "lab.example", "localhost"])
def test_a_host_in_the_place_of_a_port_is_recognised(port: str) -> None:
    with pytest.raises(ValueError, match=f"got '{port}': {SWAPPED}"):
        checked_port(port)


@pytest.mark.parametrize("port", ["http", "", "70000", -1, None])
def test_other_things_in_the_place_of_a_port_are_not(port: Any) -> None:
    with pytest.raises(ValueError, match="a port is") as caught:
        checked_port(port)
    assert SWAPPED not in str(caught.value)


@pytest.mark.parametrize("host", [3253, 0])
def test_a_server_that_is_to_listen_on_a_number_asks_likewise(host: Any) -> None:
    async def main() -> None:
        await Server({"t": object()}).start(host, "::1")  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=f"got {host}: {SWAPPED}"):
        asyncio.run(main())
