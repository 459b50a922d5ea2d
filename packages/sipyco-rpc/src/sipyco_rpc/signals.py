"""Wait for the signals that ask a program to end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

__all__ = ["SignalHandler"]

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class SignalHandler:
    """Turn SIGINT (Ctrl-C), SIGTERM and SIGHUP into an event of the running loop.

        handler = SignalHandler()
        handler.setup()
        try:
            await handler.wait_terminate()
        finally:
            handler.teardown()

    Works in the main thread only, as signals do.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def setup(self) -> None:
        """Begin to take the signals; a second call does nothing."""
        if self._previous:
            return
        _active.add(self)
        for name in _NAMES:
            number: signal.Signals | None = getattr(signal, name, None)
            if number is not None:
                # Not `loop.add_signal_handler`, which Windows lacks. The handler wakes the loop
                # through the descriptor that asyncio has set for it, or at the next event.
                self._previous[number] = signal.signal(number, self._on_signal)

    def teardown(self) -> None:
        """Give the signals back to whom they belonged; a second call does nothing."""
        _active.discard(self)
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    async def wait_terminate(self) -> None:
        """Wait for one of the signals."""
        self._loop = asyncio.get_running_loop()
        await self._event.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        set_event: Callable[[], None] = self._event.set
        if self._loop is None:
            set_event()
            return
        try:
            self._loop.call_soon_threadsafe(set_event)  # this also wakes the loop
        except RuntimeError:
            set_event()  # the loop is closed already


# A child that is forked has no loop to be told of the signals, and could not be ended by them. One
# that comes before the child has given them back has to wait: Python would drop it.
_active: Final[set[SignalHandler]] = set()
_masks: Final[dict[int, set[Any]]] = {}  # of the threads that are forking


def _before_fork() -> None:
    if _active:
        numbers = {getattr(signal, name) for name in _NAMES if hasattr(signal, name)}
        _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


def _after_fork_in_parent() -> None:
    mask = _masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    for handler in list(_active):
        handler.teardown()
    _after_fork_in_parent()
    _masks.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
