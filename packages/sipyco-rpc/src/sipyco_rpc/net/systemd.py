"""What systemd asks of a service by the environment: that it is ready, and that it is alive.

It is a datagram to a socket of its own, as `sd_notify(3)` has it; no library is needed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from typing import Final

__all__ = ["ServiceManager"]

logger = logging.getLogger("sipyco.tools")

_DIGITS: Final = 20  # of a time; systemd has 64 bits for it
_SHORTEST: Final = (
    0.01  # seconds; signs of life more often than this would leave no time for calls
)


class ServiceManager:
    """Tells systemd what a service of `Type=notify` does; it does nothing where nobody asks.

    Args:
        environment: has the variables by which systemd asks: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and
            `WATCHDOG_PID`.

    Attributes:
        watchdog_interval: seconds between two signs of life, half of those that systemd waits; or
            None if it does not ask for them.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._process = os.getpid()
        self.watchdog_interval = _watchdog_interval(environment) if self._address else None
        self._clock: asyncio.TimerHandle | None = None
        self._deaf = False  # it could not be told the last time, and that was said

    def ready(self, status: str) -> None:
        """Say that the service can be used, and from now on that the running loop goes on.

        Args:
            status: a line for `systemctl status`.
        """
        self._send(f"READY=1\nSTATUS={status}")
        if self.watchdog_interval is not None:
            self._show_life(self.watchdog_interval)

    def stopping(self, status: str) -> None:
        """Say that the service ends, and why."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def close(self) -> None:
        """Give no more signs of life."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _show_life(self, interval: float) -> None:
        self._send("WATCHDOG=1")
        self._clock = asyncio.get_running_loop().call_later(interval, self._show_life, interval)

    def _send(self, message: str) -> None:
        if not self._address or os.getpid() != self._process:
            return  # a child that was forked is no service
        try:
            if not self._address.startswith(("/", "@")):
                raise OSError("expected a path, or `@` and a name")
            # What begins with a zero byte is the name of a socket that is in no directory.
            address = self._address.replace("@", "\0", 1)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # a service manager that is busy holds up nobody
                sock.sendto(message.encode(), address)
            self._deaf = False
        except (OSError, AttributeError) as exc:  # Windows has no such sockets
            level = logging.DEBUG if self._deaf else logging.WARNING
            self._deaf = True
            logger.log(
                level,
                "systemd is not told that %r: NOTIFY_SOCKET=%s: %s",
                message.partition("\n")[0],
                self._address,
                exc,
            )


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Return half of the time that systemd waits for a sign of life, if it does, in seconds."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    process = environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or len(microseconds) > _DIGITS or not int(microseconds):
        return None
    if process and process != str(os.getpid()):
        return None  # another process is meant: the variables are inherited
    return max(int(microseconds) / 1e6 / 2, _SHORTEST)
