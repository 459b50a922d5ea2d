"""The serializer by itself: arrays as text, small items, floats, datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dev.benchmarks.harness import Fleet, Settings
from dev.benchmarks.model import Experiment, Opener, Probe, Row, Target, Unit
from dev.benchmarks.rows.units import MICROSECONDS, MILLISECONDS

__all__ = ["codec"]

_OURS: Final = "sipyco_pyon"
_BUDGET: Final = "4 × base64 + copy"
_PER_SECOND: Final = {MICROSECONDS: 1e6, MILLISECONDS: 1e3}


def _budget(figures: Mapping[str, float]) -> float:
    return 4 * figures["base64"] + figures["copy"]


@dataclass(frozen=True)
class _Document:
    """A key of the documents in `dev.benchmarks.codec`, and what is said about it.

    Attributes:
        targets: of encoding and of decoding.
        others: contenders beside ours and the limit.
        count: how often it is done in one round.
    """

    name: str
    title: str
    unit: Unit
    limit: str
    targets: tuple[Target, Target]
    others: tuple[str, ...]
    count: int


_DOCUMENTS: Final = (
    _Document(
        name="array",
        title="an array of 1 MB as text",
        unit=MICROSECONDS,
        limit=_BUDGET,
        targets=(Target(1.0, "at most"), Target(1.0, "at most")),
        others=("base64", "copy"),
        count=40,
    ),
    _Document(
        name="items",
        title="10,000 small nested items",
        unit=MILLISECONDS,
        limit="json",
        targets=(
            Target(3.5, "at most", compiled=1.2),
            Target(2.3, "at most", compiled=2.1),
        ),
        others=("json, PYON text",),
        count=16,
    ),
    _Document(
        name="floats",
        title="a list of 100,000 floats",
        unit=MILLISECONDS,
        limit="json",
        targets=(Target(1.05, "at most"), Target(1.05, "at most")),
        others=(),
        count=3,
    ),
    _Document(
        name="datasets",
        title="1,000 datasets, in frames",
        unit=MILLISECONDS,
        limit="pickle 5",
        targets=(Target(2.5, "at most"), Target(2.5, "at most")),
        others=("sipyco_pyon, text",),
        count=24,
    ),
)


def _contenders(
    fleet: Fleet, settings: Settings, document: _Document, direction: str
) -> dict[str, Opener]:
    count, scale = settings.count(document.count), _PER_SECOND[document.unit]

    def opener(name: str) -> Opener:
        def open_probe() -> Probe:
            child = fleet.child("dev.benchmarks.codec", "Codec", document.name, core=settings.core)
            return lambda: float(child.ask("run", name, direction, count)) * scale

        return open_probe

    names = [_OURS, *document.others]
    if document.limit != _BUDGET:
        names.append(document.limit)
    if direction == "encode" and "json, PYON text" in names:
        names.remove("json, PYON text")  # it is about reading
    return {name: opener(name) for name in names}


def codec(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make an experiment for each document and direction."""
    return [
        Experiment(
            f"codec.{document.name}.{direction}",
            document.unit,
            _contenders(fleet, settings, document, direction),
            (
                Row(
                    name=f"codec.{document.name}.{direction}",
                    title=f"{direction} {document.title}",
                    subject=_OURS,
                    limit=document.limit,
                    target=target,
                    others=document.others,
                ),
            ),
            derived={_BUDGET: _budget} if document.limit == _BUDGET else {},
        )
        for document in _DOCUMENTS
        for direction, target in zip(("encode", "decode"), document.targets, strict=True)
    ]
