"""Finds the method that runs in a thread, by its frames: calls are not slowed down by it.

Nothing of the server is imported, which only some programs have.
"""

from __future__ import annotations

import os
from time import perf_counter
from types import FrameType
from typing import Final

__all__: list[str] = []

# The beginning of `co_filename` of what is ours.
_OURS: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")

# Methods that had to wait for a lock, those that are `async def`, and steps of generators.
_JOBS: Final = ("Job._begin", "Job._finish_awaited")


def running_method(frame: FrameType | None) -> str | None:
    """Describe the call of a server's method that a frame belongs to.

    Args:
        frame: what runs now.

    Returns:
        The method's name in backticks, who has called it, and how long it has been running; None
        if the frame belongs to none.
    """
    inner = None  # what we have called
    while frame is not None:
        code = frame.f_code
        name = code.co_qualname
        if not code.co_filename.startswith(_OURS):
            inner = name
        elif name == "CallDispatcher._call":
            values = frame.f_locals
            call = f"`{values['self'].target_name}.{values['request'].name}`"
            return describe_call(call, values["self"].replies.client, values.get("started"))
        elif name == "Server._make_target":
            values = frame.f_locals
            return f"the constructor of the target `{values['name']}` (for {values['peer']})"
        elif name in _JOBS:
            record = frame.f_locals["self"].record
            if record is not None:
                return str(record.describe())
            return None if inner is None else f"`{inner}`"
        frame = frame.f_back
    return None


def describe_call(name: str, client: str, since: float | None, state: str = "running") -> str:
    """Say what a call is, whose, and since when.

    Args:
        name: of the method, as it is shown.
        client: who has called it.
        since: when it came to this state, by `perf_counter`; None for just now.
        state: what it does.
    """
    seconds = 0.0 if since is None else perf_counter() - since
    return f"{name} (called by {client}, {state} for {seconds:.1f} s)"
