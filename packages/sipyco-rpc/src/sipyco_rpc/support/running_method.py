"""Finds the method that runs in a thread, by its frames: calls are not slowed down by it.

Nothing of the server is imported, which only some programs have.
"""

from __future__ import annotations

import os
from types import FrameType
from typing import Final

__all__: list[str] = []

# The beginning of `co_filename` of what is ours.
_OURS: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")

# Methods that had to wait for a lock, those that are `async def`, and steps of generators.
_JOBS: Final = ("Job._begin", "Job._finish_awaited")


def running_method(frame: FrameType | None) -> str | None:
    """Name the method of a server that a frame belongs to.

    Args:
        frame: what runs now.

    Returns:
        Its name in backticks; None if it belongs to none.
    """
    inner = None  # what we have called
    while frame is not None:
        code = frame.f_code
        name = code.co_qualname
        if not code.co_filename.startswith(_OURS):
            inner = name
        elif name == "CallDispatcher._call":
            values = frame.f_locals
            return f"`{values['self']._target.name}.{values['request'].name}`"
        elif name == "Server._make_target":
            return f"the constructor of the target `{frame.f_locals['name']}`"
        elif name in _JOBS:
            return None if inner is None else f"`{inner}`"
        frame = frame.f_back
    return None
