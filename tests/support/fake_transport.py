"""A transport without a socket, for tests of what a `Sender` writes and when."""

from __future__ import annotations

from typing import Any

from sipyco_rpc.net.sender import Sender


class FakeTransport:
    """Keeps what it is given, as transports may.

    Args:
        writes: so many of them it takes, as the network does; then its sender has to wait.

    Attributes:
        written: what was written, as it was given.
        size: how many bytes that was then.
        sender: whom to tell that no more is taken.
    """

    def __init__(self, writes: int | None = None) -> None:
        self.written: list[Any] = []
        self.size = 0
        self.sender: Sender
        self._left = writes

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def get_extra_info(self, name: str) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        self.written.append(data)
        self.size += len(data)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.sender.pause()
