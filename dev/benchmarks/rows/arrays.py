"""Arrays, from a kilobyte to 80 MB, to the server and from it."""

from __future__ import annotations

from typing import Final

from dev.benchmarks.harness import Fleet, Settings
from dev.benchmarks.model import Composite, Experiment, Opener, Point, Probe, Row, Target
from dev.benchmarks.rows.units import MB, MEGABYTES_PER_SECOND
from dev.benchmarks.transports import PEERS, TRANSPORTS

__all__ = ["arrays", "composites"]

# Sizes in bytes, their names, and the transfers in one round.
_SIZES: Final = (
    (1_000, "1kB", 400),
    (8_000, "8kB", 400),
    (80_000, "80kB", 160),
    (800_000, "0.8MB", 40),
    (8_000_000, "8MB", 10),
    (80_000_000, "80MB", 2),
)
_WITH_TARGET: Final = ("0.8MB", "8MB", "80MB")
_DIRECTIONS: Final = ("up", "down")

_RAW: Final = TRANSPORTS["raw-socket"].label
_ZEROMQ: Final = TRANSPORTS["zeromq"].label
_PEER_LABELS: Final = tuple(TRANSPORTS[name].label for name in ("multiprocessing", *PEERS))


def _rows(name: str, direction: str) -> tuple[Row, ...]:
    if name not in _WITH_TARGET:
        return ()
    size = name.replace("MB", " MB")
    return tuple(
        Row(
            name=f"arrays.{direction}.{name}.{short}",
            title=f"array of {size} {direction}, {short} client",
            subject=TRANSPORTS[transport].label,
            limit=_RAW,
            target=target,
            others=_PEER_LABELS,
        )
        for transport, short, target in (
            ("client", "blocking", Target(0.3, "at least")),
            ("asyncio", "asyncio", None),
        )
    )


def arrays(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make an experiment for each size and direction, the small ones first."""
    names = ["client", "asyncio", "raw-socket", "multiprocessing"]
    if settings.peers:
        names += PEERS

    def opener(transport: str, direction: str, size: int, count: int) -> Opener:
        def open_probe() -> Probe:
            driver = fleet.driver(transport)
            return lambda: size / MB / float(driver.ask(direction, size, count))

        return open_probe

    return [
        Experiment(
            f"arrays.{direction}.{name}",
            MEGABYTES_PER_SECOND,
            {
                TRANSPORTS[transport].label: opener(
                    transport, direction, size, settings.count(count)
                )
                for transport in names
            },
            _rows(name, direction),
            point=Point(direction, size),
        )
        for size, name, count in _SIZES
        for direction in _DIRECTIONS
    ]


def composites() -> list[Composite]:
    """Make the geometric means over the six cells."""
    cells = [f"arrays.{direction}.{name}" for name in _WITH_TARGET for direction in _DIRECTIONS]
    blocking = tuple(f"{cell}.blocking" for cell in cells)
    return [
        Composite(
            name="arrays.mean.blocking",
            title="arrays, all six, blocking client",
            rows=blocking,
            against=_RAW,
            target=Target(0.5, "at least"),
        ),
        Composite(
            name="arrays.mean.asyncio",
            title="arrays, all six, asyncio client",
            rows=tuple(f"{cell}.asyncio" for cell in cells),
            against=_RAW,
            target=Target(0.4, "at least"),
        ),
        Composite(
            name="arrays.mean.zeromq",
            title="arrays, all six, blocking client, beside ZeroMQ",
            rows=blocking,
            against=_ZEROMQ,
            target=Target(1.0, "at least"),
        ),
    ]
