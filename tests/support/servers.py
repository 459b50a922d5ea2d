"""Servers that go away and come back at the same port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sipyco_rpc.pc_rpc import Server
from support.peers import HOST, running_server


class _At(Server):
    """A server whose port is known before it starts."""

    port = 0

    async def start(self, host: Any, port: int, *args: Any, **kwargs: Any) -> None:
        await super().start(HOST, self.port, *args, **kwargs)


@contextmanager
def server_at(
    port: int, targets: dict[str, Any], properties: Any = False, **start: Any
) -> Iterator[int]:
    """Run an RPC server at a port.

    Args:
        port: where.
        targets: what it serves.
        properties: which of their attributes are, too.
        **start: more arguments of its `start`.
    """

    def make() -> Server:
        server = _At(targets, properties=properties)
        server.port = port
        return server

    with running_server(make, **start):
        yield port
