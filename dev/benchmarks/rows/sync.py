"""Mods to many subscribers: the CPU time of their publisher."""

from __future__ import annotations

from typing import Final

from dev.benchmarks.harness import Fleet, Settings
from dev.benchmarks.model import Experiment, Opener, Point, Probe, Row, Target
from dev.benchmarks.rows.units import MICROSECONDS

__all__ = ["growth", "mods"]

_SUBSCRIBERS: Final = 100
_NUMBERS: Final = (1, 3, 10, 30, 100, 200)
_OURS: Final = "sipyco Publisher"
_RAW: Final = "raw asyncio fan-out"
_CLASSES: Final = {_OURS: "OurPublisher", _RAW: "RawPublisher"}
_DELIVERIES: Final = 20_000  # in one round of a small value
_ARRAY_DELIVERIES: Final = 1_500  # of an array: 160 MB
_BURST: Final = 10


def _contenders(
    fleet: Fleet, settings: Settings, kind: str, subscribers: int, burst: int, deliveries: int
) -> dict[str, Opener]:
    mods = max(1, settings.count(deliveries) // subscribers // burst) * burst

    def opener(name: str) -> Opener:
        def open_probe() -> Probe:
            publisher = fleet.child(
                "dev.benchmarks.fanout", _CLASSES[name], kind, subscribers, core=settings.core
            )
            port = publisher.ask("port")
            readers = fleet.child("dev.benchmarks.fanout", "Readers", port, subscribers)

            def probe() -> float:
                readers.tell("take", mods)
                publisher.ask("begin", mods, burst)
                readers.answer()
                return float(publisher.ask("used")) / mods / subscribers * 1e6

            return probe

        return open_probe

    return {name: opener(name) for name in _CLASSES}


def _experiment(
    fleet: Fleet,
    settings: Settings,
    row: Row,
    kind: str,
    burst: int,
    deliveries: int,
) -> Experiment:
    contenders = _contenders(fleet, settings, kind, _SUBSCRIBERS, burst, deliveries)
    return Experiment(row.name, MICROSECONDS, contenders, (row,))


def mods(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make the rows about 100 subscribers."""
    return [
        _experiment(
            fleet,
            settings,
            Row(
                name="sync.small",
                title="mods of a small value to 100 subscribers, each by itself",
                subject=_OURS,
                limit=_RAW,
            ),
            "small",
            1,
            _DELIVERIES,
        ),
        _experiment(
            fleet,
            settings,
            Row(
                name="sync.burst",
                title="mods of a small value to 100 subscribers, ten at a time",
                subject=_OURS,
                limit=_RAW,
                target=Target(1.7, "at most", of="unit"),
            ),
            "small",
            _BURST,
            _DELIVERIES * _BURST,
        ),
        _experiment(
            fleet,
            settings,
            Row(
                name="sync.array",
                title="mods of an array of 80 kB to 100 subscribers",
                subject=_OURS,
                limit=_RAW,
            ),
            "array",
            1,
            _ARRAY_DELIVERIES,
        ),
    ]


def growth(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make the curve of the CPU time against the number of subscribers."""
    return [
        Experiment(
            f"subscribers.{number}",
            MICROSECONDS,
            _contenders(fleet, settings, "small", number, 1, max(2000, 100 * number)),
            point=Point("subscribers", number),
        )
        for number in _NUMBERS
    ]
