#!/usr/bin/env python3
"""Print the temperatures that examples/temperatures.py publishes, as they change.

    python examples/watch_temperatures.py ::1
    python examples/watch_temperatures.py ::1 --once

When the publisher is stopped and started again, it goes on by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from sipyco.sync_struct import Subscriber, SubscriptionState, blocking_snapshot

PORT = 3260
INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


def show(temperatures: dict[str, list[float]]) -> None:
    """Print the last reading of each thermometer, in kelvin."""
    for name, readings in temperatures.items():
        if readings:
            print(f"{name} {readings[-1]:g} K", flush=True)


async def watch(host: str, port: int) -> None:
    """Print each change, for ever."""
    copy: dict[str, list[float]] = {}

    def replace(temperatures: dict[str, list[float]]) -> dict[str, list[float]]:
        nonlocal copy
        copy = temperatures
        return copy

    def changed(mod: dict[str, Any]) -> None:
        if mod["action"] == "init":
            show(copy)
        elif mod["action"] == "append":
            show({mod["path"][0]: [mod["x"]]})

    def state_changed(state: SubscriptionState) -> None:
        print(f"[{state.value}]", file=sys.stderr, flush=True)

    subscriber = Subscriber(
        "temperatures", replace, changed, reconnect=0.5, state_cb=state_changed
    )
    async with subscriber:
        await subscriber.connect(host, port)
        await subscriber.receive_task


def main() -> None:
    """Watch as the command line says."""
    parser = argparse.ArgumentParser(description="Print the temperatures of a laboratory")
    parser.add_argument("server", metavar="SERVER", help="host name or address of the publisher")
    parser.add_argument("port", metavar="PORT", nargs="?", type=int, default=PORT)
    parser.add_argument("--once", action="store_true", help="print them as of now, and end")
    args = parser.parse_args()
    try:
        if args.once:
            show(blocking_snapshot(args.server, args.port, "temperatures"))
        else:
            asyncio.run(watch(args.server, args.port))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (OSError, EOFError) as exc:
        sys.exit(f"cannot watch {args.server} port {args.port}: {exc}")


if __name__ == "__main__":
    main()
