"""The time that a call of the asyncio client may take. No bytes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sipyco_rpc._client.timeouts import limit_of
from sipyco_rpc.net.errors import timeout_error

T = TypeVar("T")


async def limited(
    what: str,
    where: str,
    timeout: float | None,
    key: object,
    work: Coroutine[Any, Any, T],
    details: Callable[[], str] = str,
) -> T:
    """Do something in the time that a call may take.

    Args:
        what: for error messages.
        where: the other end, for error messages.
        timeout: the seconds that hold where `call_timeout` says nothing, or None.
        key: stands for the client in `call_timeout`.
        work: what is to be done.
        details: gives what is said after the seconds, if they were too few.

    Raises:
        TimeoutError: it took longer; the text says what.
    """
    has_limit, seconds = limit_of(key)
    if not has_limit:
        seconds = timeout
    if seconds is None:
        return await work
    started = time.monotonic()
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError as exc:
        if not limit.expired():
            raise  # of something else
        raise timeout_error(what, where, started, details()) from exc
