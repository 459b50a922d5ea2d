"""The actions of `sipyco_rpctool` that follow a publisher: `watch` and `snapshot`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sipyco_rpc.pc_rpc import ConnectionLost, SimpleSSLConfig
from sipyco_rpc.support.validation import format_address
from sipyco_tools._cli.colour import is_terminal
from sipyco_tools._cli.output import flush, show, show_error
from sipyco_tools._cli.terminal import show_code
from sipyco_tools._rpctool.abridge import abridged_text
from sipyco_tools._rpctool.values import UsageError, json_text, show_value

if TYPE_CHECKING:
    from collections.abc import Iterator


def sync_module(name: str) -> ModuleType:
    """Load a module of `sipyco-sync`, which is an extra.

    Raises:
        UsageError: it is not installed.
    """
    try:
        if name == "broadcast":
            from sipyco_sync import broadcast as module
        else:
            from sipyco_sync import sync_struct as module  # type: ignore[no-redef]
    except ImportError:
        raise UsageError(
            "structures and broadcasts need sipyco-sync; install it with: "
            "pip install 'sipyco-tools[sync]'"
        ) from None
    return module


def show_snapshot(args: argparse.Namespace, config: SimpleSSLConfig | None) -> None:
    """Print a structure as of now."""
    limits = {} if args.timeout is None else {"timeout": args.timeout}
    struct = sync_module("sync_struct").blocking_snapshot(
        args.server, args.port, args.notifier, config, max_line=args.max_line, **limits
    )
    if args.json:
        show(json_text({"result": struct}))
    else:
        show_value(struct)


def watch(args: argparse.Namespace, config: SimpleSSLConfig | None) -> None:
    """Print a structure, and then each of its changes."""
    name: str = args.notifier
    # A person wants to see what changes; a program wants all of it.
    text = abridged_text if is_terminal(sys.stdout) else repr

    def show_mod(mod: dict[str, Any]) -> None:
        if args.json:
            show(json_text(mod))
        else:
            show_code(mod_text(name, mod, text))
        flush()

    follow(
        lambda callback: sync_module("sync_struct").Subscriber(
            name, lambda struct: struct, callback, max_line=args.max_line
        ),
        show_mod,
        args,
        config,
    )


def mod_text(name: str, mod: dict[str, Any], text: Callable[[Any], str]) -> str:
    """Give a change as the statement that makes it.

    Args:
        name: of the structure.
        mod: the change; see `sipyco_sync.sync_struct.ModAction`.
        text: writes a value.
    """
    action = mod["action"]
    if action == "init":
        return f"{name} = {text(mod['struct'])}"
    place = name + "".join(f"[{key!r}]" for key in mod["path"])
    if action == "append":
        return f"{place}.append({text(mod['x'])})"
    if action == "insert":
        return f"{place}.insert({mod['i']!r}, {text(mod['x'])})"
    if action == "pop":
        return f"{place}.pop({mod['i']!r})"
    if action == "setitem":
        return f"{place}[{mod['key']!r}] = {text(mod['value'])}"
    return f"del {place}[{mod['key']!r}]"


def follow(
    make: Callable[[Callable[[Any], None]], Any],
    take: Callable[[Any], None],
    args: argparse.Namespace,
    config: SimpleSSLConfig | None,
) -> None:
    """Receive until the connection ends.

    Args:
        make: makes the `Subscriber` or `Receiver` of a callback.
        take: is called with each value that comes.
        args: the command line.
        config: for TLS, or None.

    Raises:
        ConnectionLost: the connection has ended; the text says why.
        OSError: it could not be made.
        Exception: what `take` has raised.
    """
    failures: list[BaseException] = []

    def callback(value: Any) -> None:
        arrived.set()
        try:
            take(value)
        except BaseException as exc:  # noqa: BLE001  (it is raised where it is understood)
            failures.append(exc)
            feed.receive_task.cancel()

    arrived = asyncio.Event()
    feed = make(callback)
    with _log_of_feeds() as log:
        asyncio.run(_receive(feed, args, config, arrived))
    if failures:
        raise failures[0]
    raise ConnectionLost(log.reason)


async def _receive(
    feed: Any, args: argparse.Namespace, config: SimpleSSLConfig | None, arrived: asyncio.Event
) -> None:
    async with feed:
        try:
            async with asyncio.timeout(args.timeout) as limit:
                await feed.connect(args.server, args.port, ssl_config=config)
                if args.action == "watch":  # a channel may be silent for as long as it likes
                    beginning = asyncio.create_task(arrived.wait())
                    await asyncio.wait(
                        [beginning, feed.receive_task], return_when=asyncio.FIRST_COMPLETED
                    )
                    beginning.cancel()
        except TimeoutError as exc:
            if not limit.expired():
                raise  # of the network
            where = format_address(args.server, args.port)
            raise TimeoutError(
                f"{where} has not answered within {args.timeout:g} seconds"
            ) from exc
        await asyncio.wait([feed.receive_task])


class _FeedLog(logging.Handler):
    """Keeps why a connection has ended, and shows what else is logged meanwhile."""

    reason = "the connection has ended"

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("lost `"):
            self.reason = text
        else:
            show_error(f"sipyco_rpctool: {text}")


@contextmanager
def _log_of_feeds() -> Iterator[_FeedLog]:
    handler = _FeedLog(logging.WARNING)
    logger = logging.getLogger("sipyco")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
