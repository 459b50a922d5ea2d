"""Wait for the signals that ask a program to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any, Final, NoReturn

from sipyco_rpc.support.notices import say
from sipyco_rpc.support.running_method import running_method

__all__ = ["SignalHandler"]

# Windows has no SIGHUP; SIGBREAK, of Ctrl-Break, is its own.
_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SHOWN: Final = {"SIGINT": "Ctrl-C", "SIGBREAK": "Ctrl-Break"}


def shown_name(number: int) -> str:
    """Name a signal for people."""
    name = signal.Signals(number).name
    return _SHOWN.get(name, name)


class Terminated(SystemExit, KeyboardInterrupt):
    """Ends what runs in the main thread, as Ctrl-C does, with the status of another signal."""


class SignalHandler:
    """Turn SIGINT (Ctrl-C), SIGTERM and SIGHUP into an event of the running loop.

        handler = SignalHandler()
        handler.setup()
        try:
            await handler.wait_terminate()
        finally:
            handler.teardown()

    On Windows it is SIGINT, SIGTERM and SIGBREAK (Ctrl-Break). A SIGHUP that is ignored, as
    `nohup` has it, stays so.

    What is caught is printed at once. While a method of an RPC server, or anything that it waits
    for, runs in the main thread, the loop does not run, and cannot end the program: then a line
    on stderr says what it waits for, and a second signal ends that method: SIGINT by
    `KeyboardInterrupt`, others so that the program ends with 128 and the number of the signal. If
    it does not let itself be ended, a third signal kills the process. As ever in Python, code in C
    that goes on after a signal, such as that of a driver, holds all this up until it returns.

    Signals are for the main thread: in others, `setup` does nothing, and `wait_terminate` waits
    until it is cancelled.

    Attributes:
        interruption: what a second signal has raised, or None. Not every loop ends by it: those
            of uvloop log what is raised where they read.
        interrupted: what that has ended, with whose call it was, and since when.
        caught: what the first signal was, such as `Ctrl-C` or `SIGTERM`; empty before that.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._told = False  # what it waits for, and so that the next signal ends it
        self.interruption: BaseException | None = None
        self.interrupted = ""
        self.caught = ""

    def setup(self) -> None:
        """Begin to take the signals; a second call does nothing."""
        if self._previous:
            return
        _active.add(self)
        for name in _NAMES:
            number: signal.Signals | None = getattr(signal, name, None)
            if number is None:
                continue
            if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                continue  # by `nohup`: the program is to outlive its terminal
            # Not `loop.add_signal_handler`, which Windows lacks, and which does nothing while a
            # method keeps the loop from running.
            try:
                self._previous[number] = signal.signal(number, self._on_signal)
            except ValueError:
                return  # this is not the main thread

    def teardown(self) -> None:
        """Give the signals back to whom they belonged; a second call does nothing."""
        _active.discard(self)
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    async def wait_terminate(self) -> None:
        """Wait for one of the signals."""
        self._loop = asyncio.get_running_loop()
        with _woken_by_signals(self._loop) if self._previous else nullcontext():
            await self._event.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        running = self._running_in(frame)
        if self._told and running is not None:
            if self.interruption is not None:  # and has not helped
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            interrupt = number == signal.SIGINT
            self._end(running, KeyboardInterrupt() if interrupt else Terminated(128 + number))
        self.caught = self.caught or shown_name(number)
        self._set_event()
        self._say_caught(shown_name(number))
        if running is not None:
            self._told = True
            limit, ends = self._limit(number), "a second signal ends it now"
            say(f"waiting{limit} for {running} to return; {ends}", sys.stderr)

    def _running_in(self, frame: FrameType | None) -> str | None:
        """Describe what is ended by a second signal, if a frame belongs to such."""
        return running_method(frame)

    def _say_caught(self, name: str) -> None:
        """Say at once that a signal has come, for whoever may have sent it."""
        say(f"Caught {name}, terminating...", sys.stdout)

    def _limit(self, number: int) -> str:
        """Say how long it is waited for a method after a signal."""
        return ""

    def _end(self, running: str, interruption: BaseException) -> NoReturn:
        """End the method that runs in the main thread."""
        self.interruption, self.interrupted = interruption, running
        raise interruption

    def _before_fork(self) -> None:
        pass

    def _after_fork_in_parent(self) -> None:
        pass

    def _after_fork_in_child(self) -> None:
        self.teardown()

    def _set_event(self) -> None:
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._event.set)  # this also wakes the loop
                return
        except RuntimeError:
            pass  # the loop is closed already
        self._event.set()


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have signals wake a loop, as far as nothing else does.

    One that comes when the thread has just begun to wait is dealt with when that is over: without
    a descriptor for it, asyncio would wait for the next event of another kind. The other loops
    have one, and loops of Windows cannot take ours.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError:
        yield  # no descriptor is left
        return
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        except ValueError:
            yield  # this is not the main thread
            return
        if before != -1:
            signal.set_wakeup_fd(before)
            yield
            return
        loop.add_reader(ours, ours.recv, 4096)
        try:
            yield
        finally:
            now = signal.set_wakeup_fd(-1)
            if now != theirs.fileno():
                signal.set_wakeup_fd(now)  # somebody else has set it meanwhile
            if not loop.is_closed():
                loop.remove_reader(ours)


# A child that is forked has no loop to be told of the signals, and could not be ended by them. One
# that comes before the child has given them back has to wait: Python would drop it.
_active: Final[set[SignalHandler]] = set()
_masks: Final[dict[int, set[Any]]] = {}  # of the threads that are forking


def _before_fork() -> None:
    for handler in list(_active):
        handler._before_fork()
    if _active:
        numbers = {getattr(signal, name) for name in _NAMES if hasattr(signal, name)}
        _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


def _after_fork_in_parent() -> None:
    _unblock()
    for handler in list(_active):
        handler._after_fork_in_parent()


def _unblock() -> None:
    mask = _masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    for handler in list(_active):
        handler._after_fork_in_child()
    _unblock()
    _masks.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
