"""One run: faults in phases, quiet between them, and in the end the accounts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dev.benchmarks.children import ChildError
from dev.soak.accounts import Accounts, Tally
from dev.soak.disturbances import Excuses, overlap, touches
from dev.soak.growth import Growth, Sample, judge, least
from dev.soak.laboratory import Laboratory
from dev.soak.ledger import Ledger, Tail
from dev.soak.peers import (
    BEST_EFFORT,
    FORWARDER,
    KINDS,
    Place,
    kind_of,
    lay_out,
    number_of,
    position_of,
    way_of,
    worker_of,
)
from dev.soak.schedule import Fault, Phase, plan

__all__ = ["Conductor", "Outcome"]

_POLL: Final = 0.2  # seconds between two looks at the ledgers
_RECOVERY: Final = 15.0  # seconds for every peer to come back: some wait up to 4 between attempts
_ARRIVAL: Final = 15.0  # seconds for copies to become equal, and for records to arrive
_AFTERMATH: Final = 1.5  # seconds after a fault in which calls may still fail by it
_LONG_AFTERMATH: Final = 6.0  # the same of a `BestEffortClient`, which waits up to 4.3 to connect
_SAMPLES: Final = 3  # of each process in a quiet moment
_BETWEEN_SAMPLES: Final = 0.2  # seconds


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        seed: of the run.
        seconds: from its first fault, or what would have been it, to the last.
        interrupted: it was ended before its time.
        peers: how many of each kind.
        tallies: what became of their work.
        dropped: log messages of which forwarders said that they dropped them.
        faults: how many of each kind.
        growths: of each process: its name, how many times it was started, and how the life grew
            that lasted longest.
        complaints: what should not have been.
    """

    seed: int
    seconds: float
    interrupted: bool
    peers: Counter[str]
    tallies: dict[str, Tally]
    dropped: int
    faults: Counter[str]
    growths: list[tuple[str, int, Growth]]
    complaints: list[str]


class Conductor:
    """Carry out a plan.

    Args:
        seed: decides which faults there are, and when.
        seconds: how long.
        peers: how many.
        folder: for the files of the run.
        say: is told what happens: a line, and whether it is worth keeping.
        stop: ends the run early when it is set.
    """

    def __init__(
        self,
        seed: int,
        seconds: float,
        peers: int,
        folder: Path,
        say: Callable[[str, bool], None],
        stop: threading.Event,
    ) -> None:
        self._seed = seed
        self._seconds = seconds
        self._places = lay_out(peers)
        self._folder = folder
        self._say = say
        self._stop = stop
        self._accounts = Accounts(KINDS)
        self._tails: dict[Path, Tail] = {}
        self._under_way: list[Fault] = []
        self.laboratory = Laboratory(self._places, folder)

    def run(self) -> Outcome:
        """Do all of it, and judge.

        Raises:
            ChildError: a process could not be started.
        """
        laboratory = self.laboratory
        self._say("starting the processes", True)
        with laboratory:
            began = time.monotonic()
            warm_up, phases = plan(
                self._seed, self._seconds, list(laboratory.processes), list(laboratory.links)
            )
            try:
                self._rest("warming up", warm_up)
                for number, phase in enumerate(phases, 1):
                    if self._over:
                        break
                    self._inflict(phase, f"faults, {number} of {len(phases)}")
                    self._rest(f"quiet, {number} of {len(phases)}", phase.quiet)
                self._conclude()
            except ChildError as exc:
                self._accounts.complain("a process does not answer", str(exc))
            seconds = time.monotonic() - began
            laboratory.stopping.set()
        if laboratory.failure is not None:
            self._accounts.complain("a fault could not be inflicted or undone", laboratory.failure)
        return self._judge(seconds)

    @property
    def _over(self) -> bool:
        return self._stop.is_set() or self.laboratory.stopping.is_set()

    def _inflict(self, phase: Phase, what: str) -> None:
        """Inflict the faults of a phase, each in a thread, and wait until they are over."""
        began = time.monotonic()
        threads: list[threading.Thread] = []
        for fault in phase.faults:
            self._watch(what, _reached(began + fault.at))
            if self._over:
                break
            thread = threading.Thread(target=self._inflict_one, args=(fault,))
            thread.start()
            threads.append(thread)
        self._watch(what, _reached(began + phase.seconds))
        for thread in threads:
            thread.join()

    def _inflict_one(self, fault: Fault) -> None:
        self._under_way.append(fault)
        self.laboratory.inflict(fault)
        self._under_way.remove(fault)

    def _rest(self, what: str, seconds: float) -> None:
        """Let every peer come back, and look at what the processes hold."""
        if self._over:
            return
        laboratory = self.laboratory
        began = time.monotonic()
        for worker in laboratory.workers:
            worker.ask("begin_quiet")
        idle: list[int] = []

        def back() -> bool:
            idle[:] = [number for worker in laboratory.workers for number in worker.ask("idle")]
            return not idle

        if not self._watch(what, back, _RECOVERY) and not self._over:
            for number in idle:
                self._accounts.complain("a peer did not come back", self._described(number))
        sampling = _SAMPLES * _BETWEEN_SAMPLES
        self._watch(what, _reached(began + seconds - sampling))
        self._sample(what)

    def _sample(self, what: str) -> None:
        taken: dict[str, list[Sample]] = {name: [] for name in self.laboratory.processes}
        for _ in range(_SAMPLES):
            for name, process in self.laboratory.processes.items():
                taken[name].append(Sample(*process.ask("sample")))
            self._watch(what, _reached(time.monotonic() + _BETWEEN_SAMPLES))
        diary = Ledger(str(self._folder / "samples"))
        for name, process in self.laboratory.processes.items():
            sample = least(taken[name])
            process.samples.setdefault(process.life, []).append(sample)
            diary.write(*sample, process.life, name)
        diary.close()

    def _conclude(self) -> None:
        """Compare copies, let the last records arrive, and end everything in an orderly way."""
        laboratory = self.laboratory
        what = "comparing copies"
        right: dict[str, str] = laboratory.processes["publisher"].ask("freeze")
        different: list[int] = []

        def equal() -> bool:
            different.clear()
            for worker in laboratory.workers:
                for number, copy in worker.ask("copies").items():
                    if copy is None or right[copy[0]] != copy[1]:
                        different.append(int(number))
            return not different

        if not self._watch(what, equal, _ARRIVAL, hurry=False):
            for number in different:
                self._accounts.complain("a copy did not catch up", self._described(number))
                self._accounts.tallies[self._place(number).kind].lost += 1
        what = "waiting for the last log records"
        logging_peers = [
            number for worker in laboratory.workers for number in worker.ask("fall_silent")
        ]
        self._watch(what, lambda: self._accounts.has_arrived(logging_peers), _ARRIVAL, hurry=False)
        self._say("ending the processes", False)
        for process in (*laboratory.workers, *laboratory.processes.values()):
            if not process.child.closed:
                for complaint in process.ask("stop"):
                    self._accounts.complain("an end took too long", f"{process.name}: {complaint}")
                process.close()
        self._read()

    def _watch(
        self,
        what: str,
        condition: Callable[[], bool],
        patience: float | None = None,
        *,
        hurry: bool = True,
    ) -> bool:
        """Wait until something is so, and tell of the progress; return whether it is.

        Args:
            what: is going on.
            condition: is asked again and again.
            patience: seconds to wait, or None for ever.
            hurry: stop waiting when the run is to end.
        """
        end = None if patience is None else time.monotonic() + patience
        while not condition():
            if (hurry and self._over) or (end is not None and time.monotonic() > end):
                return False
            self._read()
            self._tell(what)
            if hurry:
                self._stop.wait(_POLL)
            else:
                time.sleep(_POLL)
        return True

    def _tell(self, what: str) -> None:
        attempted, completed, failed = self._accounts.attempted_calls()
        faults = ", ".join(f"{fault.kind} {fault.target}" for fault in list(self._under_way))
        self._say(
            f"{what}: {attempted:,} attempted, {completed:,} completed, {failed:,} failed"
            + (f"; {faults}" if faults else ""),
            False,
        )

    def _read(self) -> None:
        """Take what processes have written since the last time."""
        for path in sorted(self._folder.glob("*.ledger")):
            for line in self._tails.setdefault(path, Tail(path)).lines():
                self._accounts.take(line)
        executed, arrived = self._folder / "executed", self._folder / "arrived"
        for line in self._tails.setdefault(executed, Tail(executed)).lines():
            self._accounts.executed(int(line))
        for line in self._tails.setdefault(arrived, Tail(arrived)).lines():
            self._accounts.arrived(line)

    def _place(self, number: int) -> Place:
        return self._places[position_of(number)]

    def _described(self, number: int) -> str:
        place = self._place(number)
        way = "by its link" if place.linked else "directly"
        return f"peer {number}, a {place.kind} of {place.endpoint} {way}"

    def _judge(self, seconds: float) -> Outcome:
        laboratory, accounts = self.laboratory, self._accounts
        self._read()
        disturbances = laboratory.disturbances

        def paused(peer: int, begin: float, end: float) -> float:
            name = f"worker {worker_of(peer)[0]}"
            own = (disturbance for disturbance in disturbances if disturbance.target == name)
            return overlap(own, begin, end)

        ways = {
            place.position: [
                disturbance for disturbance in disturbances if disturbance.target in way_of(place)
            ]
            for place in self._places
        }

        def disturbed(peer: int, begin: float, end: float) -> bool:
            aftermath = _LONG_AFTERMATH if kind_of(peer) == BEST_EFFORT else _AFTERMATH
            return touches(ways[position_of(peer)], begin, end, aftermath)

        excuses, short = {}, set()
        for place in self._places:
            if place.kind == FORWARDER:
                for life in range(laboratory.workers[place.worker].life + 1):
                    number = number_of(place, life)
                    excuses[number] = Excuses(ways[place.position], outage=place.alternative)
                    if place.alternative:
                        short.add(number)
        accounts.judge(laboratory.killed, paused, disturbed, excuses, short)
        growths = []
        for process in laboratory.processes.values():
            lives = [judge(samples) for samples in process.samples.values()]
            for growth in lives:
                for complaint in growth.complaints:
                    accounts.complain("not flat", f"{process.name}: {complaint}")
            if lives:
                longest = max(lives, key=lambda growth: growth.last.at - growth.first.at)
                growths.append((process.name, process.life + 1, longest))
        return Outcome(
            self._seed,
            seconds,
            self._stop.is_set(),
            Counter(place.kind for place in self._places),
            accounts.tallies,
            accounts.dropped,
            laboratory.counts,
            growths,
            accounts.complaints(),
        )


def _reached(at: float) -> Callable[[], bool]:
    """Return what tells whether it is that time."""
    return lambda: time.monotonic() >= at
