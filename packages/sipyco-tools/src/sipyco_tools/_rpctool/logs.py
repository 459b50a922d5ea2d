"""The action `log` of `sipyco_rpctool`: messages of other programs, as they come."""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from typing import Any, Final

from sipyco_rpc.pc_rpc import SimpleSSLConfig
from sipyco_rpc.support.validation import format_address
from sipyco_tools._cli.output import flush, show, show_error
from sipyco_tools._cli.terminal import show_styled
from sipyco_tools._logging.server import Server
from sipyco_tools._logging.text import level_name
from sipyco_tools._rpctool.feeds import follow, sync_module
from sipyco_tools._rpctool.values import json_text, show_value

_STYLES: Final = {
    "CRITICAL": "bold red",
    "ERROR": "red",
    "WARNING": "yellow",
    "INFO": "green",
    "DEBUG": "dim",
    "TRACE": "dim",
}


def log(args: argparse.Namespace, config: SimpleSSLConfig | None) -> None:
    """Print what programs log, until Ctrl-C."""
    if args.broadcast is None:
        asyncio.run(_serve(args, config))
        return

    def take(message: Any) -> None:
        if is_log_message(message):
            level, source, created, text = message
            show_message(created, source, level, None, str(text), args.json)
        elif args.json:
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
        and 0 <= message[2] < 1 << 40  # seconds since 1970 that a clock may show
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
        source, text = record.__dict__.get("source"), record.getMessage()
        try:
            show_message(record.created, source, record.levelno, record.name, text, self._as_json)
            flush()
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


def show_message(
    created: float, source: str | None, level: int, name: str | None, text: str, as_json: bool
) -> None:
    """Print a message.

    Args:
        created: when it was logged, in seconds since 1970.
        source: of which program.
        level: as a number of `logging`.
        name: of its logger, if that is known.
        text: its own.
        as_json: for other programs.
    """
    if as_json:
        fields = {"time": created, "source": source, "level": level, "name": name, "message": text}
        show(json_text(fields))
        return
    word = level_name(level)
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(created))
    first, *more = _harmless(text).split("\n")
    origin = _harmless(f"{source}:{name}" if name else f"{source}")
    show_styled(
        [(f"{clock} ", "dim"), (f"{word:8}", _STYLES[word]), (f" {origin}: ", "cyan"), (first, "")]
    )
    for line in more:
        show(f"    {line}")


def _harmless(text: str) -> str:
    """Escape what a terminal would take for a command, but for line breaks."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else repr(character)[1:-1]
        for character in text
    )
