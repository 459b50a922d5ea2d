"""Standard types, and types of a program, as arguments, results and items, in lines and frames."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import pytest

from dev.fuzz.standard_types import standard_types
from sipyco_rpc.pc_rpc import AsyncioClient, Client
from support.peers import DEADLINE, HOST, rpc_server


class Mode(Enum):
    CW = 1


@dataclass(frozen=True)
class Scan:
    start: datetime
    mode: Mode


VALUES: list[Any] = [
    datetime(2026, 1, 2, tzinfo=UTC),
    {date(2026, 1, 2): timedelta(microseconds=1)},
    [Decimal("0.1"), range(5), deque([1], 2), frozenset({1}), PurePosixPath("/a")],
    Scan(datetime(2026, 1, 2), Mode.CW),
    bytearray(b"short"),
    bytearray(range(256)) * 400,
]


class Echo:
    def echo(self, value: Any, *, again: Any = None) -> Any:
        return value if again is None else again

    def items(self) -> Iterator[Any]:
        yield from VALUES


@pytest.fixture(autouse=True)
def switched_on() -> Iterator[None]:
    with standard_types(Mode, Scan):
        yield


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.parametrize("frames", [True, False], ids=["frames", "lines"])
def test_they_are_arguments_and_results(frames: bool, threaded: bool) -> None:
    async def ask(port: int) -> None:
        client = AsyncioClient()
        await client.connect_rpc(HOST, port, "echo")
        try:
            found = await asyncio.gather(*[client.echo(value) for value in VALUES])
            assert found == VALUES
        finally:
            await client.close_rpc()

    with rpc_server(
        {"echo": Echo()}, frames=frames, threaded=threaded, allow_parallel=True
    ) as port:
        with Client(HOST, port, "echo", DEADLINE) as client:
            for value in VALUES:
                for back in (client.echo(value), client.echo(1, again=value)):
                    assert back == value
                    assert type(back) is type(value)
            if frames:
                assert list(client.items()) == VALUES
        asyncio.run(ask(port))


def test_a_bytearray_that_is_sent_can_be_changed_afterwards() -> None:
    content = bytearray(1_000_000)
    with rpc_server({"echo": Echo()}) as port, Client(HOST, port, "echo", DEADLINE) as client:
        assert client.echo(content) == content
        content.append(1)
        content.clear()
