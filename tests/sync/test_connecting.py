"""Connecting subscribers, receivers and snapshots: to hosts of several addresses, or of none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sipyco_sync.broadcast import Broadcaster, Receiver
from sipyco_sync.remote_exec import connect_global_rpc, simple_rexec_server_loop
from sipyco_sync.sync_struct import (
    Notifier,
    Publisher,
    Subscriber,
    ThreadSubscriber,
    blocking_snapshot,
    snapshot,
)
from support.addresses import ends_of_two, first_address_dead, resolving
from support.certificates import identity
from support.feeds import comes_true, port_of
from support.peers import DEADLINE, HOST

INF, NAN = float("inf"), float("nan")

Way = Callable[..., Coroutine[Any, Any, Any]]


async def by_subscriber(host: Any, port: Any, **tls: Any) -> Any:
    got: list[Any] = []
    subscriber = Subscriber("n", lambda struct: struct, got.append)
    await subscriber.connect(host, port, **tls)
    await comes_true(lambda: got)
    await subscriber.close()
    return got[0]["struct"]


async def by_receiver(host: Any, port: Any, **tls: Any) -> Any:
    async with Receiver("n", print) as receiver:
        await receiver.connect(host, port, **tls)
        return {"a": 1}  # there is a connection; nobody broadcasts


async def by_snapshot(host: Any, port: Any, **tls: Any) -> Any:
    return await snapshot(host, port, "n", **tls)


async def by_blocking_snapshot(host: Any, port: Any, **tls: Any) -> Any:
    return await asyncio.to_thread(blocking_snapshot, host, port, "n", **tls)


async def by_thread_subscriber(host: Any, port: Any, **tls: Any) -> Any:
    def work() -> Any:
        with ThreadSubscriber(host, port, "n", **tls) as subscriber:
            return subscriber.copy()

    return await asyncio.to_thread(work)


WAYS = [by_subscriber, by_receiver, by_snapshot, by_blocking_snapshot, by_thread_subscriber]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@every_way
@pytest.mark.parametrize("form", ["plain", "config", "paths"])
def test_where_the_first_address_is_dead_the_second_is_taken(way: Way, form: str) -> None:
    theirs, ours = ends_of_two(form)

    async def main() -> None:
        publisher = Publisher({"n": Notifier({"a": 1})})
        async with asyncio.timeout(DEADLINE), publisher:
            await publisher.start(HOST, 0, **theirs)
            with first_address_dead(port_of(publisher)) as host:
                assert await way(host, port_of(publisher), **ours) == {"a": 1}

    asyncio.run(main())


@every_way
def test_the_zone_of_an_address_is_no_part_of_its_name(way: Way) -> None:
    server, client = identity("of fe80", "IP:fe80::1"), identity("client")

    async def main() -> None:
        publisher = Publisher({"n": Notifier({"a": 1})})
        async with asyncio.timeout(DEADLINE), publisher:
            await publisher.start(
                HOST, 0, local_cert=server.cert, local_key=server.key, peer_cert=client.cert
            )
            with resolving({"fe80::1%eth0": [HOST]}):
                got = await way(
                    "fe80::1%eth0",
                    port_of(publisher),
                    local_cert=client.cert,
                    local_key=client.key,
                    peer_cert=server.cert,
                )
            assert got == {"a": 1}

    asyncio.run(main())


@every_way
def test_the_error_of_a_name_without_an_address_has_the_name(way: Way) -> None:
    with pytest.raises(socket.gaierror, match=r"could not connect to nosuch\.invalid port 3250"):
        asyncio.run(way("nosuch.invalid", 3250))


@every_way
@pytest.mark.parametrize("wrong", [65536 + 3250, -1, 0, "http", True])
def test_what_cannot_be_a_port_is_not_connected_to(way: Way, wrong: Any) -> None:
    text = f"a port is a whole number from 1 to 65535, got {wrong!r}$"
    with pytest.raises(ValueError, match=text):
        asyncio.run(way(HOST, wrong))


@every_way
@pytest.mark.parametrize("wrong", ["a..b", "", "x" * 64, "a\0b"])
def test_what_cannot_be_a_host_is_not_looked_up(way: Way, wrong: str) -> None:
    with pytest.raises(ValueError, match="a host is the name or address of a computer"):
        asyncio.run(way(wrong, 3250))


@pytest.mark.parametrize(
    "server", [Publisher({}), Broadcaster()], ids=["Publisher", "Broadcaster"]
)
def test_servers_of_feeds_refuse_what_others_do(server: Any) -> None:
    with pytest.raises(ValueError, match="a port is a whole number from 0 to 65535, got 68786"):
        asyncio.run(server.start(HOST, 65536 + 3250))
    with pytest.raises(socket.gaierror, match=r"could not listen on nosuch\.invalid port 0"):
        asyncio.run(server.start([HOST, "nosuch.invalid"], 0))


def test_remote_execution_does_so_too() -> None:
    with pytest.raises(ValueError, match="a port is a whole number from 0 to 65535, got 68786"):
        simple_rexec_server_loop("t", object(), HOST, 65536 + 3250)

    class Nobody:
        def get_local_host(self) -> str:
            raise AssertionError("nothing is asked of the server")

        add_code = get_local_host

    for host, port in ((HOST, 65536 + 3250), (None, 0), ("a..b", 3250)):
        with pytest.raises(ValueError, match=r"a port is a|a host is the"):
            connect_global_rpc(Nobody(), host, port)


@pytest.mark.parametrize("wrong", [0, -1, INF, NAN, True, "5", 0.0005])
def test_a_pause_that_takes_all_of_a_processor_is_refused_at_once(wrong: Any) -> None:
    text = r"reconnect is a number of seconds from 0\.001 to 100000, got"
    with pytest.raises(ValueError, match=text):
        Subscriber("n", print, reconnect=wrong)
    with pytest.raises(ValueError, match=text):
        Receiver("n", print, reconnect=wrong)
    with pytest.raises(ValueError, match=text):
        ThreadSubscriber(HOST, 1, "n", reconnect=wrong)


@pytest.mark.parametrize("wrong", [0, -1, INF, NAN, True, "5"])
def test_what_cannot_be_waited_for_is_refused_at_once(wrong: Any) -> None:
    text = "timeout is a positive number of seconds, at most 2000000, or None for no limit, got"
    with pytest.raises(ValueError, match=text):
        asyncio.run(snapshot(HOST, 1, "n", timeout=wrong))
    with pytest.raises(ValueError, match=text):
        blocking_snapshot(HOST, 1, "n", timeout=wrong)
    with pytest.raises(ValueError, match=text):
        ThreadSubscriber(HOST, 1, "n", timeout=wrong)
