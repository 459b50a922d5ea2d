"""The action `log` of `sipyco_rpctool`: messages of other programs, as they come."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from typing import Any

from sipyco_rpc.pc_rpc import SimpleSSLConfig
from sipyco_rpc.support.validation import format_address
from sipyco_tools._cli.colour import is_coloured
from sipyco_tools._cli.output import flush, show, show_error
from sipyco_tools._logging.rows import LATEST, Row, json_line, row_of, shown
from sipyco_tools._logging.server import Server
from sipyco_tools._rpctool.feeds import follow, sync_module
from sipyco_tools._rpctool.values import json_text, show_value


def log(args: argparse.Namespace, config: SimpleSSLConfig | None) -> None:
    """Print what programs log, until Ctrl-C."""
    if args.broadcast is None:
        asyncio.run(_serve(args, config))
        return

    def take(message: Any) -> None:
        if is_log_message(message):
            level, source, created, text = message
            _show(Row(created, time.time(), False, source, level, "", text), args.json)
            return
        if args.json:
            show(json_text({"result": message}))
        else:
            show_value(message)
        flush()

    follow(
        lambda callback: sync_module("broadcast").Receiver(
            args.broadcast, callback, max_line=args.max_line
        ),
        take,
        args,
        config,
    )


def is_log_message(message: Any) -> bool:
    """Tell whether a broadcast is what programs broadcast of logs: level, source, time, text."""
    return (
        isinstance(message, (tuple, list))
        and list(map(type, message)) in ([int, str, float, str], [int, str, int, str])
        and 0 <= message[2] < LATEST
    )


class _Printer(logging.Handler):
    """Prints the records of other programs; `failed` has what kept it from that."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        if self.failed.done():
            return
        try:
            _show(row_of(record, record.__dict__["received"]), self._as_json)
        except Exception as exc:  # noqa: BLE001  (it is raised where it is understood)
            self.failed.set_exception(exc)


async def _serve(args: argparse.Namespace, config: SimpleSSLConfig | None) -> None:
    printer = _Printer(args.json)
    forwarded = logging.getLogger("fwd")
    forwarded.setLevel(1)
    forwarded.propagate = False
    forwarded.addHandler(printer)
    server = Server()
    try:
        await server.start(args.server, args.port, config)
        show_error(f"listening on {format_address(args.server, args.port)}; Ctrl-C ends it")
        await printer.failed
    finally:
        await server.stop()
        forwarded.removeHandler(printer)


def _show(row: Row, as_json: bool) -> None:
    """Print a message, in the same way as `sipyco_logs`."""
    show(json_line(row) if as_json else shown(row, is_coloured(sys.stdout)))
    flush()
