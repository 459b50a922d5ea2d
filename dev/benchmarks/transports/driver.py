"""What a client does in every transport. Which bytes that takes, the transports know."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

__all__ = ["HOST", "MESSAGE", "PICKLE", "Arrays", "Driver", "array_of", "timed"]

HOST: Final = "127.0.0.1"
PICKLE: Final = 5  # the protocol with buffers out of band

# What the line protocol sends for `echo(42)`: raw echoes move the same bytes.
MESSAGE: Final = b'{"action":"call","name":"echo","args":[42],"kwargs":{}}\n'


def array_of(size: int) -> Any:
    """Make an array of `size` bytes whose content no transport could compress away."""
    return np.random.default_rng(1).random(size // 8)


class Arrays:
    """The array of the size that is asked for; one is kept, as several would fill the memory."""

    def __init__(self) -> None:
        self._size = -1
        self._array: Any = None

    def of(self, size: int) -> Any:
        """Return the array of `size` bytes."""
        if self._size != size:
            self._array = None
            self._array = array_of(size)
            self._size = size
        return self._array


def timed(work: Callable[[], object], count: int) -> float:
    """Do something `count` times; return the seconds that each took."""
    begin = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - begin) / count


class Driver:
    """A client that has connected. Subclasses override what their transport can do.

    Args:
        port: of the server on this host.
        options: what else the class needs.
    """

    def __init__(self, port: int, *options: object) -> None:
        self._port = port
        self._arrays = Arrays()

    def connect_once(self) -> None:
        """Connect, make one small call, close."""
        raise NotImplementedError

    def echo_once(self) -> None:
        """Make one small call."""
        raise NotImplementedError

    def up_once(self, array: Any) -> None:
        """Send an array, and wait for the answer."""
        raise NotImplementedError

    def down_once(self, size: int) -> None:
        """Ask for an array of `size` bytes, and take it."""
        raise NotImplementedError

    def connect(self, count: int) -> float:
        """Return the seconds of a connection with one call, over `count` of them."""
        return timed(self.connect_once, count)

    def echo(self, count: int) -> float:
        """Return the seconds of a small call, over `count` of them."""
        return timed(self.echo_once, count)

    def up(self, size: int, count: int) -> float:
        """Return the seconds to send an array of `size` bytes, over `count` times."""
        array = self._arrays.of(size)
        return timed(lambda: self.up_once(array), count)

    def down(self, size: int, count: int) -> float:
        """Return the seconds to fetch an array of `size` bytes, over `count` times."""
        return timed(lambda: self.down_once(size), count)
