"""The table on a terminal, and the comparison with an earlier run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dev.benchmarks.report.numbers import factor, number, size, spread, target
from dev.benchmarks.report.results import Results
from dev.benchmarks.report.verdicts import Verdict
from dev.benchmarks.rows import CURVES
from dev.benchmarks.stats import summarize

__all__ = ["comparison", "curve_rows", "curve_table", "heading", "table"]

_LOST: Final = "-"


def heading(results: Results) -> str:
    """Describe the run in two lines."""
    machine = results.machine
    form = "compiled" if results.compiled else "not compiled"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rounds = f"{results.rounds} interleaved rounds{', quick' if results.quick else ''}"
    return (
        f"{machine['python']}, {machine['cores']} cores, {machine['cpu']}, {machine['system']};"
        f" {rounds}; sipyco_pyon is {form}\n{versions}"
    )


def _state(verdict: Verdict) -> str:
    if verdict.met is None:
        return ""
    return "met" if verdict.met else "NOT MET"


def _lines(verdict: Verdict, compiled: bool) -> list[str]:
    if verdict.figure is None:
        lines = [f"{verdict.title}: no figure {_state(verdict)}".rstrip()]
    else:
        line = f"{verdict.title}: {spread(verdict.figure)} {verdict.unit}"
        if verdict.limit is not None:
            line += f" = {factor(verdict.limit.ratio)} of {verdict.limit.name}"
            line += f" ({number(verdict.limit.figure.median)})"
        if verdict.target is not None:
            line += f"; target {target(verdict.target, verdict.unit, compiled)}"
            line += f": {_state(verdict)}"
        lines = [line]
    lines += [
        f"    {number(other.figure.median):>9} {verdict.unit:<8}{other.name};"
        f" ours is {factor(other.ratio)}"
        for other in verdict.others
    ]
    lines += [f"    {problem}" for problem in verdict.problems]
    return lines


def table(verdicts: Sequence[Verdict], compiled: bool) -> str:
    """Write the rows: median [quartiles], the ratio to the limit, the target, then the peers."""
    lines = []
    for verdict in verdicts:
        lines += _lines(verdict, compiled)
    judged = [verdict for verdict in verdicts if verdict.met is not None]
    if judged:
        met = sum(bool(verdict.met) for verdict in judged)
        lines.append(f"\n{met} of {len(judged)} targets met")
    return "\n".join(lines)


def curve_rows(results: Results, curve: str) -> tuple[list[str], list[list[str]]]:
    """Return the contenders of a curve, and the place and their medians for each point."""
    outcomes = sorted(
        (outcome for outcome in results.outcomes.values() if outcome.curve == curve),
        key=lambda outcome: outcome.x or 0,
    )
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.samples))
    rows = [
        [
            size(outcome.x or 0),
            *(
                number(summarize(outcome.samples[name]).median)
                if outcome.samples.get(name)
                else _LOST
                for name in names
            ),
        ]
        for outcome in outcomes
    ]
    return names, rows


def curve_table(results: Results) -> str:
    """Write how figures grow, for each curve that was measured."""
    parts = []
    for key, curve in CURVES.items():
        names, rows = curve_rows(results, key)
        if not rows or not names:
            continue
        heads = [curve.x, *names]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines = [f"{curve.title}: {curve.y}"]
        for row in (heads, *rows):
            lines.append(
                "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _compared(old: Mapping[str, list[float]], new: Mapping[str, list[float]], unit: str) -> str:
    lines = []
    for name, figures in new.items():
        if not old.get(name) or not figures:
            continue
        before, now = summarize(old[name]).median, summarize(figures).median
        lines.append(
            f"    {now / before:5.2f}×  {number(before):>9} -> {number(now):>9} {unit:<8}{name}"
        )
    return "\n".join(lines)


def comparison(old: Results, new: Results) -> str:
    """Write new/old for every contender that both runs have, by the medians.

    A limit whose ratio is far from 1 tells that the machine was not the same.
    """
    lines = ["new/old:"]
    for name, outcome in new.outcomes.items():
        if name in old.outcomes:
            compared = _compared(old.outcomes[name].samples, outcome.samples, outcome.unit)
            if compared:
                lines += [f"{name} ({outcome.better} is better)", compared]
    if len(lines) == 1:
        lines.append("    nothing was measured in both")
    return "\n".join(lines)
