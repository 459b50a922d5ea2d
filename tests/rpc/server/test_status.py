"""What a server tells of itself, and when; and how long it takes to answer."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sipyco_rpc._server import call_record
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, IncompatibleServer, Server
from sipyco_rpc.wire.requests import CallRequest
from support.event_loops import every_loop, loop_factory
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
from support.transports import TRANSPORTS, every_transport

HELLO = b"ARTIQ pc_rpc\n"


class Target(GatedTarget):
    """Methods of all kinds."""

    def fail(self) -> None:
        raise ValueError("no")

    async def fail_later(self) -> None:
        raise ValueError("no")

    def strange(self) -> object:
        return object()

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    async def count_async(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    def count_and_fail(self) -> Iterator[int]:
        yield 1
        raise ValueError("no more")


def client_of(port: int, **options: Any) -> Client:
    return Client(HOST, port, timeout=DEADLINE, **options)


def counts_of(client: Client, method: str) -> list[int]:
    """Give how often a method was called, with errors, cancelled, and its items."""
    counts = client.get_rpc_status()["targets"]["t"]["methods"][method]
    assert counts["total_seconds"] >= counts["longest_seconds"] >= 0
    return [counts[key] for key in ("calls", "errors", "cancelled", "items")]


def calls_under_way(client: Client) -> list[tuple[str, str]]:
    return [
        (call["method"], call["state"])
        for call in client.get_rpc_status()["targets"]["t"]["under_way"]
    ]


# --- when it is answered ---------------------------------------------------------------------


def test_it_is_answered_while_a_method_blocks_its_thread(either_protocol: bool) -> None:
    target = Target()
    with rpc_server({"t": target}, threaded=True) as port, ThreadPoolExecutor() as pool:
        with client_of(port) as busy, client_of(port) as waiting, client_of(port) as monitor:
            blocked = pool.submit(busy.block)
            assert target.entered.wait(DEADLINE)
            queued = pool.submit(waiting.echo, 5)
            until(lambda: len(calls_under_way(monitor)) == 2)
            assert calls_under_way(monitor) == [("block", "running"), ("echo", "waiting")]
            first, second = monitor.get_rpc_status()["targets"]["t"]["under_way"]
            addresses = [each["client"] for each in monitor.get_rpc_status()["connections"]]
            assert [first["client"], second["client"]] == addresses[:2]
            assert first["seconds"] >= first["running_seconds"] > 0
            assert second["running_seconds"] is None
            assert monitor.ping_rpc() > 0
            target.released.set()
            assert blocked.result(DEADLINE) == "released"
            assert queued.result(DEADLINE) == 5
            assert calls_under_way(monitor) == []
            assert counts_of(monitor, "block") == [1, 0, 0, 0]


def test_frames_carry_it_while_a_call_of_the_same_connection_is_under_way() -> None:
    target = Target()

    async def main(port: int) -> None:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            call = asyncio.create_task(client.block())
            await asyncio.to_thread(target.entered.wait, DEADLINE)
            status = await client.get_rpc_status()
            assert [each["method"] for each in status["targets"]["t"]["under_way"]] == ["block"]
            assert await client.ping_rpc() > 0
            target.released.set()
            assert await call == "released"

    with rpc_server({"t": target}, threaded=True, frames=True) as port:
        asyncio.run(main(port))


def test_lines_are_answered_in_order() -> None:
    target = Target()
    with rpc_server({"t": target}, threaded=True) as port, connected(port) as peer:
        peer.send(
            HELLO + b"t pyon_v2\n" + b'{"action":"call","name":"block","args":[],"kwargs":{}}\n'
        )
        peer.send(b'{"action":"ping"}\n{"action":"status"}\n')
        assert target.entered.wait(DEADLINE)
        target.released.set()
        lines = [peer.line() for _ in range(5)][2:]
        assert lines[:2] == [
            b'{"status":"ok","ret":"released"}\n',
            b'{"status":"ok","ret":null}\n',
        ]
        assert json.loads(lines[2])["ret"]["targets"]["t"]["under_way"] == []


def test_it_is_told_in_the_dialect_of_before_2025() -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        peer.send(HELLO + b"t\n" + b'{"action": "status"}\n{"action": "ping"}\n')
        peer.line(), peer.line()
        assert peer.line().startswith(b'{"status": "ok", "ret": {"time": ')
        assert peer.line() == b'{"status": "ok", "ret": null}\n'


def test_an_allow_list_does_not_stand_in_its_way() -> None:
    with rpc_server({"t": Target()}, allowed_methods={"t": ["echo"]}) as port:
        with client_of(port) as client:
            assert client.get_rpc_status()["targets"]["t"]["methods"] == {}


def test_it_can_be_switched_off(either_protocol: bool) -> None:
    with rpc_server({"t": Target()}, status=False) as port, client_of(port) as client:
        with pytest.raises(IncompatibleServer, match="unknown action 'status'"):
            client.get_rpc_status()
        assert client.ping_rpc() > 0
        assert client.echo(5) == 5


# --- what is in it ---------------------------------------------------------------------------


def test_the_server_and_its_process() -> None:
    with rpc_server({"t": Target(), "u": Target()}, description="two", max_connections=7) as port:
        with client_of(port, target_name="t") as client:
            status = client.get_rpc_status()
    assert status["description"] == "two"
    assert status["addresses"] == [{"host": HOST, "port": port}]
    assert status["time"] - status["started"] == pytest.approx(status["uptime_seconds"], abs=1)
    assert list(status["targets"]) == ["t", "u"]
    assert status["limits"]["max_connections"] == 7
    assert status["limits"]["handshake_timeout_seconds"] == 10
    assert status["process"]["pid"] == os.getpid()
    assert status["process"]["threads"] >= 2
    assert status["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert status["versions"]["sipyco_rpc"]
    assert ("numpy" in status["versions"]) == ("numpy" in sys.modules)


def test_the_connections(either_protocol: bool) -> None:
    with rpc_server({"t": Target()}) as port, client_of(port) as client:
        with connected(port) as silent, connected(port) as undecided:
            undecided.send(HELLO)
            undecided.line()
            until(lambda: len(client.get_rpc_status()["connections"]) == 3)
            status = client.get_rpc_status()
            mine, first, second = status["connections"]
            host, local_port = silent.socket.getsockname()
            assert first["client"] == f"{host} port {local_port}"
            assert first["state"] == "waiting for the banner"
            assert second["state"] == "waiting for the selection of a target"
            assert (first["target"], first["requests"], first["tls"]) == (None, 0, None)
            assert (mine["state"], mine["target"]) == ("established", "t")
            assert (mine["dialect"], mine["frames"]) == ("PYON v2", either_protocol)
            assert mine["requests"] >= 2
            assert mine["received_bytes"] > 60
            assert mine["sent_bytes"] > 500
            assert status["sent_bytes"] == sum(
                each["sent_bytes"] for each in status["connections"]
            )
        until(lambda: len(client.get_rpc_status()["connections"]) == 1)
        after = client.get_rpc_status()
        assert after["connections_accepted"] == 3
        assert after["received_bytes"] == after["connections"][0]["received_bytes"] + len(HELLO)


@every_transport
@every_loop
def test_every_transport_and_loop_tells_what_it_is(transport: str, loop: str) -> None:
    ends = TRANSPORTS[transport]()

    async def main() -> dict[str, Any]:
        async with Server({"t": Target()}, threaded=True) as server:
            await server.start(HOST, 0, **ends.listening)
            assert server.server is not None
            port = server.server.sockets[0].getsockname()[1]
            async with AsyncioClient(timeout=DEADLINE) as client:
                await client.connect_rpc(HOST, port, **ends.connecting)
                assert await client.echo(5) == 5
                assert await client.ping_rpc() > 0
                return await client.get_rpc_status()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        status = runner.run(main())
    [connection] = status["connections"]
    assert connection["state"] == "established"
    assert connection["backlog_bytes"] == 0
    assert status["targets"]["t"]["methods"]["echo"]["calls"] == 1
    if transport == "tcp":
        assert connection["tls"] is None
    else:
        assert connection["tls"]["version"] == "TLSv1.3"
        assert connection["tls"]["cipher"]
        assert "IP Address:127.0.0.1" in connection["tls"]["names"]


def test_a_tls_handshake_that_is_under_way_is_shown() -> None:
    ends = TRANSPORTS["ssl_config"]()
    with running_server(lambda: Server({"t": Target()}), **ends.listening) as port:
        with connected(port), client_of(port, **ends.connecting) as client:
            until(lambda: len(client.get_rpc_status()["connections"]) == 2)
            first, second = client.get_rpc_status()["connections"]
            assert (first["state"], first["tls"]) == ("TLS handshake", None)
            assert second["state"] == "established"


# --- counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.parametrize("allow_parallel", [False, True], ids=["one", "parallel"])
def test_calls_and_errors_are_counted(
    threaded: bool, allow_parallel: bool, either_protocol: bool
) -> None:
    options = {"threaded": threaded, "allow_parallel": allow_parallel}
    with rpc_server({"t": Target()}, **options) as port, client_of(port) as client:
        for i in range(3):
            client.echo(i)
        for name in ("fail", "fail_later", "strange"):
            with pytest.raises((ValueError, TypeError)):
                getattr(client, name)()
        with pytest.raises(TypeError):
            client.echo(1, 2, 3)
        assert counts_of(client, "echo") == [4, 1, 0, 0]
        assert counts_of(client, "fail") == [1, 1, 0, 0]
        assert counts_of(client, "fail_later") == [1, 1, 0, 0]
        assert counts_of(client, "strange") == [1, 1, 0, 0]
        assert calls_under_way(client) == []


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_generators_are_counted_with_their_items(threaded: bool) -> None:
    with rpc_server({"t": Target()}, threaded=threaded, frames=True) as port:
        with client_of(port) as client:
            assert list(client.count(5)) == list(client.count_async(5)) == [0, 1, 2, 3, 4]
            assert counts_of(client, "count") == counts_of(client, "count_async") == [1, 0, 0, 5]
            with pytest.raises(ValueError, match="no more"):
                list(client.count_and_fail())
            assert counts_of(client, "count_and_fail") == [1, 1, 0, 1]
            items = client.count(10**6)
            next(items)
            until(lambda: calls_under_way(client) == [("count", "suspended")])
            items.close()
            until(lambda: not calls_under_way(client))
            assert counts_of(client, "count")[:3] == [2, 0, 1]


def test_a_generator_that_cannot_be_sent_is_an_error() -> None:
    with rpc_server({"t": Target()}, frames=False) as port, client_of(port) as client:
        with pytest.raises(TypeError, match="frames"):
            client.count(5)
        assert counts_of(client, "count") == [1, 1, 0, 0]
        assert calls_under_way(client) == []


def test_a_method_that_was_cancelled_is_shown_until_its_thread_has_returned() -> None:
    target = Target()

    async def main(port: int, monitor: Client) -> None:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            calls = [asyncio.create_task(client.block()), asyncio.create_task(client.echo(1))]
            await asyncio.to_thread(target.entered.wait, DEADLINE)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            await client.ping_rpc()
            assert calls_under_way(monitor) == [("block", "ending")]
            target.released.set()
            await asyncio.to_thread(until, lambda: not calls_under_way(monitor))
            assert counts_of(monitor, "block") == [1, 0, 1, 0]
            assert counts_of(monitor, "echo") == [1, 0, 1, 0]

    with rpc_server({"t": target}, threaded=True, frames=True) as port:
        with client_of(port) as monitor:
            asyncio.run(main(port, monitor))


def test_calls_whose_clients_have_left_are_shown_until_they_have_returned() -> None:
    target = Target()
    with rpc_server({"t": target}, threaded=True) as port, client_of(port) as monitor:
        with connected(port) as peer:
            peer.send(HELLO + b"t pyon_v2\n")
            peer.send(b'{"action":"call","name":"block","args":[],"kwargs":{}}\n')
            assert target.entered.wait(DEADLINE)
        assert calls_under_way(monitor)[0][0] == "block"
        target.released.set()
        until(lambda: not calls_under_way(monitor))


def test_coroutines_that_were_cancelled_are_counted() -> None:
    target = Target()

    async def main(port: int, monitor: Client) -> None:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            call = asyncio.create_task(client.wait())
            await asyncio.to_thread(target.entered.wait, DEADLINE)
            assert calls_under_way(monitor) == [("wait", "running")]
            call.cancel()
            await asyncio.wait({call})
            await asyncio.to_thread(until, lambda: not calls_under_way(monitor))
            assert counts_of(monitor, "wait") == [1, 0, 1, 0]

    with rpc_server({"t": target}, frames=True) as port, client_of(port) as monitor:
        asyncio.run(main(port, monitor))


def test_names_that_peers_make_up_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_record, "MAX_COUNTED_METHODS", 2)
    calls = call_record.TargetCalls()
    for name in ("a", "b", "c", "d", "a"):
        calls[name].calls += 1
    assert {name: counts.calls for name, counts in calls.items()} == {
        "a": 2,
        "b": 1,
        "(others)": 2,
    }


def test_names_that_are_long_are_counted_together() -> None:
    calls = call_record.TargetCalls()
    for name in ("x" * 200, "x" * 201, "y" * 1_000_000):
        calls[name].calls += 1
    assert {name: counts.calls for name, counts in calls.items()} == {"x" * 200: 1, "(others)": 2}


def test_a_long_name_under_way_is_shortened() -> None:
    calls = call_record.TargetCalls("t")
    record = call_record.CallRecord(calls, CallRequest("x" * 1000, (), {}), "me")
    (under_way,) = calls.status()["under_way"]
    assert under_way["method"] == "x" * 200 + "… (1000 characters)"
    assert len(record.describe()) < 300


class Big:
    pass


def test_arguments_and_values_are_not_kept() -> None:
    kept: list[weakref.ref[Big]] = []

    class Keeper:
        async def take(self, value: Any) -> None:
            big = Big()
            kept.append(weakref.ref(big))
            await asyncio.sleep(0)

        def give(self) -> Iterator[int]:
            big = Big()
            kept.append(weakref.ref(big))
            yield 1
            raise ValueError("no")

    with rpc_server({"t": Keeper()}, frames=True) as port, client_of(port) as client:
        client.take(1)
        with pytest.raises(ValueError, match="no"):
            list(client.give())
        client.ping_rpc()
        gc.collect()
        assert [ref() for ref in kept] == [None, None]


# --- other servers ---------------------------------------------------------------------------

REFUSAL = b'{"status":"failed","exception":{"class":"ValueError","message":"unknown action"}}\n'


def refuse(peer: Peer) -> None:
    """Play a server that knows calls and listings only."""
    handshake(peer)
    while peer.line():
        peer.send(REFUSAL)


def hang_up(peer: Peer) -> None:
    """Play a server that closes the connection of who asks for what it does not know."""
    handshake(peer)
    peer.line()


def test_an_older_server_is_said_to_tell_no_status() -> None:
    with scripted_server(refuse) as port, client_of(port) as client:
        with pytest.raises(
            IncompatibleServer, match=r"older version.* ValueError: unknown action"
        ):
            client.get_rpc_status()
        assert client.ping_rpc() > 0  # its refusal takes as long


def test_an_older_server_is_said_to_tell_no_status_to_asyncio() -> None:
    async def main(port: int) -> None:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(IncompatibleServer, match="older version"):
                await client.get_rpc_status()
            assert await client.ping_rpc() > 0

    with scripted_server(refuse) as port:
        asyncio.run(main(port))


def test_an_older_server_may_hang_up() -> None:
    note = "A server of an older version may close the connection when it is asked for this."
    with scripted_server(hang_up) as port, client_of(port) as client:
        with pytest.raises(EOFError, match="asking for the status") as caught:
            client.get_rpc_status()
        assert caught.value.__notes__ == [note]

    async def main(port: int) -> None:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(EOFError) as caught:
                await client.get_rpc_status()
            assert caught.value.__notes__ == [note]

    with scripted_server(hang_up) as port:
        asyncio.run(main(port))


def test_a_target_has_to_be_selected_first() -> None:
    with rpc_server({"t": Target()}) as port:
        with client_of(port, target_name=None) as client:
            for question in (client.get_rpc_status, client.ping_rpc):
                with pytest.raises(ValueError, match="no target is selected"):
                    question()


def test_best_effort_gives_none_without_a_connection() -> None:
    with rpc_server({"t": Target()}) as port:
        client = BestEffortClient(HOST, port, "t")
        status = client.get_rpc_status()
        assert status is not None
        assert status["targets"]["t"]["methods"] == {}
        assert client.ping_rpc() is not None
    with client:
        assert client.get_rpc_status() is None
        assert client.ping_rpc() is None


def test_a_client_that_is_relayed_offers_no_status_of_its_own() -> None:
    with rpc_server({"t": Target()}) as port, client_of(port) as target:
        with rpc_server({"relay": target}) as relay, client_of(relay) as client:
            assert client.echo(5) == 5
            assert list(client.get_rpc_status()["targets"]) == ["relay"]
            with connected(relay) as peer:
                peer.send(HELLO + b"relay pyon_v2\n")
                peer.line()
                assert b"rpc_status" not in peer.line()
                peer.send(b'{"action":"call","name":"get_rpc_status","args":[],"kwargs":{}}\n')
                assert b"AttributeError" in peer.line()
