"""What publishers and broadcasters tell of themselves, by themselves and by a server of RPC."""

from __future__ import annotations

import asyncio

from sipyco_rpc.pc_rpc import AsyncioClient, Server
from sipyco_sync.broadcast import Broadcaster
from sipyco_sync.sync_struct import Notifier, Publisher
from support.feeds import BANNER, RawPeer, comes_true, serving
from support.peers import DEADLINE, HOST


def test_a_publisher_tells_who_subscribes_and_how_far_they_are_behind() -> None:
    async def main() -> None:
        n = Notifier({"x": ""})
        publisher = Publisher({"n": n, "m": Notifier([])}, max_backlog=10_000_000)
        assert publisher.status()["addresses"] == []
        async with serving(publisher) as port:
            with RawPeer(port, BANNER + b"n\n", receive_buffer=4096) as peer:
                assert await peer.line() == b'{"action":"init","struct":{"x":""}}'
                [subscriber] = publisher.status()["subscribers"]
                host, own_port = peer.socket.getsockname()
                assert subscriber["client"] == f"{host} port {own_port}"
                assert (subscriber["name"], subscriber["backlog_bytes"]) == ("n", 0)
                n["x"] = "x" * 9_000_000  # more than the system takes
                await comes_true(
                    lambda: publisher.status()["subscribers"][0]["backlog_bytes"] > 1000
                )
                assert publisher.status()["subscribers"][0]["backlog_lines"] == 1
            await comes_true(lambda: publisher.status()["subscribers"] == [])
            status = publisher.status()
            assert status["addresses"] == [{"host": HOST, "port": port}]
            assert status["notifiers"] == ["n", "m"]
            assert status["max_backlog_bytes"] == 10_000_000

    asyncio.run(main())


def test_a_broadcaster_tells_who_listens_where() -> None:
    async def main() -> None:
        broadcaster = Broadcaster(queue_limit=7)
        async with serving(broadcaster) as port:
            with RawPeer(port, b"ARTIQ broadcast\nlog\n"):
                await comes_true(lambda: broadcaster.status()["receivers"] != [])
                [receiver] = broadcaster.status()["receivers"]
                assert (receiver["name"], receiver["backlog_lines"]) == ("log", 0)
            assert broadcaster.status()["queue_limit"] == 7

    asyncio.run(main())


def test_a_server_of_the_same_process_tells_of_them() -> None:
    async def main() -> None:
        publisher, broadcaster = Publisher({"n": Notifier([])}), Broadcaster()
        async with serving(publisher) as port, serving(broadcaster), Server({"t": object()}) as s:
            await s.start(HOST, 0)
            assert s.server is not None
            async with AsyncioClient(timeout=DEADLINE) as client:
                await client.connect_rpc(HOST, s.server.sockets[0].getsockname()[1])
                status = await client.get_rpc_status()
        ports = [
            each["addresses"][0]["port"] for each in status["publishers"] if each["addresses"]
        ]
        assert port in ports
        assert broadcaster.status() in [
            {**each, "addresses": []} for each in status["broadcasters"]
        ]

    asyncio.run(main())
