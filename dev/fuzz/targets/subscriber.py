"""All that a publisher may send to a `Subscriber`, and a broadcaster to a `Receiver`."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from unittest import mock

from dev.fuzz.compare import canonical
from dev.fuzz.memory import MemoryTransport, reads, recorded, run
from sipyco_rpc.support.log_limiter import LogLimiter
from sipyco_sync import _feed_client
from sipyco_sync.broadcast import Receiver
from sipyco_sync.sync_struct import Subscriber

__all__ = ["one_input"]

_LIMIT: Final = 4096  # bytes of a line
_REASONS: Final = ("lost `it` of memory port 1: ", "`it` received what it cannot use: ")


def one_input(data: bytes) -> None:
    """Subscribe, with the reads as the input has them, and in one; both must give the same."""
    said = reads(data)
    for kind in (Subscriber, Receiver):
        several = run(_subscribe(kind, said))
        assert run(_subscribe(kind, [b"".join(said)])) == several


async def _subscribe(kind: Any, said: list[bytes]) -> tuple[Any, ...]:
    """Give what a subscriber has made of it: the copy, what its callback has got, the log."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = MemoryTransport(protocol)
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())

    async def connect(*_: object, **__: object) -> Any:
        return reader, writer

    got: list[Any] = []
    structures: list[Any] = []

    def build(structure: Any) -> Any:
        structures.append(structure)
        return structure

    with (
        mock.patch.object(_feed_client, "async_open_connection", connect),
        recorded(kind._logger.name) as log,
    ):
        arguments = (build,) if kind is Subscriber else ()
        subscriber = kind(
            "it", *arguments, lambda value: got.append(_shown(value)), max_line=_LIMIT
        )
        # Each line is accounted for: however many cannot be used, none is counted only.
        subscriber._log_limiter = LogLimiter(b"".join(said).count(b"\n") + 1)
        await subscriber.connect("memory", 1)
        for part in said:
            if transport.closed:
                break
            reader.feed_data(part)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if not transport.closed:
            reader.feed_eof()
        await subscriber.receive_task
        await subscriber.close()
    texts = [record.getMessage() for record in log if record.levelno > 10]
    assert all(text.startswith(_REASONS) for text in texts), texts
    assert sum(text.startswith(_REASONS[0]) for text in texts) == 1, texts
    lines = b"".join(said).count(b"\n")
    if kind is Subscriber:
        by_peer = texts[0].endswith("closed the connection") or "no place for" in texts[0]
        assert by_peer == (len(got) == lines), "a mod is left out without a reason"
    else:
        assert len(got) + len(texts) - 1 == lines, "a message is lost, or invented"
    return got, [_shown(structure) for structure in structures], texts


def _shown(value: Any) -> Any:
    try:
        return canonical(value)
    except RecursionError:
        return "deep"
