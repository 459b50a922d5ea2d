"""Lines between a process and its child, over pipes of their own beside its standard streams.

The parent:

    comm = AsyncioParentComm()
    await comm.create_subprocess(sys.executable, "worker.py", comm.get_address())
    comm.write(b"request\\n")
    reply = await comm.readline()

The child:

    comm = ChildComm(sys.argv[1])
    request = comm.readline()
    comm.write(b"reply\\n")

A child with asyncio uses `AsyncioChildComm`. POSIX has anonymous pipes for that, Windows named
ones; the address says nothing to people.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":  # pragma: elsewhere (Windows)
    from sipyco_tools._pipes.windows import AsyncioChildComm, AsyncioParentComm, ChildComm
else:
    from sipyco_tools._pipes.posix import AsyncioChildComm, AsyncioParentComm, ChildComm

__all__ = ["AsyncioChildComm", "AsyncioParentComm", "ChildComm"]

# The address that pickles hold: it lasts when a file moves.
for _name in __all__:
    globals()[_name].__module__ = __name__
