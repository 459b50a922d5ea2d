"""Back-off: the growing pauses between attempts to reach a server that is away.

It gives numbers and waits for nothing: threads and event loops both use it.
"""

from __future__ import annotations

import random

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

__all__ = ["backoff"]

_GROWTH: Final = 1.5  # each pause to the one before it
_LONGEST: Final = 12.0  # times the first: who was away for a weekend is found in a minute
_JITTER: Final = 0.2  # of a pause: the clients of one dead server must not all knock at once


def backoff(first: float) -> Iterator[float]:
    """Return the pauses before the attempts to come, without end.

        for pause in backoff(5.0):
            time.sleep(pause)
            if connected():
                break

    Each pause is half as long again as the one before it, up to twelve times the first. All of
    them differ from that by up to a fifth, at random.

    Args:
        first: the first pause, in seconds.
    """
    pause = first
    while True:
        yield pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  (no secret)
        pause = min(pause * _GROWTH, first * _LONGEST)
