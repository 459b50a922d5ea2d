"""Rounds: every contender once, in an order that turns, as often as asked. No numbers here."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from dev.benchmarks.children import Child, ChildError, available_cores
from dev.benchmarks.model import Experiment, Outcome, Probe
from dev.benchmarks.transports import TRANSPORTS

__all__ = ["Fleet", "Settings", "run_experiment"]

_TOO_SLOW: Final = 15.0  # seconds for one round of one contender: it would hold up all others


@dataclass(frozen=True)
class Settings:
    """How thorough a run is.

    Attributes:
        rounds: how often each contender is measured.
        quick: do a part of the work in each round.
        peers: measure the peers that must be installed as well.
        core: where the processes of small calls are pinned; None if they cannot be.
    """

    rounds: int
    quick: bool = False
    peers: bool = False
    core: int | None = None

    def count(self, full: int) -> int:
        """Return how often something is repeated in a round."""
        return max(1, full // 8) if self.quick else full

    @staticmethod
    def default_core() -> int | None:
        """Return the last core: interrupts tend to be dealt with on the first."""
        cores = available_cores()
        return cores[-1] if cores else None


class Fleet:
    """The child processes of a suite: made when first asked for, ended together."""

    def __init__(self) -> None:
        self._children: dict[object, Child] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all of them, the youngest first: clients before their servers."""
        try:
            while self._children:
                _, child = self._children.popitem()
                child.close()
        except BaseException:
            self.close()  # Ctrl-C while one ends: the others end all the same
            raise
        if self._folder is not None:
            self._folder.cleanup()

    def folder(self) -> Path:
        """Return a folder that is removed with the fleet."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        return Path(self._folder.name)

    def child(self, module: str, name: str, *arguments: object, **options: Any) -> Child:
        """Return the child that was made so, or make it; the arguments are those of `Child`."""
        key = (module, name, repr(arguments), tuple(sorted(options.items())))
        if key not in self._children or self._children[key].closed:
            self._children[key] = Child(module, name, *arguments, **options)
        return self._children[key]

    def driver(
        self,
        transport: str,
        core: int | None = None,
        options: tuple[object, ...] = (),
    ) -> Child:
        """Return a client of a transport, connected to a server of its own.

        Args:
            transport: a key of `TRANSPORTS`.
            core: the only core that both may use, or None.
            options: arguments of the client.

        Raises:
            ChildError: it is not installed, or cannot start.
        """
        kind = TRANSPORTS[transport]
        if kind.missing:
            raise ChildError(kind.missing)
        module = f"dev.benchmarks.transports.{kind.module}"
        server = self.child(module, kind.serve, *kind.options, serve=True, core=core)
        return self.child(module, kind.driver, server.port, *options, core=core)


def _warm_up(open_probe: Callable[[], Probe]) -> Probe:
    probe = open_probe()
    begin = time.monotonic()
    probe()
    elapsed = time.monotonic() - begin
    if elapsed > _TOO_SLOW:
        raise ChildError(f"too slow: one round took {elapsed:.0f} s")
    return probe


def run_experiment(
    experiment: Experiment, settings: Settings, wanted: Collection[str] | None = None
) -> Outcome:
    """Measure contenders in interleaved rounds, after one round that does not count.

    Args:
        experiment: what is measured.
        settings: how often.
        wanted: the names of contenders; None for all. What figures are derived from must be
            among them.

    Returns:
        the figures. A contender that fails is left out, with the reason.
    """
    point = experiment.point
    outcome = Outcome(
        name=experiment.name,
        unit=experiment.unit.name,
        better=experiment.unit.better,
        samples={},
        failed={},
        curve=point.curve if point else None,
        x=point.x if point else None,
    )
    probes: dict[str, Probe] = {}
    for name, open_probe in experiment.contenders.items():
        if wanted is None or name in wanted:
            _attempt(outcome, name, lambda: probes.update({name: _warm_up(open_probe)}))  # noqa: B023
    for number in range(settings.rounds):
        for name in _order(list(probes), number):
            if name not in outcome.failed:
                figure: list[float] = []
                _attempt(outcome, name, lambda: figure.append(probes[name]()))  # noqa: B023
                outcome.samples.setdefault(name, []).extend(figure)
        print(".", end="", file=sys.stderr, flush=True)
    for name in outcome.failed:
        outcome.samples.pop(name, None)
    _derive(experiment, outcome)
    return outcome


def _order(names: list[str], number: int) -> Iterable[str]:
    """Turn the order from round to round, and its direction: nobody always comes after another."""
    if not names:
        return names
    start = number % len(names)
    turned = names[start:] + names[:start]
    return reversed(turned) if number % 2 else turned


def _attempt(outcome: Outcome, name: str, work: Callable[[], object]) -> None:
    try:
        work()
    except (ChildError, OSError) as exc:
        outcome.failed[name] = str(exc)


def _derive(experiment: Experiment, outcome: Outcome) -> None:
    for name, formula in experiment.derived.items():
        rounds = len(next(iter(outcome.samples.values()), []))
        try:
            outcome.samples[name] = [
                formula({key: figures[number] for key, figures in outcome.samples.items()})
                for number in range(rounds)
            ]
        except KeyError as exc:
            outcome.failed[name] = f"needs the figures of {exc}"
