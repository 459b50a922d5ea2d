"""The command: which rows, how often, and what becomes of the figures."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from dev.benchmarks.harness import Fleet, Settings, run_experiment
from dev.benchmarks.machine import describe
from dev.benchmarks.model import Composite, Experiment
from dev.benchmarks.report.markdown import write_page
from dev.benchmarks.report.results import Results, load, store
from dev.benchmarks.report.table import comparison, curve_table, heading, table
from dev.benchmarks.report.verdicts import Verdict, judge
from dev.benchmarks.rows import SUITES, composites, experiments

__all__ = ["main"]

_EPILOG: Final = """\
how to read it
  Each row gives the median of the rounds and [the quartiles]. A ratio divides the figures of the
  same round, so that what disturbs the machine disturbs both; its median counts. Targets are about
  these ratios. Figures by themselves compare nothing between machines.

examples
  hatch run bench                               all rows, some minutes
  hatch run bench --quick --only call codec     a fast look at some of them
  hatch run bench --list                        the names for --only
  hatch run bench:peers --json new.json         with Pyro5, rpyc, zerorpc, ZeroMQ and gRPC
  hatch run bench --compare old.json            what has changed since then
  hatch run bench:peers --markdown docs/explanation/performance
                                                refresh the page of the documentation
  hatch run bench:peers --from new.json --plot /tmp/plots
                                                show a run again, and draw it

exit status
  0; 1 if something of ours could not be measured, or with --strict if a target was missed; 2 for
  a wrong command line.
"""

_ROUNDS: Final = 7
_QUICK_ROUNDS: Final = 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure the library beside what limits it and what others reach, in\n"
        "interleaved rounds over the loopback interface. First close what keeps the machine busy.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="rows to measure, by the beginning of the name")
    add("--list", action="store_true", help="show the names of the rows, and end")
    add("--rounds", type=int, metavar="N", help=f"rounds (default: {_ROUNDS})")
    add(
        "--quick",
        action="store_true",
        help=f"an eighth of the work in a round, and {_QUICK_ROUNDS} rounds: a look, no claim",
    )
    add("--peers", action="store_true", help="measure peers as well, where they are installed")
    add("--core", type=int, metavar="N", help="where small calls run (default: the last core)")
    add("--json", metavar="FILE", help="keep the figures")
    add("--compare", metavar="FILE", help="show new/old against figures that were kept")
    add("--from", dest="source", metavar="FILE", help="show figures that were kept; measure none")
    add("--plot", metavar="DIR", help="draw the curves as SVG (needs matplotlib: bench:peers)")
    add(
        "--markdown",
        metavar="DIR",
        help="write what the documentation includes: the tables, and the plots as with --plot",
    )
    add("--strict", action="store_true", help="exit with 1 if a target was missed")
    return parser


def _is_wanted(name: str, only: Sequence[str] | None) -> bool:
    return only is None or any(name == part or name.startswith(f"{part}.") for part in only)


def _wanted_rows(
    known: Sequence[Experiment], means: Sequence[Composite], only: Sequence[str] | None
) -> set[str]:
    """Return the rows that are meant: those of a mean that is named too."""
    rows = {row.name for experiment in known for row in experiment.rows}
    wanted = {name for name in rows if _is_wanted(name, only)}
    for mean in means:
        if _is_wanted(mean.name, only):
            wanted.update(mean.rows)
    return wanted


def _contenders(experiment: Experiment, rows: set[str], only: Sequence[str] | None) -> set[str]:
    """Return those whose figures are needed; none if nothing of the experiment is wanted."""
    if _is_wanted(experiment.name, only):
        return set(experiment.contenders)
    needed = set()
    for row in experiment.rows:
        if row.name in rows:
            needed |= {row.subject, *row.others}
            if row.limit is not None:
                needed.add(row.limit)
    return needed


def _measure(settings: Settings, rows: set[str], only: Sequence[str] | None) -> Results:
    results = Results(describe(), settings.rounds, settings.quick, settings.peers)
    begin = time.monotonic()
    for suite in SUITES:
        with Fleet() as fleet:
            for experiment in suite(fleet, settings):
                needed = _contenders(experiment, rows, only)
                if not needed:
                    continue
                elapsed = time.monotonic() - begin
                print(f"{elapsed:5.0f} s  {experiment.name} ", end="", file=sys.stderr, flush=True)
                outcome = run_experiment(experiment, settings, needed)
                print(file=sys.stderr)
                for name, reason in outcome.failed.items():
                    print(f"         {name}: left out: {reason}", file=sys.stderr)
                results.outcomes[experiment.name] = outcome
    return results


def _show(results: Results, verdicts: Sequence[Verdict], compare: str | None) -> None:
    print(heading(results))
    if verdicts:
        print(f"\n{table(verdicts, results.compiled)}")
    curves = curve_table(results)
    if curves:
        print(f"\n{curves}")
    if compare is not None:
        print(f"\n{comparison(load(compare), results)}")


def _terminated(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # what is open is closed on the way


def _plot(results: Results, folder: Path) -> None:
    from dev.benchmarks import plots  # only here, as it needs matplotlib

    for path in plots.write(results, folder):
        print(f"wrote {path}", file=sys.stderr)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Results | None:
    """Refuse what would fail after minutes; return the figures that were kept, if so asked."""
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    if options.plot or options.markdown:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            parser.error("plots need matplotlib: use `hatch run bench:peers`")
    try:
        if options.compare:
            load(options.compare)
        return load(options.source) if options.source else None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        parser.error(f"cannot read figures: {exc}")


def _list(known: Sequence[Experiment], means: Sequence[Composite]) -> None:
    for experiment in known:
        for row in experiment.rows:
            print(f"{row.name:<32}{row.title}")
        if experiment.point is not None:
            print(f"{experiment.name:<32}a point of the curve `{experiment.point.curve}`")
    for mean in means:
        print(f"{mean.name:<32}{mean.title}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: of the command line; those of the process by default.

    Returns:
        the exit status.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    core = Settings.default_core() if options.core is None else options.core
    settings = Settings(rounds, options.quick, options.peers, core)
    known, means = experiments(settings), composites()
    if options.list:
        _list(known, means)
        return 0
    kept = _check(parser, options)
    rows = _wanted_rows(known, means, options.only)
    if not any(_contenders(experiment, rows, options.only) for experiment in known):
        parser.error(f"no row is called {' or '.join(options.only)}; --list shows the names")
    if kept is None:
        before = signal.signal(signal.SIGTERM, _terminated)
        try:
            results = _measure(settings, rows, options.only)
        finally:
            signal.signal(signal.SIGTERM, before)
        if options.json:
            store(results, options.json)
    else:
        results = kept
    verdicts = judge(results, known, means, rows if options.only else None)
    _show(results, verdicts, options.compare)
    if options.plot:
        _plot(results, Path(options.plot))
    if options.markdown:
        folder = Path(options.markdown)
        _plot(results, folder)
        print(f"wrote {write_page(results, verdicts, folder)}", file=sys.stderr)
    if any(verdict.figure is None for verdict in verdicts):
        return 1
    return int(options.strict and any(verdict.met is False for verdict in verdicts))
