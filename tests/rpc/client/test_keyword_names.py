"""Keyword arguments of any name, also of those that our own functions have parameters of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client
from support.peers import DEADLINE, HOST, rpc_server

NAMES = [
    *("args", "call", "client", "cls", "connection", "func", "function", "instance", "kwargs"),
    *("limit", "make", "message", "method", "name", "number", "owner", "request", "self"),
    *("target", "timeout", "turns", "what", "worker", "class", "lambda", "None"),
]


class Target:
    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def give(this, /, **names: Any) -> dict[str, Any]:
        this.given.append(names)
        return names

    async def give_async(this, /, **names: Any) -> dict[str, Any]:
        return names

    def give_items(this, /, **names: Any) -> Iterator[Any]:
        yield from names.items()


ALL = {name: number for number, name in enumerate(NAMES)}


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.usefixtures("either_protocol")
def test_every_client_passes_every_name(threaded: bool, either_protocol: bool) -> None:
    async def by_asyncio(port: int) -> None:
        async with AsyncioClient(DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            assert await client.give(**ALL) == ALL

    target = Target()
    with rpc_server({"t": target}, threaded=threaded) as port:
        asyncio.run(by_asyncio(port))
        with BestEffortClient(HOST, port, "t", DEADLINE) as best_effort:
            assert best_effort.give(**ALL) == ALL
        with Client(HOST, port, timeout=DEADLINE) as client:
            assert client.give(**ALL) == ALL
            assert client.give_async(**ALL) == ALL
            if either_protocol:
                assert dict(client.give_items(**ALL)) == ALL
            proxy = FFProxy(client)
            proxy.give(**ALL)
            proxy.ff_join()
    assert target.given == [ALL] * 4
