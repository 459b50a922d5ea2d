"""Closing streams of asyncio, in bounded time."""

from __future__ import annotations

import asyncio

from sipyco_rpc.limits import CLOSE_TIMEOUT
from sipyco_rpc.net.workarounds import abort, close

__all__ = ["close_writer"]


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close a connection, in bounded time: what the peer does not take in one second is dropped.

    Args:
        writer: its stream.
    """
    me = asyncio.current_task()
    assert me is not None
    requests = 0
    close(writer.transport)
    try:
        await asyncio.sleep(0)  # a cancellation that is due comes here
        requests = me.cancelling()
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await writer.wait_closed()
    except (OSError, EOFError):
        pass  # it is closed all the same; TimeoutError is an OSError
    except asyncio.CancelledError:
        if me.cancelling() > requests:
            raise
        # Another task was cancelled while it closed the same stream, which has one future for all.
    finally:
        abort(writer.transport)
