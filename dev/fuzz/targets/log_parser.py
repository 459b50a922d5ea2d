"""All that a child process may write to where a `LogParser` reads."""

from __future__ import annotations

import asyncio

from dev.fuzz.memory import reads, recorded, run
from sipyco_tools._logging.text import safe_name
from sipyco_tools.logging_tools import LogParser

__all__ = ["one_input"]


def one_input(data: bytes) -> None:
    """Have it logged: however it arrives, each line is in just one record."""
    said = reads(data)
    records = run(_logged(said))
    stream = b"".join(said)
    assert run(_logged([stream])) == records
    lines = stream.split(b"\n")
    if not lines[-1]:
        lines.pop()
    texts = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]
    position = 0
    for name, message in records:
        first, *more = message.split("\n")
        fields = texts[position].split(":", 2)
        assert texts[position] == first or [safe_name(fields[1]), fields[2]] == [name, first]
        assert more == texts[position + 1 : position + 1 + len(more)]
        position += 1 + len(more)
    assert position == len(texts)


async def _logged(said: list[bytes]) -> list[tuple[str, str]]:
    reader = asyncio.StreamReader()
    parser = LogParser(lambda: "child")
    with recorded("fwd") as log:
        task = asyncio.ensure_future(parser.stream_task(reader))
        for part in said:
            reader.feed_data(part)
            await asyncio.sleep(0)
        reader.feed_eof()
        await task
    return [(record.name, record.getMessage()) for record in log]
