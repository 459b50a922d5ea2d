"""What was done to whom and when, and what that excuses. Times are of the monotonic clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from dev.soak.schedule import BREAKING, PROCESS_FAULTS

__all__ = ["Disturbance", "Excuses", "overlap", "touches"]

# Seconds in which a program that was held up catches up, and in which it learns of a break: a
# moment, but on a machine that is busy with all this.
SLACK: Final = 1.0


class Disturbance(NamedTuple):
    """A fault, as it was carried out.

    Attributes:
        begin, end: from before its beginning until after its end.
        kind, target: as in the schedule.
    """

    begin: float
    end: float
    kind: str
    target: str


def overlap(disturbances: Iterable[Disturbance], begin: float, end: float) -> float:
    """Return for how many seconds of a time disturbances lasted; they do not overlap."""
    return sum(
        max(0.0, min(end, disturbance.end) - max(begin, disturbance.begin))
        for disturbance in disturbances
    )


def touches(
    disturbances: Iterable[Disturbance], begin: float, end: float, aftermath: float
) -> bool:
    """Tell whether a time saw a disturbance, or the aftermath of one.

    Args:
        disturbances: in any order.
        begin, end: of the time.
        aftermath: seconds.
    """
    return any(
        disturbance.begin - SLACK <= end and begin <= disturbance.end + aftermath
        for disturbance in disturbances
    )


class Excuses:
    """When a log record may be lost on its way without being counted, or come twice.

    A forwarder sends a record again if it was the last one before its connection broke. Those
    that the system had taken before, and that the server had not read, are gone: those of a moment
    if the server read until then, and those of as long as it, or the link, was held up before.
    Without a break nothing is lost. What is logged after a break waits for the next connection.
    A log server or a program that ends in an orderly way loses nothing, if it is let.

    Args:
        disturbances: of everything on the way, in any order.
        outage: whether the way is excused for the whole time, since what waits may be dropped.
    """

    def __init__(self, disturbances: Iterable[Disturbance], *, outage: bool = False) -> None:
        self._outage = outage
        self._losses: list[tuple[float, float]] = []
        self._breaks: list[tuple[float, float]] = []
        chain: list[
            Disturbance
        ] = []  # each begins before what was held up by others has caught up
        end = 0.0
        for disturbance in sorted(disturbances):
            if chain and disturbance.begin > end + SLACK:
                self._close(chain, end)
                chain = []
            end = max(end if chain else 0.0, disturbance.end)
            chain.append(disturbance)
        if chain:
            self._close(chain, end)

    def _close(self, chain: list[Disturbance], end: float) -> None:
        breaks = [disturbance for disturbance in chain if disturbance.kind in BREAKING]
        if not breaks:
            return
        # A process is gone at once; a link may break at any time of its fault.
        last = max(
            disturbance.begin if disturbance.kind in PROCESS_FAULTS else disturbance.end
            for disturbance in breaks
        )
        begin = chain[0].begin - SLACK
        self._breaks.append((begin, end + SLACK))
        if self._outage:
            self._losses.append((begin, end + SLACK))
        elif [disturbance.kind for disturbance in chain] != ["restart"]:
            self._losses.append((begin, last + SLACK))

    def lost(self, at: float) -> bool:
        """Tell whether what was logged at a time may be lost."""
        return any(begin <= at <= end for begin, end in self._losses)

    def repeated(self, at: float) -> bool:
        """Tell whether what was logged at a time may have been sent again."""
        return any(begin <= at <= end for begin, end in self._breaks)
