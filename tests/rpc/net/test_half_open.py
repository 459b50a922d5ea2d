"""Connections of which the other end is no more, and did not say so: its power was lost."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from sipyco_rpc.net import keepalive
from sipyco_rpc.pc_rpc import AsyncioClient, Client, Server
from support.peers import (
    DEADLINE,
    HOST,
    Peer,
    connected,
    handshake,
    running_server,
    scripted_server,
    until,
)

_REPAIR = 19  # TCP_REPAIR of Linux: a socket in this mode is closed without a word


def _can_vanish() -> bool:
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, 1)
        except OSError:
            return False
        return True


pytestmark = pytest.mark.skipif(
    not _can_vanish(), reason="only Linux's administrator can close a socket without a word"
)


def vanish(peer: Peer) -> None:
    """Close a connection as a power failure does: nothing is sent, and nobody answers later."""
    peer.socket.setsockopt(socket.IPPROTO_TCP, _REPAIR, 1)
    peer.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe after a second, and not after ten, which would show the same."""
    monkeypatch.setattr(keepalive, "AFTER_IDLE", 1)
    monkeypatch.setattr(keepalive, "INTERVAL", 1)


class Echo:
    def echo(self, x: Any) -> Any:
        return x


def test_a_server_gives_up_a_client_that_is_no_more() -> None:
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server({"t": Echo()}))
        return servers[0]

    with running_server(make) as port:
        with connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n")
            peer.line()
            peer.line()
            assert servers[0]._admission.count == 1
            vanish(peer)
        until(lambda: servers[0]._admission.count == 0)


def dies_in_mid_call(peer: Peer) -> None:
    handshake(peer)
    assert peer.line().startswith(b'{"action":"call"')
    vanish(peer)


def test_a_call_ends_when_the_server_is_no_more() -> None:
    with scripted_server(dies_in_mid_call) as port, Client(HOST, port) as client:
        with pytest.raises((OSError, EOFError), match=r"127\.0\.0\.1 port \d+ was lost"):
            client.f()  # without any timeout


def test_a_call_of_asyncio_ends_when_the_server_is_no_more() -> None:
    async def main(port: int) -> None:
        client = AsyncioClient()
        await client.connect_rpc(HOST, port)
        async with asyncio.timeout(DEADLINE):
            with pytest.raises((OSError, EOFError), match=r"127\.0\.0\.1 port \d+ was lost"):
                await client.f()
        await client.close_rpc()

    with scripted_server(dies_in_mid_call) as port:
        asyncio.run(main(port))
