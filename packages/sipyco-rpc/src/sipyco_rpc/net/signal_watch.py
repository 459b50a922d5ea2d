"""Hears of signals in a thread, also while the main thread is in code that is not Python.

Python calls the handlers of signals in the main thread, between two steps of Python code. What
only has to be told that there was one is told at once by this.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

__all__ = ["SignalWatch"]

_PAUSE: Final = b"\0"  # there is no signal 0


class SignalWatch:
    """Calls a function in a thread of its own for each signal that Python has a handler for.

    The function is called with the number of the signal. While a process is being forked there is
    no such thread: Python warns of forks beside threads.

    Args:
        heard: what to call.
    """

    def __init__(self, heard: Callable[[int], None]) -> None:
        self._heard = heard
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._before = -1  # whom Python told of signals before
        self._thread: threading.Thread | None = None
        self._pauses = 0  # threads may fork at the same time
        self._lock = threading.Lock()  # of these two

    @property
    def active(self) -> bool:
        """Whether signals are heard of."""
        return self._thread is not None

    def start(self) -> None:
        """Begin; it does nothing where there is no descriptor or thread left for it.

        It does nothing either in a thread that is not the main one.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            return
        theirs.setblocking(False)
        try:
            self._before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        except ValueError:  # this is not the main thread
            ours.close()
            theirs.close()
            return
        self._sockets = ours, theirs
        self._begin()
        if not self.active:
            self.stop()

    def stop(self) -> None:
        """End it, and give back what Python told of signals before. May be repeated."""
        if self._sockets is None:
            return
        with self._lock:
            self._end()
        self._forget(self._before)

    def abandon(self) -> None:
        """Stop being told of signals, in a child that was forked; its parent still is."""
        self._thread = None
        if self._sockets is not None:
            self._forget(-1)

    def pause(self) -> None:
        """End the thread; signals that come now are heard of after `resume`.

        There is one `resume` for each of these, perhaps in another order.
        """
        with self._lock:
            self._pauses += 1
            self._end()

    def resume(self) -> None:
        """Have the thread again, if there can be one, and nobody else has it paused."""
        with self._lock:
            self._pauses = max(0, self._pauses - 1)
            if not self._pauses:
                self._begin()

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and self._sockets is not None:
            while True:
                try:
                    self._sockets[1].send(_PAUSE)
                    break
                except BlockingIOError:
                    time.sleep(0.01)  # hundreds of signals are there for the thread to read
            if thread is not threading.current_thread():
                thread.join()

    def _begin(self) -> None:
        if self._sockets is None:
            return
        thread = threading.Thread(
            target=self._listen, args=(self._sockets[0],), name="signals", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            return
        self._thread = thread

    def _forget(self, before: int) -> None:
        assert self._sockets is not None
        (ours, theirs), self._sockets = self._sockets, None
        try:
            now = signal.set_wakeup_fd(-1)
            # Somebody else may have set it meanwhile.
            signal.set_wakeup_fd(before if now == theirs.fileno() else now)
        except ValueError:
            pass  # of a subinterpreter, or whom it was before has gone
        ours.close()
        theirs.close()

    def _listen(self, sock: socket.socket) -> None:
        while True:
            numbers = sock.recv(4096)
            told = numbers.replace(_PAUSE, b"")
            if told and self._before != -1:
                _forward(self._before, told)
            for number in sorted(set(told), key=told.index):
                self._heard(number)
            if _PAUSE in numbers or not numbers:
                return


def _forward(descriptor: int, numbers: bytes) -> None:
    """Tell whoever else wants to be told: event loops have a socket for it."""
    try:
        other = socket.socket(fileno=descriptor)
    except OSError:
        _write(descriptor, numbers)  # a pipe
        return
    try:
        other.send(numbers)
    except OSError:
        pass  # it has been told often enough, or does not listen any more
    finally:
        other.detach()


def _write(descriptor: int, numbers: bytes) -> None:
    try:
        os.write(descriptor, numbers)
    except OSError:
        pass  # as above
