"""The command: how long, which seed, how many peers, and what is printed."""

from __future__ import annotations

import argparse
import faulthandler
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from dev.benchmarks.children import ChildError
from dev.soak.conductor import Conductor
from dev.soak.peers import MOST_PEERS
from dev.soak.report import is_good, report

__all__ = ["main"]

_EPILOG: Final = """\
what runs
  An RPC server that serves in four ways, a publisher with a broadcaster, a log server, and for
  each ten peers a process: 3 Client, 2 AsyncioClient, and 1 of BestEffortClient, Subscriber,
  ThreadSubscriber, Receiver and LogForwarder. Half of them connect through links that can be
  spoiled. The first ten peers are one of each.

what is done to it
  In phases, with quiet between them: processes are killed (SIGKILL), restarted and paused
  (SIGSTOP); links are cut, reset, slowed, stalled, truncated, and split into small writes. The
  seed decides what happens and when; --seed repeats it, as far as the machine does.

what is checked
  Every call is written down before and after it, and by the server. It completes with the right
  answer, fails for a documented reason while something is wrong on its way, or is lost: none may
  be, and no call may be executed twice or answered without. Every copy seen was a state of the
  structure, none goes back, and all are equal to it in the end. Messages come in order, and are
  missed only while a receiver was away. Log records arrive unchanged, and are lost only in the
  buffers of the system when a connection breaks, or out of a full queue. All peers are back within
  15 s of quiet. Memory, descriptors, threads and tasks of each process are compared between an
  early and a late quiet moment of its life, and must be flat. Nothing of the library may log an
  error.

exit status
  0 if all that held; 1 if not; 2 for a wrong command line; 130 after Ctrl-C, with what there was
  until then. A second Ctrl-C ends all processes at once.

examples
  hatch run soak
  hatch run soak --minutes 10
  hatch run soak --seed 7 --keep /tmp/soak    the same faults again, with the files of the run
"""

# When a run that does not end is ended: its quiet times and its end wait for others.
_STRETCHED: Final = 1.3  # times its seconds
_FOR_THE_REST: Final = 150.0  # seconds
_LINE: Final = 10.0  # seconds between two lines where nobody watches


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="soak",
        description="Run servers and peers in many processes, do harm to them, and check that\n"
        "the library has kept its word.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--minutes", type=float, default=1.0, metavar="N", help="how long (default: 1)")
    add("--seed", type=int, metavar="N", help="decides on the faults (default: another each time)")
    add("--clients", type=int, default=50, metavar="N", help="peers in all (default: 50)")
    add("--keep", metavar="DIR", help="put the files of the run there, and leave them")
    return parser


class _Progress:
    """One line that changes on a terminal, and lines now and then elsewhere."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._said = 0.0
        self._beginning = ""

    def say(self, text: str, keep: bool) -> None:
        """Say what happens.

        Args:
            text: what.
            keep: whether it is said even where lines are rare.
        """
        now = time.monotonic()
        line = f"{now - self._began:5.0f} s  {text}"
        if self._terminal:
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
            print(f"\r{line[:width]}\x1b[K", end="", file=sys.stderr, flush=True)
            return
        beginning = text.partition(":")[0]
        if keep or beginning != self._beginning or now - self._said >= _LINE:
            self._said, self._beginning = now, beginning
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: of the command line; those of the process by default.

    Returns:
        the exit status.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if not 0.05 <= options.minutes <= 24 * 60:
        parser.error(f"--minutes must be from 0.05 to 1440, got {options.minutes:g}")
    if not 1 <= options.clients <= MOST_PEERS:
        parser.error(f"--clients must be from 1 to {MOST_PEERS}, got {options.clients}")
    if not hasattr(signal, "SIGSTOP") or not Path("/proc/self/statm").exists():
        parser.error("this needs Linux: SIGSTOP, and what /proc tells of processes")
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    stop = threading.Event()
    progress = _Progress()
    with ExitStack() as stack:
        if options.keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        else:
            folder = Path(options.keep)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                parser.error(f"--keep needs a directory: {exc}")
            if any(folder.iterdir()):
                parser.error(f"--keep needs an empty directory, got {folder}")
        print(f"seed {seed}", file=sys.stderr, flush=True)
        conductor = Conductor(
            seed, options.minutes * 60, options.clients, folder, progress.say, stop
        )
        signals = _Signals(stop, stack)
        watchdog = threading.Timer(
            options.minutes * 60 * _STRETCHED + _FOR_THE_REST, _too_late, args=(conductor,)
        )
        watchdog.daemon = True
        watchdog.start()
        stack.callback(watchdog.cancel)
        try:
            outcome = conductor.run()
        except KeyboardInterrupt:
            conductor.laboratory.kill()
            progress.end()
            print("interrupted; all processes have been ended", file=sys.stderr)
            return 130
        except (ChildError, OSError) as exc:
            progress.end()
            print(f"soak: cannot run: {exc}", file=sys.stderr)
            return 1
        progress.end()
        print(report(outcome), flush=True)
        if signals.received:
            return 128 + signals.received
        return 0 if is_good(outcome) else 1


class _Signals:
    """The first Ctrl-C or SIGTERM ends the run in an orderly way, the second one at once.

    Attributes:
        received: the number of the first, or 0.
    """

    def __init__(self, stop: threading.Event, stack: ExitStack) -> None:
        self.received = 0
        self._stop = stop
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, self._take))

    def _take(self, number: int, frame: object) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = number
        self._stop.set()


def _too_late(conductor: Conductor) -> None:
    """End a run that does not end by itself."""
    print("\nsoak: the run does not end; this is where it is:", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(all_threads=True)
    conductor.laboratory.kill()
    os._exit(1)
