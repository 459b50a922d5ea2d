"""What is measured and what it is held against: experiments, rows, targets, outcomes.

How it is measured is the business of `harness`, how it is shown that of `report`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "Composite",
    "Experiment",
    "Opener",
    "Outcome",
    "Point",
    "Probe",
    "Row",
    "Target",
    "Unit",
]

Probe: TypeAlias = Callable[[], float]  # measures one round: a figure in the experiment's unit
Opener: TypeAlias = Callable[[], Probe]  # starts what a contender needs; raises if it cannot


@dataclass(frozen=True)
class Unit:
    """How the figures of an experiment are given.

    Attributes:
        name: as it stands beside a figure.
        better: whether less or more of it is better.
    """

    name: str
    better: Literal["less", "more"]


@dataclass(frozen=True)
class Target:
    """What a figure should reach.

    Attributes:
        bound: the figure.
        sense: which side of it is the good one.
        of: a ratio to the row's limit, or the figure itself in its unit.
        compiled: the bound where the serializer runs compiled, if it is another one.
    """

    bound: float
    sense: Literal["at most", "at least"]
    of: Literal["limit", "unit"] = "limit"
    compiled: float | None = None

    def applying(self, compiled: bool) -> float:
        """Return the bound that applies."""
        return self.compiled if compiled and self.compiled is not None else self.bound

    def met(self, figure: float, compiled: bool) -> bool:
        """Tell whether a figure reaches it."""
        bound = self.applying(compiled)
        return figure <= bound if self.sense == "at most" else figure >= bound


@dataclass(frozen=True)
class Row:
    """A line of the table: one contender of an experiment, held against others.

    What it means, the page of the documentation tells.

    Attributes:
        name: what `--only` selects it by.
        title: the work.
        subject: the contender of ours that it is about.
        limit: the contender that it is divided by.
        target: what should be reached, if anything was set.
        others: contenders that are shown beside it, where they were measured.
    """

    name: str
    title: str
    subject: str
    limit: str | None
    target: Target | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Point:
    """The place of an experiment on a curve.

    Attributes:
        curve: the curve's name, a key of `rows.CURVES`.
        x: the place.
    """

    curve: str
    x: float


@dataclass(frozen=True)
class Experiment:
    """Contenders that do the same work, measured in the same rounds.

    Attributes:
        name: what `--only` selects it by.
        unit: of all figures.
        contenders: what opens each of them.
        rows: what the table says about them.
        derived: figures that are computed from those of the same round.
        point: where it stands on a curve, if it does.
    """

    name: str
    unit: Unit
    contenders: Mapping[str, Opener]
    rows: tuple[Row, ...] = ()
    derived: Mapping[str, Callable[[Mapping[str, float]], float]] = field(default_factory=dict)
    point: Point | None = None


@dataclass(frozen=True)
class Composite:
    """A line of the table: the geometric mean of the ratios of other lines.

    Attributes:
        name: what it is called in results.
        title: the work.
        rows: the names of those lines.
        against: the contender that all of them are divided by.
        target: what should be reached.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    against: str
    target: Target


@dataclass
class Outcome:
    """What the rounds of an experiment gave.

    Attributes:
        name: the experiment's.
        unit: the unit's name.
        better: whether less or more of it is better.
        samples: the figures of each contender, one a round.
        failed: why others have none.
        curve, x: the place on a curve, if it has one.
    """

    name: str
    unit: str
    better: str
    samples: dict[str, list[float]]
    failed: dict[str, str]
    curve: str | None = None
    x: float | None = None
