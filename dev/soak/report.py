"""The result of a run as text."""

from __future__ import annotations

from typing import Final

from dev.soak.conductor import Outcome
from dev.soak.growth import Growth
from dev.soak.schedule import LINK_FAULTS, PROCESS_FAULTS

__all__ = ["is_good", "report"]

_MIB: Final = 1024 * 1024


def is_good(outcome: Outcome) -> bool:
    """Tell whether everything was as it should be."""
    return not outcome.complaints


def report(outcome: Outcome) -> str:
    """Return the tables and the verdict."""
    columns = ("peers", "attempted", "completed", "failed", "lost")
    lines = ["{:<18}{:>6}{:>11}{:>11}{:>8}{:>6}".format("kind of peer", *columns)]
    for kind, count in outcome.peers.items():
        tally = outcome.tallies[kind]
        lines.append(
            f"{kind:<18}{count:>6}{tally.attempted:>11,}{tally.completed:>11,}"
            f"{tally.failed.total():>8,}{tally.lost:>6,}"
        )
        lines += [
            f"    {number:>8,} {reason}" for reason, number in tally.failed.most_common() if number
        ]
    if outcome.dropped:
        lines.append(f"forwarders said that they dropped {outcome.dropped:,} records")
    lines += ["", _faults("processes", PROCESS_FAULTS, outcome)]
    lines += [_faults("links", LINK_FAULTS, outcome), ""]
    lines.append(
        f"{'process':<14}{'started':>8}{'looked at':>11}{'memory, MiB':>18}"
        f"{'descriptors':>14}{'threads':>11}{'tasks':>12}"
    )
    lines += [_growth(name, started, growth) for name, started, growth in outcome.growths]
    untold = sum(growth.flat is None for _, _, growth in outcome.growths)
    if untold:
        lines.append(
            f"{untold} of {len(outcome.growths)} ended too soon to tell whether they grow"
        )
    lines.append("")
    lines += [f"WRONG  {complaint}" for complaint in outcome.complaints]
    lost = sum(tally.lost for tally in outcome.tallies.values())
    end = "interrupted after" if outcome.interrupted else "in"
    verdict = "passed" if is_good(outcome) else "FAILED"
    lines.append(f"{verdict}: {lost} lost, {end} {outcome.seconds:.0f} s; --seed {outcome.seed}")
    return "\n".join(lines)


def _faults(what: str, kinds: dict[str, int], outcome: Outcome) -> str:
    counts = ", ".join(f"{outcome.faults[kind]} {kind}" for kind in kinds)
    return f"faults of {what}: {counts}"


def _growth(name: str, started: int, growth: Growth) -> str:
    first, last = growth.first, growth.last
    memory = f"{first.memory / _MIB:.1f} → {last.memory / _MIB:.1f}"
    descriptors = f"{first.descriptors} → {last.descriptors}"
    threads = f"{first.threads} → {last.threads}"
    tasks = f"{first.tasks} → {last.tasks}"
    flat = {True: "flat", False: "NOT FLAT", None: "too short to tell"}[growth.flat]
    seconds = f"{last.at - first.at:.0f} s"
    return (
        f"{name:<14}{started:>8}{seconds:>11}{memory:>18}{descriptors:>14}{threads:>11}"
        f"{tasks:>12}  {flat}"
    )
