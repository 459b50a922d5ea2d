"""A server to be killed: it notes what it executes in a file, before it answers.

    python history_server.py PORT FILE FRAMES

It says on its standard output which port it listens on.
"""

from __future__ import annotations

import asyncio
import os
import sys

from sipyco_rpc.pc_rpc import Server
from support.fleet import Target
from support.peers import HOST


async def main() -> None:
    port, path, frames = sys.argv[1:]
    noted = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    # What is written survives the process.
    target = Target(lambda token: os.write(noted, b"%d\n" % token))
    async with Server({"target": target}, frames=frames == "frames") as server:
        await server.start(HOST, int(port))
        assert server.server is not None
        print(server.server.sockets[0].getsockname()[1], flush=True)
        await server.wait_terminate()


asyncio.run(main())
