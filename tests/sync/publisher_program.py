"""A publisher to be loaded: makes changes when told to on its standard input, and tells its size.

    publisher_program.py MAX_BACKLOG

prints its port, then for each line `FIRST COUNT SIZE` makes changes FIRST to FIRST + COUNT of that
many bytes, and prints by how many bytes its resident memory has grown at most since the first.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sipyco_sync.sync_struct import Notifier, Publisher


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("no VmRSS")


async def main() -> None:
    n = Notifier({"count": 0, "value": ""})
    loop = asyncio.get_running_loop()
    async with Publisher({"n": n}, max_backlog=int(sys.argv[1])) as publisher:
        await publisher.start("127.0.0.1", 0)
        assert publisher.server is not None
        print(publisher.server.sockets[0].getsockname()[1], flush=True)
        most, before = 0, None
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            first, count, size = map(int, line.split())
            before = resident() if before is None else before
            for i in range(first, first + count):
                n["value"] = f"{i:x<{size}}"
                await asyncio.sleep(0)
                most = max(most, resident())
            n["count"] = first + count
            print(most - before, flush=True)


asyncio.run(main())
