"""All that a client may send to a `Publisher` or a `Broadcaster`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from dev.fuzz.memory import MemoryTransport, deliver, reads, recorded, run, settle
from sipyco_sync.broadcast import Broadcaster
from sipyco_sync.notifier import Notifier
from sipyco_sync.sync_struct import Publisher

__all__ = ["one_input"]


_NEWS: Final = b'{"action":"setitem","path":[],"key":"b","value":2}\n'


def one_input(data: bytes) -> None:
    """Have a conversation with each. A bit of the first byte says that the end is a reset."""
    if not data:
        return
    said, reset = reads(data[1:]), bool(data[0] & 1)
    stream = b"".join(said)

    notifier = Notifier({"a": 1})
    publisher = Publisher({"it": notifier})
    sent = run(_conversation(publisher, said, reset, lambda: notifier.update(b=2)))
    assert sent in _expected(
        stream.startswith(b"ARTIQ sync_struct\nit\n"),
        [b'{"action":"init","struct":{"a":1}}\n' + _NEWS],
    )

    broadcaster = Broadcaster()
    sent = run(_conversation(broadcaster, said, reset, lambda: broadcaster.broadcast("it", 3)))
    assert sent in _expected(stream.startswith(b"ARTIQ broadcast\nit\n"), [b"3\n"])
    assert not broadcaster._feeds, "a channel is kept that nobody listens on"


def _expected(named: bool, answers: list[bytes]) -> list[bytes]:
    return answers if named else [b""]


async def _conversation(
    server: Any, said: list[bytes], reset: bool, change: Callable[[], object]
) -> bytes:
    """Give what is sent to a client that says something, and then hears of a change."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = MemoryTransport(protocol)
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    with recorded(server._logger.name) as log:
        slot = server._admission.admit(transport, "memory")
        serving = asyncio.ensure_future(server._serve_streams(slot, reader, writer))
        for part in said:
            if transport.closed or serving.done():
                break
            deliver(transport, part)
            await asyncio.sleep(0)
        await settle(serving.done)
        refused = serving.done()
        change()
        await settle(serving.done)
        if not serving.done():
            if reset:
                transport.get_protocol().connection_lost(ConnectionResetError(104, "reset"))
            else:
                transport.get_protocol().eof_received()
        try:
            await serving
        except ConnectionError:
            assert reset
        slot.release()
        assert refused <= any(record.levelno == logging.WARNING for record in log)
    transport.closed = True
    return bytes(transport.written)
