"""Rows with their figures: medians, ratios to limits and others, targets met or not.

How they are laid out is the business of `table` and `markdown`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dev.benchmarks.model import Composite, Experiment, Outcome, Row, Target
from dev.benchmarks.report.results import Results
from dev.benchmarks.stats import Summary, geometric_mean, ratios, summarize

__all__ = ["Beside", "Verdict", "judge"]


@dataclass(frozen=True)
class Beside:
    """Another contender's figure, and ours divided by it, round by round."""

    name: str
    figure: Summary
    ratio: Summary


@dataclass(frozen=True)
class Verdict:
    """A row as it came out.

    Attributes:
        name, title: the row's.
        unit: of the figures; empty for a mean of ratios.
        figure: ours; None where it could not be measured.
        limit: what it is held against.
        others: what is shown beside it.
        target: what should be reached.
        met: whether it is; None without a target, and False without a figure.
        problems: who has no figure, and why.
    """

    name: str
    title: str
    unit: str
    figure: Summary | None
    limit: Beside | None
    others: tuple[Beside, ...]
    target: Target | None
    met: bool | None
    problems: tuple[str, ...]


def _beside(outcome: Outcome, subject: str, name: str) -> Beside | None:
    ours, theirs = outcome.samples.get(subject), outcome.samples.get(name)
    if not ours or not theirs:
        return None
    return Beside(name, summarize(theirs), summarize(ratios(ours, theirs)))


def _judge_row(row: Row, outcome: Outcome, compiled: bool) -> Verdict:
    samples = outcome.samples.get(row.subject)
    figure = summarize(samples) if samples else None
    limit = _beside(outcome, row.subject, row.limit) if row.limit else None
    beside = [_beside(outcome, row.subject, name) for name in row.others]
    met: bool | None = None
    if row.target is not None:
        ratio = limit.ratio if limit is not None else None
        measured = figure if row.target.of == "unit" else ratio
        met = measured is not None and row.target.met(measured.median, compiled)
    concerned = (row.subject, row.limit, *row.others)
    return Verdict(
        name=row.name,
        title=row.title,
        unit=outcome.unit,
        figure=figure,
        limit=limit,
        others=tuple(other for other in beside if other is not None),
        target=row.target,
        met=met,
        problems=tuple(
            f"{name}: left out: {reason}"
            for name, reason in outcome.failed.items()
            if name in concerned
        ),
    )


def _judge_composite(
    composite: Composite, cells: dict[str, tuple[Row, Outcome]], compiled: bool
) -> Verdict | None:
    if not all(name in cells for name in composite.rows):
        return None  # only some of its rows were to be measured
    found = [
        _beside(outcome, row.subject, composite.against)
        for row, outcome in (cells[name] for name in composite.rows)
    ]
    present = [beside.ratio for beside in found if beside is not None]
    failed = [cells[name][1].failed for name in composite.rows]
    missing = len(present) < len(found)
    if missing and not any(composite.against in reasons for reasons in failed):
        subjects = {cells[name][0].subject for name in composite.rows}
        if not any(subjects & reasons.keys() for reasons in failed):
            return None  # the peer was not asked for
    figure = None
    if not missing:
        figure = Summary(*(geometric_mean(values) for values in zip(*present, strict=True)))
    return Verdict(
        name=composite.name,
        title=composite.title,
        unit=f"× {composite.against}",
        figure=figure,
        limit=None,
        others=(),
        target=composite.target,
        met=figure is not None and composite.target.met(figure.median, compiled),
        problems=("a cell has no figure",) if missing else (),
    )


def judge(
    results: Results,
    experiments: Iterable[Experiment],
    composites: Iterable[Composite],
    wanted: Collection[str] | None = None,
) -> list[Verdict]:
    """Hold the figures of a run against limits and targets.

    Args:
        results: the run.
        experiments: what the rows are.
        composites: the rows that are made of others.
        wanted: the names of rows; None for all that have been measured.
    """
    cells = {
        row.name: (row, results.outcomes[experiment.name])
        for experiment in experiments
        if experiment.name in results.outcomes
        for row in experiment.rows
        if _measured(row, results.outcomes[experiment.name])
        if wanted is None or row.name in wanted
    }
    verdicts = [_judge_row(row, outcome, results.compiled) for row, outcome in cells.values()]
    for composite in composites:
        mean = _judge_composite(composite, cells, results.compiled)
        if mean is not None:
            names = [verdict.name for verdict in verdicts]
            verdicts.insert(_place(composite, names), mean)
    return verdicts


def _place(composite: Composite, names: list[str]) -> int:
    """Return the place after the rows that a mean is about, and the means that are there."""
    return max(
        place + 1
        for place, name in enumerate(names)
        if name in composite.rows or name.startswith(composite.name.partition(".")[0] + ".")
    )


def _measured(row: Row, outcome: Outcome) -> bool:
    return row.subject in outcome.samples or row.subject in outcome.failed
