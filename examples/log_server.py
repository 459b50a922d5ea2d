#!/usr/bin/env python3
"""Print the logs of all programs of a laboratory, each with the name of its program.

    python examples/log_server.py -v
    python examples/log_program.py laser ::1

Ctrl-C ends it; the programs go on, and keep their latest records until it is back.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from sipyco.asyncio_tools import SignalHandler
from sipyco.common_args import bind_address_from_args, simple_network_args, verbosity_args
from sipyco.logging_tools import Server, SourceFilter

PORT = 1066


async def serve(bind: list[str] | None, port: int) -> None:
    """Receive records until Ctrl-C or SIGTERM."""
    signals = SignalHandler()
    signals.setup()
    try:
        async with Server() as server:
            await server.start(bind, port)
            await signals.wait_terminate()
    finally:
        signals.teardown()


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description="Server of the logs of all programs")
    simple_network_args(parser, PORT)
    verbosity_args(parser)
    args = parser.parse_args()
    handler = logging.StreamHandler()
    handler.addFilter(SourceFilter(logging.WARNING, "log_server"))
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(source)s %(levelname)s:%(name)s:%(message)s")
    )
    logging.basicConfig(
        handlers=[handler], level=logging.WARNING + 10 * args.quiet - 10 * args.verbose
    )
    try:
        asyncio.run(serve(bind_address_from_args(args), args.port))
    except OSError as exc:
        sys.exit(f"cannot listen on port {args.port}: {exc}")


if __name__ == "__main__":
    main()
