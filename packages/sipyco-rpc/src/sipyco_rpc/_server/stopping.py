"""How a program is ended by signals: what it waits for, how long, and what ends it after that."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from sipyco_rpc.limits import KILL_DELAY
from sipyco_rpc.net.port_file import remove_port_files
from sipyco_rpc.net.signal_watch import SignalWatch
from sipyco_rpc.net.signals import SignalHandler, Terminated, shown_name
from sipyco_rpc.support.notices import say
from sipyco_rpc.support.running_method import running_method

logger = logging.getLogger("sipyco.pc_rpc")

_ANSWER: Final = 1.0  # seconds; Python code looks for signals many times in a millisecond
_LAST_WORDS: Final = 1.0  # seconds for log records; whoever takes them may be stuck as well


class ProgramSignals(SignalHandler):
    """Ends a program by signals, within a limit of time where it is not Ctrl-C.

    To be used in the loop, as `SignalHandler`, and closed when that has ended: until then a
    signal other than Ctrl-C ends the program when its time is up, whatever keeps it.

    Args:
        stop_timeout: seconds after such a signal; None for no limit.
        under_way: describes the calls that are.
    """

    def __init__(self, stop_timeout: float | None, under_way: Callable[[], str]) -> None:
        super().__init__()
        self.stop_timeout = stop_timeout
        self._under_way = under_way
        self._watch = SignalWatch(self._heard)
        self._main = threading.main_thread().ident
        self._answered = threading.Event()  # a handler has been called
        self._answered_at = -1e9  # by the clock of `monotonic`; none has been yet
        self._unanswered = 0  # signals whose handlers were not called
        self._taken = threading.Event()  # the loop has run since the last signal
        self._leaves = False  # the loop ends
        self._kept = ""  # what kept it from that, if it has been said
        self._closed = threading.Event()
        self._clock: threading.Thread | None = None
        self._time_is_up = False

    def setup(self) -> None:
        """Begin to take the signals."""
        super().setup()
        if self._previous:  # this is the main thread
            self._loop = asyncio.get_running_loop()
            self._watch.start()

    def teardown(self) -> None:
        """Give the signals back."""
        self._leaves = True
        self._taken.set()  # the loop runs this, and waits for the thread that hears of signals
        self._answered.set()
        self._watch.stop()
        super().teardown()

    def close(self) -> None:
        """The program need not be ended any more."""
        self._closed.set()

    async def wait_terminate(self) -> None:
        """Wait for one of the signals."""
        if self._watch.active:
            await self._event.wait()
        else:
            await super().wait_terminate()

    # In a fork there are no threads.

    def _before_fork(self) -> None:
        self._taken.set()  # the thread need not wait
        self._watch.pause()

    def _after_fork_in_parent(self) -> None:
        self._watch.resume()

    def _after_fork_in_child(self) -> None:
        self._closed.set()
        self._watch.abandon()
        super()._after_fork_in_child()

    # In the main thread.

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        first = self._answered_at < 0
        self._answered_at = time.monotonic()
        self._unanswered = 0
        self._answered.set()
        if first or not self._time_is_up:
            super()._on_signal(number, frame)
        if self._time_is_up and self.interruption is None and self._running_in(frame) is not None:
            self.interruption = Terminated(128 + number)
            raise self.interruption

    def _running_in(self, frame: FrameType | None) -> str | None:
        return super()._running_in(frame) or (None if self._taken.is_set() else self._kept or None)

    # In the thread that hears of signals.

    def _heard(self, number: int) -> None:
        if number not in self._previous or self._time_is_up:
            return  # it is for a handler of the program's own; or from `_interrupt`
        if number != signal.SIGINT:
            self._start_clock(number)
        if self._leaves:
            return  # the server has ended; what else keeps the program has its limit
        self._wake_loop()
        answered = self._answered.wait(_ANSWER)
        self._answered.clear()
        if self._closed.is_set() or self._leaves:
            return
        if answered or time.monotonic() - self._answered_at < 2 * _ANSWER:
            if not self._told and not self._taken.wait(_ANSWER) and self._finds_who_keeps_loop():
                limit, ends = self._limit(number), "a second signal ends it now"
                text = f"waiting{limit} for {self._kept} to return; {ends}"
                _within_limit(say, text, sys.stderr)
            return
        self._unanswered += 1
        if self._unanswered > 1:
            self._kill(number, f"a second {shown_name(number)}")
        self.caught = self.caught or shown_name(number)
        _within_limit(
            say,
            f"waiting{self._limit(number)} for {self._running() or 'the main thread'} to return "
            "from code that is not Python; a second signal ends the program at once",
            sys.stderr,
        )

    def _wake_loop(self) -> None:
        assert self._loop is not None
        self._taken = taken = threading.Event()
        try:
            self._loop.call_soon_threadsafe(taken.set)
        except RuntimeError:
            taken.set()  # it is closed
        if self._leaves:
            taken.set()  # it waits for this thread

    def _finds_who_keeps_loop(self) -> bool:
        """Note what the main thread does instead of running the loop: that can be ended, too."""
        frame = sys._current_frames().get(self._main or 0)
        if frame is None or self._taken.is_set() or self._told:
            return False
        code = frame.f_code
        self._kept = f"`{code.co_qualname}` ({code.co_filename}, line {frame.f_lineno})"
        self._told = True
        return True

    def _limit(self, number: int) -> str:
        if number == signal.SIGINT or self.stop_timeout is None:
            return ""
        return f" at most {self.stop_timeout:g} s"

    def _start_clock(self, number: int) -> None:
        if self.stop_timeout is None or self._clock is not None:
            return
        clock = threading.Thread(
            target=self._count_down, args=(number, self.stop_timeout), name="stopping", daemon=True
        )
        try:
            clock.start()
        except RuntimeError:
            return  # the next signal tries again
        self._clock = clock

    # In the thread that has the clock.

    def _count_down(self, number: int, seconds: float) -> None:
        if self._closed.wait(seconds):
            return
        name = shown_name(number)
        running = self._running()
        if running is None and self._finds_who_keeps_loop():
            running = self._kept
        _within_limit(
            logger.warning,
            "%g s have passed since %s: ending %s",
            seconds,
            name,
            running or "what is under way",
        )
        self._time_is_up = True
        if self._previous:  # signals are still ours
            self._interrupt(number)
        if not self._closed.wait(KILL_DELAY):
            self._kill(number, f"{name} {seconds + KILL_DELAY:g} s ago")

    def _interrupt(self, number: int) -> None:
        """Have the handler called once more, and what the main thread waits for interrupted."""
        if hasattr(signal, "pthread_kill") and self._main is not None:
            signal.pthread_kill(self._main, number)
        else:  # pragma: elsewhere (Windows)
            signal.raise_signal(number)

    def _running(self) -> str | None:
        """Describe what the main thread does."""
        return running_method(sys._current_frames().get(self._main or 0))

    def _kill(self, number: int, reason: str) -> None:
        """End the process here and now."""
        running = [self._running(), self._under_way(), *_threads_waited_for()]
        _within_limit(
            logger.critical,
            "ending the process, because of %s; under way: %s",
            reason,
            ", ".join(filter(None, running)) or "no call",
        )
        remove_port_files()
        _within_limit(logging.shutdown)
        os._exit(128 + number)


def _threads_waited_for() -> list[str]:
    """Name the threads without whose end a program does not end, but for the main one."""
    return [
        f"the thread `{thread.name}`"
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    ]


def _within_limit(function: Callable[..., object], *args: object) -> None:
    """Call a function that may have to wait for what the main thread holds."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return  # no thread is left
    thread.join(_LAST_WORDS)
