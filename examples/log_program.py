#!/usr/bin/env python3
"""A program whose log goes to examples/log_server.py, whatever becomes of that.

python examples/log_program.py laser ::1
"""

from __future__ import annotations

import argparse
import asyncio
import logging

from sipyco.asyncio_tools import SignalHandler
from sipyco.common_args import init_logger_from_args, verbosity_args
from sipyco.logging_tools import LogForwarder, SourceFilter

PORT = 1066

logger = logging.getLogger("laser.lock")


async def work(period: float) -> None:
    """Do what the program is about, and log it."""
    count = 0
    while True:
        count += 1
        logger.info("cycle %d: the laser is locked", count)
        await asyncio.sleep(period)


async def run(args: argparse.Namespace) -> None:
    """Work, and forward what is logged, until Ctrl-C or SIGTERM."""
    forwarder = LogForwarder(args.server, args.port, reconnect_timer=args.reconnect)
    forwarder.addFilter(SourceFilter(logging.INFO, args.name))
    logging.getLogger().addHandler(forwarder)
    logger.setLevel(logging.INFO)
    signals = SignalHandler()
    signals.setup()
    forwarder.start()
    try:
        working = asyncio.create_task(work(args.period))
        await signals.wait_terminate()
        working.cancel()
        logger.info("leaving")
    finally:
        await forwarder.stop()
        signals.teardown()


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description="A program that forwards its log")
    parser.add_argument("name", metavar="NAME", help="what the log is to call this program")
    parser.add_argument("server", metavar="SERVER", help="host name or address of the log server")
    parser.add_argument("port", metavar="PORT", nargs="?", type=int, default=PORT)
    for option, default, purpose in (
        ("--period", 1.0, "from one record to the next"),
        ("--reconnect", 5.0, "until it tries again to reach the server"),
    ):
        parser.add_argument(
            option,
            type=float,
            default=default,
            metavar="SECONDS",
            help=f"{purpose} (default: %(default)g)",
        )
    verbosity_args(parser)
    args = parser.parse_args()
    init_logger_from_args(args)
    asyncio.run(run(args))


if __name__ == "__main__":
    main()
