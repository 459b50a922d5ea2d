"""The part of the documentation's page that a run writes. Its words are in the page itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dev.benchmarks.report.numbers import factor, number, spread, target
from dev.benchmarks.report.results import Results
from dev.benchmarks.report.table import curve_rows, heading
from dev.benchmarks.report.verdicts import Verdict
from dev.benchmarks.rows import CURVES
from dev.benchmarks.transports import PEERS, TRANSPORTS

__all__ = ["FILES", "write_page"]

FILES: Final = ("run.md", "table.md", "peers.md", "growth.md")  # the page includes each
_NOTE: Final = "<!-- Written by `hatch run bench:peers --markdown`: do not edit. -->\n\n"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _table(verdicts: Sequence[Verdict], compiled: bool) -> str:
    rows = []
    for verdict in verdicts:
        limit = verdict.limit
        state = {None: "", True: "met", False: "**not met**"}[verdict.met]
        rows.append(
            [
                verdict.title,
                f"{spread(verdict.figure)} {verdict.unit}" if verdict.figure else "no figure",
                f"{limit.name}: {number(limit.figure.median)}" if limit else "",
                factor(limit.ratio) if limit else "",
                target(verdict.target, verdict.unit, compiled) if verdict.target else "",
                state,
            ]
        )
    return _rows(["work", "ours", "limit", "ratio", "target", ""], rows)


def _cell(verdict: Verdict, name: str) -> str:
    for other in verdict.others:
        if other.name == name:
            return f"{number(other.figure.median)} ({number(other.ratio.median)}×)"
    return ""


def _peers(verdicts: Sequence[Verdict]) -> str:
    """Write a column for each peer, and what stands beside few rows in lines of its own."""
    labels = [TRANSPORTS[name].label for name in ("multiprocessing", *PEERS)]
    found = {other.name for verdict in verdicts for other in verdict.others}
    columns = [label for label in labels if label in found]
    wide = [
        [f"{verdict.title} ({verdict.unit})", _figure(verdict)]
        + [_cell(verdict, name) for name in columns]
        for verdict in verdicts
        if any(_cell(verdict, name) for name in columns)
    ]
    long = [
        [
            f"{verdict.title} ({verdict.unit})",
            _figure(verdict),
            other.name,
            number(other.figure.median),
            factor(other.ratio),
        ]
        for verdict in verdicts
        for other in verdict.others
        if other.name not in labels
    ]
    parts = []
    if wide:
        parts.append(_rows(["work", "ours", *columns], wide))
    parts += [f"* {line}\n" for line in _left_out(verdicts)]
    if long:
        parts.append(_rows(["work", "ours", "beside it", "figure", "ours divided by it"], long))
    return "\n".join(parts)


def _figure(verdict: Verdict) -> str:
    return number(verdict.figure.median) if verdict.figure else "no figure"


def _left_out(verdicts: Sequence[Verdict]) -> list[str]:
    where: dict[str, list[str]] = {}
    for verdict in verdicts:
        for problem in verdict.problems:
            where.setdefault(problem, []).append(verdict.title)
    return [
        f"{problem} ({titles[0]}{f', and {len(titles) - 1} more' if len(titles) > 1 else ''})"
        for problem, titles in where.items()
    ]


def _growth(results: Results) -> str:
    parts = []
    for key, curve in CURVES.items():
        names, rows = curve_rows(results, key)
        if names and rows:
            parts.append(
                f"![{curve.title}: {curve.y} against {curve.x}](performance/{key}.svg)\n\n"
                f"{curve.title}, {curve.y}:\n\n{_rows([curve.x, *names], rows)}"
            )
    return "\n".join(parts)


def write_page(results: Results, verdicts: Sequence[Verdict], folder: Path) -> Path:
    """Write the files that the page includes.

    Args:
        results: the run.
        verdicts: its rows.
        folder: where to; it is made if need be.

    Returns:
        the folder.
    """
    first, _, versions = heading(results).partition("\n")
    texts = (
        f"{first}.\n\nPackages: {versions}.\n",
        _table(verdicts, results.compiled),
        _peers(verdicts),
        _growth(results),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(FILES, texts, strict=True):
        (folder / name).write_text(_NOTE + text, encoding="utf-8")
    return folder
