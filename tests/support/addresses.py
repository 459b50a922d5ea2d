"""Names with several addresses, some of which are dead. What connects is not known here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from sipyco_rpc.net import connect
from sipyco_rpc.net.tls import SimpleSSLConfig
from support.certificates import identity

NAME = "two.test"  # of a host whose first address is dead


@contextmanager
def dead_address(address: str, port: int) -> Iterator[None]:
    """Have an address give no answer at all: its queue of connections is full, and stays so."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        # A server may have been there just now.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address, port))
        except OSError as exc:
            pytest.skip(f"there is no {address} port {port}: {exc}")
        listening.listen(0)
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


@contextmanager
def resolving(found: dict[str, list[str]]) -> Iterator[None]:
    """Have names stand for these IPv4 addresses, in this order."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in found:
            return real(host, port, *args, **kwargs)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in found[host]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@contextmanager
def first_address_dead(port: int) -> Iterator[str]:
    """Give the name of a host of which the first address is dead, and the second one ours."""
    with (
        dead_address("127.0.0.2", port),
        resolving({NAME: ["127.0.0.2", "127.0.0.1"]}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(connect, "HEAD_START", 0.01)
        yield NAME


def ends_of_two(form: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the keyword arguments of TLS for a server of that name, and for its clients.

    Args:
        form: how clients say it: "plain" (without TLS), "config" or "paths".
    """
    server, client = identity("of two.test", f"DNS:{NAME}"), identity("client")
    theirs: dict[str, Any] = {
        "local_cert": server.cert,
        "local_key": server.key,
        "peer_cert": client.cert,
    }
    ours: dict[str, Any] = {
        "local_cert": client.cert,
        "local_key": client.key,
        "peer_cert": server.cert,
    }
    if form == "plain":
        return {}, {}
    return theirs, {"ssl_config": SimpleSSLConfig(**ours)} if form == "config" else ours
