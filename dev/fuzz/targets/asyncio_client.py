"""The asyncio client's whole input: a server that says anything."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from unittest import mock

from dev.fuzz.memory import MemoryTransport, deliver, loop, reads, run, settle
from dev.fuzz.servers import check_error
from sipyco_rpc._client.aio import opening
from sipyco_rpc.pc_rpc import AsyncioClient, AutoTarget

__all__ = ["one_input"]

_LIMITS: Final = (2**27, 300)  # bytes of a reply
_MOST_ITEMS: Final = 30


def one_input(data: bytes) -> None:
    """Connect, and do what a program does. The first byte has the options."""
    if data:
        run(_conversation(data[0], reads(data[1:])))


async def _conversation(options: int, said: list[bytes]) -> None:
    transports: list[MemoryTransport] = []

    async def connect(factory: Callable[[], Any], *_: object, **__: object) -> Any:
        protocol = factory()
        transports.append(MemoryTransport(protocol))
        protocol.connection_made(transports[0])
        return transports[0], protocol

    async def open_socket(*_: object) -> None:
        """There is none."""

    client = AsyncioClient(max_line=_LIMITS[options & 1])
    with (
        mock.patch.object(opening, "async_socket", open_socket),
        mock.patch.object(loop(), "create_connection", connect),
    ):
        program = asyncio.ensure_future(_use(client, options))
        await settle(lambda: bool(transports))
        transport = transports[0]
        for part in said:
            await _let_pass()
            if transport.closed or program.done():
                break
            deliver(transport, part)
        await _let_pass()
        if not transport.closed and not program.done():
            transport.closed = True
            lost = ConnectionResetError(104, "reset") if options & 2 else None
            transport.get_protocol().connection_lost(lost)
        await program
    assert transport.closed, "the connection is left open"


async def _let_pass() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def _use(client: Any, options: int) -> None:
    try:
        target = None if options & 8 else AutoTarget
        await client.connect_rpc("memory", 1, target)
    except Exception as exc:  # noqa: BLE001
        check_error(exc)
        return
    try:
        client.get_rpc_id()
        if client.get_selected_target() is None:
            await _done(client.select_rpc_target, "thing")
        names = sorted(client._AsyncioClient__valid_methods - set(dir(AsyncioClient)))
        names = [name for name in names if not name.startswith("_")]
        works = [
            partial(_call, client, name, options)
            for name in itertools.islice(itertools.cycle(names), 8)
        ]
        if options & 16:
            works.append(partial(_done, client.get_rpc_method_list))
        if options & 4:
            await asyncio.gather(*[work() for work in works])
        else:
            for work in works:
                await work()
    finally:
        closing = client.close_rpc()
        client.close_rpc()
        await closing
    try:
        await client.get_rpc_method_list()
    except Exception as exc:  # noqa: BLE001
        check_error(exc)
    else:
        raise AssertionError("a client that was closed has been answered")


async def _call(client: Any, name: str, options: int) -> None:
    try:
        value = await getattr(client, name)(1)
        if type(value).__name__ == "RemoteAsyncIterator":
            count = 0
            async with value:
                async for _ in value:
                    count += 1
                    if count == (_MOST_ITEMS if options & 32 else 2):
                        break
    except Exception as exc:  # noqa: BLE001
        check_error(exc)


async def _done(function: Callable[..., Any], *arguments: object) -> None:
    try:
        await function(*arguments)
    except Exception as exc:  # noqa: BLE001
        check_error(exc)
