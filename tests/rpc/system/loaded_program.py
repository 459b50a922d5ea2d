"""A server to be loaded, as a process.

    loaded_program.py DESCRIPTORS [MAX_CONNECTIONS]

may have so many descriptors, and prints its port.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any

from sipyco_rpc.pc_rpc import Server

MIB = 1024 * 1024


class Target:
    def echo(self, x: Any) -> Any:
        return x

    def large(self) -> bytes:
        return bytes(4 * MIB)

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def state(self) -> dict[str, int]:
        """Tell what the process has now: resident memory in bytes, and counts."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {
            "resident": pages * resource.getpagesize(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "tasks": len(asyncio.all_tasks()),
            "connections": self.servers[0]._admission.count,
        }


async def main() -> None:
    descriptors = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    most = int(sys.argv[2]) if len(sys.argv) > 2 else None
    target = Target()
    async with Server(
        {"t": target}, builtin_terminate=True, max_line=MIB, max_connections=most
    ) as server:
        target.servers.append(server)
        await server.start("127.0.0.1", 0)
        assert server.server is not None
        print(server.server.sockets[0].getsockname()[1], flush=True)
        await server.wait_terminate()


asyncio.run(main())
