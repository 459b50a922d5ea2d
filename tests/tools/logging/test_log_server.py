"""The log server over loopback: what it logs, and whom it turns away."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from sipyco_rpc.support import status
from sipyco_tools.common_args import bind_address_from_args, simple_network_args
from sipyco_tools.logging_tools import Server
from support.feeds import RawPeer, comes_true, serving
from support.peers import HOST
from support.records import recorded

BANNER = b"ARTIQ logging\n"


def test_records_of_several_programs() -> None:
    async def main() -> None:
        with recorded() as records:
            async with serving(Server()) as port:
                with RawPeer(port, BANNER) as one, RawPeer(port, BANNER) as two:
                    one.socket.send(b"one:ERROR<2>:n:a\n")
                    two.socket.send(b"two:INFO:n:between\n")
                    await comes_true(lambda: len(records) == 1)
                    one.socket.send(b"b\n")
                    await comes_true(lambda: len(records) == 2)
        assert records == [("n", 20, "between", "two"), ("n", 40, "a\nb", "one")]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            BANNER + b"nocolon\ns:INFO:n:too late\n",
            "received improperly formatted message{dropping}: 'nocolon'",
        ),
        (
            BANNER + b"s:" + b"x" * 2000 + b"\n",
            "received a line of 2002 bytes, where the limit is 1000{dropping}: ''",
        ),
        (
            BANNER + b"s:ERROR<20>:n:m\n",
            "received 20 lines, where the limit is 10{dropping}: 'ERROR<20>:n:m'",
        ),
        (
            b"ARTIQ pc_rpc\n",
            "received an unknown banner{dropping}: 'ARTIQ pc_rpc\\n'",
        ),
        (
            BANNER + b"s:\xff\n",
            "received a message that is not UTF-8{dropping}: 's:\\\\xff'",
        ),
    ],
)
def test_who_is_turned_away_is_named(
    said: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with recorded() as records:
            async with serving(Server(max_line=1000, max_lines=10)) as port:
                with RawPeer(port, said) as peer:
                    own = peer.socket.getsockname()
                    try:
                        await peer.ends()
                    except ConnectionResetError:
                        pass  # closed with some of our bytes unread
        assert records == []
        assert caplog.messages == [message.format(dropping=f", dropping connection to {own!r}")]
        assert caplog.record_tuples[0][:2] == ("sipyco.logs", logging.WARNING)

    asyncio.run(main())


def test_an_entry_without_its_end_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(Server()) as port:
            with RawPeer(port, BANNER + b"s:ERROR<2>:n:a\n") as peer:
                own = peer.socket.getsockname()
                peer.socket.shutdown(1)
                assert await peer.ends() == b""
        assert caplog.messages == [
            f"the connection to {own!r} ended in the middle of a message: 's:n:a'"
        ]

    asyncio.run(main())


def test_what_has_arrived_when_it_stops_is_logged() -> None:
    async def main() -> None:
        with recorded() as records:
            server = Server()
            async with serving(server) as port:
                with RawPeer(port, BANNER + b"s:INFO:n:first\n") as peer:
                    await comes_true(lambda: records)
                    peer.socket.send(b"".join(b"s:INFO:n:%d\n" % i for i in range(1000)))
                    await server.stop()
        assert [message for _, _, message, _ in records] == ["first", *map(str, range(1000))]

    asyncio.run(main())


def test_a_handler_that_fails_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError("from a handler")

    async def main() -> None:
        with recorded() as records:
            bad = Bad()
            logging.getLogger("fwd").addHandler(bad)
            try:
                async with serving(Server()) as port:
                    with RawPeer(port, BANNER + b"s:INFO:n:1\ns:INFO:n:2\n"):
                        await comes_true(lambda: len(records) == 2)
            finally:
                logging.getLogger("fwd").removeHandler(bad)

    asyncio.run(main())
    assert "from a handler" in capsys.readouterr().err


def test_who_never_sends_the_banner_is_closed_and_who_has_sent_it_may_be_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        with recorded() as records:
            async with serving(Server(handshake_timeout=0.5, max_connections=2)) as port:
                with RawPeer(port, BANNER) as quiet, RawPeer(port, b"ARTIQ") as silent:
                    try:
                        assert await silent.ends() == b""
                    except ConnectionError:
                        pass  # it ends so, too
                    quiet.socket.send(b"s:INFO:n:at last\n")
                    await comes_true(lambda: records == [("n", 20, "at last", "s")])

    asyncio.run(main())
    [message] = caplog.messages
    assert message.endswith("no banner within 0.5 s")


def test_forwarders_keep_their_places(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with recorded() as records:
            async with serving(Server(max_connections=1)) as port:
                with RawPeer(port, BANNER + b"s:INFO:n:first\n") as peer:
                    await comes_true(lambda: records)
                    with RawPeer(port, BANNER + b"t:INFO:n:too many\n"):
                        await comes_true(lambda: caplog.messages)
                        peer.socket.send(b"s:INFO:n:second\n")
                        await comes_true(lambda: len(records) == 2)
        assert [record[2] for record in records] == ["first", "second"]

    asyncio.run(main())
    assert caplog.messages[0].startswith("refusing the connection from 127.0.0.1 port ")


@pytest.mark.parametrize("limit", ["max_line", "max_lines", "max_connections"])
def test_limits_that_make_no_sense(limit: str) -> None:
    with pytest.raises(ValueError, match=limit):
        Server(**{limit: 0})


def test_a_host_without_ipv6_listens_on_what_it_has(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import argparse
    import errno
    import socket

    real = socket.create_server

    def create_server(address: Any, *, family: int = socket.AF_INET, **options: Any) -> Any:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", create_server)
    parser = argparse.ArgumentParser()
    simple_network_args(parser, 0)
    hosts = bind_address_from_args(parser.parse_args([]))
    assert hosts == [HOST, "::1"]

    async def main() -> None:
        async with Server() as server:
            await server.start(hosts, 0)
            assert server.server is not None
            assert [sock.getsockname()[0] for sock in server.server.sockets] == [HOST]

    asyncio.run(main())
    assert caplog.messages == ["not listening on ::1: this host has no such address"]


def test_it_tells_what_it_does() -> None:
    async def main() -> None:
        server = Server()
        assert server.status() == {
            "started": None,
            "addresses": [],
            "connections": [],
            "received": 0,
            "refused": 0,
        }
        before = time.time()
        with recorded() as records:
            async with serving(server) as port:
                with RawPeer(port, BANNER + b"s:INFO:n:1\ns:INFO:n:2\n") as peer:
                    own = peer.socket.getsockname()[1]
                    await comes_true(lambda: len(records) == 2)
                    assert server in component_servers()
                    told = server.status()
                    [connection] = told["connections"]
                    assert before <= told["started"] <= connection["since"] <= time.time()
                    assert connection["client"] == f"{HOST} port {own}"
                    assert connection["received"] == told["received"] == 2
                    assert told["addresses"] == [{"host": HOST, "port": port}]
                with RawPeer(port, BANNER + b"s:INFO:n:3\nwrong\n"):
                    await comes_true(lambda: server.status()["refused"] == 1)
                await comes_true(lambda: server.status()["connections"] == [])
                assert server.status()["received"] == 3
        assert server.status()["started"] is None
        assert server.status()["received"] == 3

    asyncio.run(main())


def component_servers() -> list[object]:
    """Return the log servers of which the status of the process tells."""
    return [weak() for kind, weak in status._components.values() if kind == "log_servers"]
