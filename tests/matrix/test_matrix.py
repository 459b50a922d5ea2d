"""Every component over every transport, in every event loop.

The rows are in `rpc`, `sync`, … (`component` tells what one is), the columns in
`support.transports` and `support.event_loops`. The
scenarios below are written once, for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dev.faults.proxy import FaultProxy
from matrix import logs, rexec, rpc, rpctool, sync
from matrix.component import ROWS, Component
from support.event_loops import every_loop, loop_factory
from support.peers import DEADLINE
from support.records import recorded
from support.transports import TRANSPORTS, every_transport

__all__ = ["logs", "rexec", "rpc", "rpctool", "sync"]  # they add their rows when they are loaded


async def carries(component: Component, count: int, size: int) -> None:
    """Have values carried that differ from each other, and see whether they arrive."""
    values = [component.value(number, size) for number in range(count)]
    got = await component.carry(values)
    assert got == values


async def many(component: Component, port: int, tls: dict[str, Any]) -> None:
    await component.connect(port, tls)
    await carries(component, component.many, 20)


async def large(component: Component, port: int, tls: dict[str, Any]) -> None:
    await component.connect(port, tls)
    await carries(component, *component.large)
    await carries(component, 1, 20)


async def slow_reader(component: Component, port: int, tls: dict[str, Any]) -> None:
    with FaultProxy(port, buffer_size=64 * 1024) as proxy:
        await component.connect(proxy.port, tls)
        await carries(component, 1, 20)
        for direction in component.slow:
            proxy.stall(direction)
            carrying = asyncio.create_task(carries(component, *component.large))
            await held_up(proxy, direction)
            proxy.resume(direction)
            await carrying
        await carries(component, 3, 20)
        await component.disconnect()


async def reconnect(component: Component, port: int, tls: dict[str, Any]) -> None:
    with FaultProxy(port, buffer_size=64 * 1024) as proxy:
        await component.connect(proxy.port, tls)
        await carries(component, 1, 20)
        for direction in component.slow:
            proxy.stall(direction)
            carrying = asyncio.create_task(carries(component, *component.large))
            await held_up(proxy, direction)
            proxy.reset()
            proxy.clear()
            [outcome] = await asyncio.gather(carrying, return_exceptions=True)
            if component.comes_back:
                # Some have lost what was under way, or return less.
                assert outcome is None or isinstance(outcome, AssertionError)
                probe = [component.value(0, 20)]
                while await component.carry(probe) != probe:
                    await asyncio.sleep(0.001)
            else:
                assert outcome is None or isinstance(outcome, (OSError, EOFError))
                await component.disconnect()
                await component.connect(proxy.port, tls)
            await carries(component, 3, 20)
        await component.disconnect()


async def held_up(proxy: FaultProxy, direction: Any) -> None:
    """Wait until a sender has sent what is not taken, and had time for some more."""
    async with asyncio.timeout(DEADLINE):
        while not proxy.waiting(direction):
            await asyncio.sleep(0.001)
    for _ in range(10):
        await asyncio.sleep(0)


Scenario = Callable[[Component, int, dict[str, Any]], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {
    "many": many,
    "large": large,
    "slow_reader": slow_reader,
    "reconnect": reconnect,
}


@every_loop
@every_transport
@pytest.mark.parametrize("component", ROWS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_sent_arrives(scenario: str, component: str, transport: str, loop: str) -> None:
    ends, factory = TRANSPORTS[transport](), loop_factory(loop)

    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            made = ROWS[component]()
            port = await made.listen(ends.listening)
            try:
                await SCENARIOS[scenario](made, port, ends.connecting)
            finally:
                await made.disconnect()
                await made.stop()

    with recorded("asyncio", logging.WARNING) as complaints:
        with asyncio.Runner(debug=False, loop_factory=factory) as runner:  # twice as fast
            runner.run(main())
    assert complaints == []
