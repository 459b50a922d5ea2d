"""When which fault happens: decided by a seed, before anything runs. No processes here."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

__all__ = ["BREAKING", "LINK_FAULTS", "PROCESS_FAULTS", "Fault", "Phase", "plan"]

# What is done to a process, and to a link. The weights are of random choices.
PROCESS_FAULTS: Final = {"kill": 3, "restart": 1, "pause": 4}
LINK_FAULTS: Final = {"cut": 3, "reset": 3, "slow": 2, "stall": 2, "split": 2, "truncate": 2}

# Those that end connections.
BREAKING: Final = frozenset({"kill", "restart", "cut", "reset", "truncate"})

_WARM_UP: Final = 6.0  # seconds until what happens at first use only has happened
_PHASE: Final = 18.0  # seconds of faults and quiet; in a longer run, an eighth of it
_LONGEST_PHASE: Final = 60.0
_QUIET: Final = 0.25  # of a phase
_PAUSE: Final = (0.2, 1.2)  # seconds between the beginnings of two faults
_SHORTEST: Final = 0.2  # seconds that a fault lasts
_LONGEST: Final = 2.5
_RECOVERY: Final = 0.5  # seconds between two faults of one target
_MOST_ENDED: Final = 0.34  # of the processes, in one phase: the others live through it


class Fault(NamedTuple):
    """One fault.

    Attributes:
        at: seconds from the beginning of its phase.
        kind: of `PROCESS_FAULTS` or `LINK_FAULTS`.
        target: the process or the link.
        seconds: how long it lasts; for a process that is ended, until it is started again.
        strength: 0 to 1, for those that have one.
    """

    at: float
    kind: str
    target: str
    seconds: float
    strength: float


class Phase(NamedTuple):
    """Some time of faults, and then of quiet; both in seconds."""

    faults: tuple[Fault, ...]
    seconds: float
    quiet: float


def plan(
    seed: int, seconds: float, processes: Sequence[str], links: Sequence[str]
) -> tuple[float, list[Phase]]:
    """Plan a run.

    Args:
        seed: the same one gives the same plan.
        seconds: how long the run is, without its beginning and its end.
        processes, links: what can be spoiled.

    Returns:
        The seconds without faults at the beginning, and the phases that follow.
    """
    random = Random(seed)  # noqa: S311  (no secret)
    warm_up = min(_WARM_UP, seconds / 6)
    rest = seconds - warm_up
    usual = min(max(_PHASE, seconds / 8), _LONGEST_PHASE)
    count = max(1, round(rest / usual))
    length = rest / count
    quiet = min(length * _QUIET, 10.0)
    order = list(processes)
    random.shuffle(order)
    count_of_mortals = max(1, round(len(order) * _MOST_ENDED))
    phases = []
    for number in range(count):
        # In turn, so that each is ended, and each lives for some time.
        mortals = {
            order[(number * count_of_mortals + index) % len(order)]
            for index in range(count_of_mortals)
        }
        faults = _faults(random, length - quiet, order, links, mortals)
        phases.append(Phase(faults, length - quiet, quiet))
    return warm_up, phases


def _faults(
    random: Random,
    seconds: float,
    processes: Sequence[str],
    links: Sequence[str],
    mortals: set[str],
) -> tuple[Fault, ...]:
    """Make the faults of one phase; those of one target do not overlap."""
    faults: list[Fault] = []
    free = dict.fromkeys((*processes, *links), 0.0)
    at = 0.0
    for target in sorted(mortals):  # these are ended once at least
        begin = random.uniform(0.0, seconds / 2)
        kind = random.choice(("kill", "kill", "restart"))
        faults.append(_fault(random, begin, seconds, kind, target))
        free[target] = begin + faults[-1].seconds + _RECOVERY
    while True:
        at += random.uniform(*_PAUSE)
        if at > seconds - _SHORTEST:
            break
        among = processes if random.random() < 0.3 else links
        target = random.choice([name for name in among if free[name] <= at] or [""])
        if not target:
            continue
        kinds = PROCESS_FAULTS if among is processes else LINK_FAULTS
        kind = random.choices(list(kinds), list(kinds.values()))[0]
        if kind in ("kill", "restart") and target not in mortals:
            kind = "pause"
        faults.append(_fault(random, at, seconds, kind, target))
        free[target] = at + faults[-1].seconds + _RECOVERY
    return tuple(sorted(faults))


def _fault(random: Random, at: float, seconds: float, kind: str, target: str) -> Fault:
    longest = min(_LONGEST, seconds - at)
    lasting = random.uniform(min(_SHORTEST, longest), longest)
    return Fault(round(at, 3), kind, target, round(lasting, 3), round(random.random(), 3))
