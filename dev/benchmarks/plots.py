"""Curves as SVG: the only module that needs matplotlib. Figures come from `report.results`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from dev.benchmarks.model import Outcome
from dev.benchmarks.report.numbers import size
from dev.benchmarks.report.results import Results
from dev.benchmarks.rows import CURVES
from dev.benchmarks.stats import summarize

__all__ = ["write"]

# The same order of colours for everyone, also for those who see few: after Okabe and Ito.
_COLOURS: Final = (
    "#D55E00",
    "#E69F00",
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#CC79A7",
    "#8C6D31",
    "#7F7F7F",
)
_MARKERS: Final = "osDv^<>Px"


def _series(results: Results, curve: str) -> dict[str, list[tuple[float, Any]]]:
    series: dict[str, list[tuple[float, Any]]] = {}
    outcomes: list[Outcome] = [
        outcome for outcome in results.outcomes.values() if outcome.curve == curve
    ]
    for outcome in sorted(outcomes, key=lambda outcome: outcome.x or 0):
        for name, samples in outcome.samples.items():
            series.setdefault(name, []).append((outcome.x or 0, summarize(samples)))
    return series


def _draw(results: Results, key: str) -> Any:
    from matplotlib.figure import Figure

    curve = CURVES[key]
    figure = Figure(figsize=(8, 5), layout="constrained", facecolor="white")  # in any theme
    axes = figure.subplots()
    for number, (name, points) in enumerate(_series(results, key).items()):
        ours = name.startswith("sipyco")
        axes.errorbar(
            [x for x, _ in points],
            [figures.median for _, figures in points],
            yerr=[
                [figures.median - figures.low for _, figures in points],
                [figures.high - figures.median for _, figures in points],
            ],
            label=name,
            color="black" if name.startswith("raw") else _COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            linewidth=2.5 if ours else 1.2,
            markersize=6 if ours else 4,
            linestyle="--" if name.startswith("raw") else "-",
            capsize=2,
            zorder=3 if ours else 2,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: size(x))
    if key in ("up", "down"):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
    axes.set_title(curve.title)
    axes.set_xlabel(curve.x)
    axes.set_ylabel(curve.y)
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.7)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small", frameon=False)
    return figure


def write(results: Results, folder: Path, form: str = "svg") -> Iterator[Path]:
    """Draw each curve that was measured; medians, with the quartiles as bars.

    Args:
        results: the run.
        folder: where to; it is made if need be.
        form: `svg`, or another form that matplotlib knows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Files of the same figures are the same, whenever they are written.
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none"})
    for key in CURVES:
        if _series(results, key):
            path = folder / f"{key}.{form}"
            metadata = {"Date": None} if form == "svg" else None
            _draw(results, key).savefig(path, metadata=metadata, dpi=100)
            yield path
