"""The accounts of a run: what was attempted, what became of it, and what should not have been.

Lines of ledgers in, sums and complaints out. No processes and no files here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from dev.soak.disturbances import Excuses
from dev.soak.peers import kind_of, peer_of, worker_of

__all__ = ["Accounts", "Tally"]

# Seconds after which a call is lost, even if it ends: clients wait for 3, faults last 2.5.
HANG: Final = 20.0

_MOST_SENDINGS: Final = 3  # of one log record; the documentation of `LogForwarder` says "again"
_SHOWN: Final = 20  # complaints of one kind: the first tell enough

KILLED: Final = "its process was killed"
GIVEN_UP: Final = "given up by its caller"
UNSENT: Final = "in the buffers when a connection broke"
DROPPED: Final = "dropped from a short queue, or in the buffers"
AWAY: Final = "sent while it was not connected"


@dataclass
class Tally:
    """What became of the work of one kind of peers."""

    attempted: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lost: int = 0


@dataclass
class _Records:
    """The log records of one peer, by their numbers."""

    logged: dict[int, float] = field(default_factory=dict)  # when
    arrived: Counter[int] = field(default_factory=Counter)


class Accounts:
    """Take what processes wrote down, and judge it in the end.

    Args:
        kinds: of the peers, by their place.
    """

    def __init__(self, kinds: Collection[str]) -> None:
        self.tallies = {kind: Tally() for kind in kinds}
        self._complaints: dict[str, list[str]] = {}
        self._under_way: dict[int, tuple[float, str]] = {}  # since when, and what
        self._answered: set[int] = set()
        self._made: set[int] = set()  # the tokens of all calls
        self._executed: set[int] = set()
        # Calls that took long, and those that failed: the token, its times, and why it failed.
        self._slow: list[tuple[int, float, float, str | None]] = []
        self._failed: list[tuple[int, float, float, str]] = []
        self._records: dict[int, _Records] = {}
        self.dropped = 0  # log messages of which forwarders said that they dropped them

    def complain(self, what: str, which: str) -> None:
        """Put down what should not have been."""
        self._complaints.setdefault(what, []).append(which)

    def complaints(self) -> list[str]:
        """Return what should not have been, a line each."""
        lines = []
        for what, cases in self._complaints.items():
            lines += [f"{what}: {case}" for case in cases[:_SHOWN]]
            if len(cases) > _SHOWN:
                lines.append(f"{what}: {len(cases) - _SHOWN} times more")
        return lines

    def _tally(self, peer: int) -> Tally:
        return self.tallies[kind_of(peer)]

    def take(self, line: str) -> None:
        """Take a line of a worker's ledger.

        The first field tells what it is about:

            a TOKEN TIME WHAT      a call, or an attempt to connect, begins
            c TOKEN TIME           it has ended as it should
            f TOKEN TIME REASON    it has failed, for a reason that is documented
            l PEER NUMBER TIME     a record is going to be logged
            s PEER COUNT           so many states of a structure, or messages, were right
            g PEER COUNT           so many messages were missed, with a reason
            m PEER COUNT           so many were missed, without one
            x WHAT: WHICH          something that should not have been
        """
        what, _, rest = line.partition(" ")
        if what == "x":
            kind, _, which = rest.partition(": ")
            self.complain(kind, which)
            return
        fields = rest.split(" ", 2)
        number = int(fields[0])
        if what == "a":
            self._tally(peer_of(number)).attempted += 1
            self._made.add(number)
            self._under_way[number] = float(fields[1]), fields[2]
        elif what in ("c", "f"):
            self._finish(what, number, fields)
        elif what == "l":
            self._tally(number).attempted += 1
            self._records.setdefault(number, _Records()).logged[int(fields[1])] = float(fields[2])
        elif what == "s":
            self._tally(number).attempted += int(fields[1])
            self._tally(number).completed += int(fields[1])
        elif what == "g":
            self._tally(number).attempted += int(fields[1])
            self._tally(number).failed[AWAY] += int(fields[1])
        elif what == "m":
            self._tally(number).attempted += int(fields[1])
            self._tally(number).lost += int(fields[1])
            self.complain("lost", f"{fields[1]} messages to peer {number}, which was connected")
        else:
            raise ValueError(f"unknown line of a ledger: {line!r}")

    def _finish(self, what: str, token: int, fields: list[str]) -> None:
        known = self._under_way.pop(token, None)
        if known is None:
            self.complain("a call ended twice, or had not begun", str(token))
            return
        begin, name = known
        tally = self._tally(peer_of(token))
        reason = fields[2] if what == "f" else None
        if reason is None:
            tally.completed += 1
            if name != "connect":
                self._answered.add(token)
        else:
            tally.failed[reason] += 1
            if reason != GIVEN_UP:
                self._failed.append((token, begin, float(fields[1]), reason))
        if float(fields[1]) - begin > HANG:
            self._slow.append((token, begin, float(fields[1]), reason))

    def executed(self, token: int) -> None:
        """Take a line of the RPC server's journal: it has begun a call."""
        if token in self._executed:
            self.complain("a call was executed twice", str(token))
        self._executed.add(token)

    def arrived(self, line: str) -> None:
        """Take a line of the log server's journal.

        r PEER NUMBER      a record has arrived
        d COUNT            a forwarder has said that it dropped so many
        x WHAT: WHICH      something else has
        """
        what, _, rest = line.partition(" ")
        if what == "r":
            peer, _, number = rest.partition(" ")
            self._records.setdefault(int(peer), _Records()).arrived[int(number)] += 1
        elif what == "d":
            self.dropped += int(rest)
        else:
            self.take(line)

    def has_arrived(self, peers: Collection[int]) -> bool:
        """Tell whether the last record that each of these peers has logged has arrived."""
        for peer in peers:
            records = self._records.get(peer)
            if records is None or not records.logged:
                return False
            if not records.arrived[max(records.logged)]:
                return False
        return True

    def attempted_calls(self) -> tuple[int, int, int]:
        """Return how much was attempted, completed, and failed until now."""
        tallies = self.tallies.values()
        return (
            sum(tally.attempted for tally in tallies),
            sum(tally.completed for tally in tallies),
            sum(tally.failed.total() for tally in tallies),
        )

    def judge(
        self,
        killed: Collection[tuple[int, int]],
        paused: Callable[[int, float, float], float],
        disturbed: Callable[[int, float, float], bool],
        excuses: Mapping[int, Excuses],
        short: Collection[int],
    ) -> None:
        """Decide what became of everything; once, when all has been taken.

        Args:
            killed: the workers that were killed, each with the number of its life.
            paused: tells for how many seconds of a time the worker of a peer was stopped.
            disturbed: tells whether anything on the way of a peer was disturbed at a time.
            excuses: when the records of a peer may be lost.
            short: peers whose queue is so short that it drops records.
        """
        for token, (begin, name) in self._under_way.items():
            tally = self._tally(peer_of(token))
            if worker_of(peer_of(token)) in killed:
                tally.failed[KILLED] += 1
            else:
                tally.lost += 1
                self.complain("lost", f"{name} {token} has not ended since {begin:.3f}")
        for token, begin, end, reason in self._slow:
            took = end - begin - paused(peer_of(token), begin, end)
            if took > HANG:
                tally = self._tally(peer_of(token))
                tally.lost += 1
                if reason is None:
                    tally.completed -= 1
                else:
                    tally.failed[reason] -= 1
                self.complain("lost", f"call {token} ended after {took:.1f} s")
        for token, begin, end, reason in self._failed:
            if not disturbed(peer_of(token), begin, end):
                self.complain(
                    "a failure without a fault", f"{reason} of call {token}, begun at {begin:.3f}"
                )
        for token in sorted(self._answered - self._executed):
            self.complain("a call was answered that the server has not executed", str(token))
        for token in sorted(self._executed - self._made):
            self.complain("a call was executed that nobody has made", str(token))
        for peer, records in self._records.items():
            self._judge_records(peer, records, excuses.get(peer, Excuses(())), peer in short)

    def _judge_records(self, peer: int, records: _Records, excuses: Excuses, short: bool) -> None:
        tally = self._tally(peer)
        for number, count in records.arrived.items():
            if number not in records.logged:
                self.complain("a log record was invented", f"{number} of peer {peer}")
            elif count > _MOST_SENDINGS:
                self.complain("a log record came too often", f"{number} of peer {peer}: {count}")
            elif count > 1 and not excuses.repeated(records.logged[number]):
                self.complain(
                    "a log record came twice without a break", f"{number} of peer {peer}"
                )
        for number, at in records.logged.items():
            if records.arrived[number]:
                tally.completed += 1
            elif excuses.lost(at):
                tally.failed[DROPPED if short else UNSENT] += 1
            else:
                tally.lost += 1
                self.complain("lost", f"log record {number} of peer {peer}, logged at {at:.3f}")
