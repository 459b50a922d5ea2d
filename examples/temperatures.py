#!/usr/bin/env python3
"""Publish the temperatures of a laboratory, as they change.

    python examples/temperatures.py
    python examples/watch_temperatures.py ::1

The thermometers are simulated.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

from sipyco.asyncio_tools import SignalHandler
from sipyco.common_args import (
    bind_address_from_args,
    init_logger_from_args,
    simple_network_args,
    verbosity_args,
)
from sipyco.sync_struct import Notifier, Publisher

PORT = 3260
HISTORY = 10  # readings that are kept for each thermometer


async def measure(temperatures: Notifier, period: float) -> None:
    """Take a reading of each thermometer, for ever.

    Args:
        temperatures: dictionary of lists of readings, in kelvin.
        period: seconds from one reading to the next.
    """
    while True:
        for name, around in {"cryostat": 4.2, "oven": 620.0, "room": 295.0}.items():
            readings = temperatures.setdefault(name, [])
            readings.append(round(random.gauss(around, around / 1000), 3))
            if len(readings) > HISTORY:
                readings.pop(0)
        await asyncio.sleep(period)


async def publish(bind: list[str] | None, port: int, period: float) -> None:
    """Publish until Ctrl-C or SIGTERM."""
    temperatures = Notifier({})
    signals = SignalHandler()
    signals.setup()
    try:
        async with Publisher({"temperatures": temperatures}) as publisher:
            await publisher.start(bind, port)
            measuring = asyncio.create_task(measure(temperatures, period))
            await signals.wait_terminate()
            measuring.cancel()
    finally:
        signals.teardown()


def main() -> None:
    """Publish as the command line says."""
    parser = argparse.ArgumentParser(description="Publisher of the temperatures of a laboratory")
    parser.add_argument(
        "--period",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="from one reading to the next (default: %(default)g)",
    )
    simple_network_args(parser, PORT)
    verbosity_args(parser)
    args = parser.parse_args()
    init_logger_from_args(args)
    try:
        asyncio.run(publish(bind_address_from_args(args), args.port, args.period))
    except OSError as exc:
        sys.exit(f"cannot listen on port {args.port}: {exc}")


if __name__ == "__main__":
    main()
