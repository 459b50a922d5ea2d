"""The connection of the blocking clients: turns, notices, and what a server must not send."""

from __future__ import annotations

from typing import Any

from sipyco_rpc.pc_rpc import Client, Server
from support.certificates import paths_of
from support.peers import HOST, running_server


class Target:
    def echo(self, x: Any) -> Any:
        return x


def connection_of(client: Client) -> Any:
    return vars(client)["_Client__connection"]


def test_closing_never_leaves_a_socket_that_would_send_without_tls() -> None:
    certificates = paths_of("server", "client")
    with running_server(lambda: Server({"t": Target()}), **certificates) as port:
        with Client(HOST, port, **paths_of("client", "server")) as client:
            assert client.echo(1) == 1
            wire = connection_of(client)._wire
            wire.wake()  # what `close_rpc` does while another thread may be in `send`
            assert wire._socket.version() is not None
