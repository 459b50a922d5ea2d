"""The table: which experiments there are, and the curves that some of them make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dev.benchmarks.harness import Fleet, Settings
from dev.benchmarks.model import Composite, Experiment
from dev.benchmarks.rows import arrays, calls, codec, connecting, imports, sync

__all__ = ["CURVES", "SUITES", "Curve", "composites", "experiments"]

SUITES: Final[tuple[Callable[[Fleet, Settings], list[Experiment]], ...]] = (
    calls.small_calls,
    calls.waiting_calls,
    arrays.arrays,
    codec.codec,
    sync.mods,
    connecting.connecting,
    imports.imports,
    calls.growth,
    sync.growth,
)


@dataclass(frozen=True)
class Curve:
    """What a curve shows.

    Attributes:
        title: of the plot.
        x, y: the axes.
    """

    title: str
    x: str
    y: str


CURVES: Final = {
    "up": Curve("Arrays to the server", "size of the array (bytes)", "throughput (MB/s)"),
    "down": Curve("Arrays from the server", "size of the array (bytes)", "throughput (MB/s)"),
    "clients": Curve("Small calls to one server", "number of clients", "calls/s, all clients"),
    "subscribers": Curve(
        "Mods of a small value", "number of subscribers", "publisher's CPU (µs for each delivery)"
    ),
}


def experiments(settings: Settings) -> list[Experiment]:
    """Return all experiments, to be looked at: nothing is started."""
    fleet = Fleet()
    return [experiment for suite in SUITES for experiment in suite(fleet, settings)]


def composites() -> list[Composite]:
    """Return the rows that are made of others."""
    return arrays.composites()
