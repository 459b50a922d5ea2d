"""Connections to hosts of which some addresses may be dead. No asyncio, no TLS, no protocol here.

Each address gets a head start before the next one is tried as well, and the first that answers is
taken ("happy eyeballs", RFC 8305).
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from itertools import zip_longest

from sipyco_rpc.limits import HEAD_START
from sipyco_rpc.net.errors import connect_error, system_reason, timeout_error
from sipyco_rpc.support.validation import check_host, checked_port, checked_timeout, format_address

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final, TypeAlias

    # The family, and the address as that has it.
    Address: TypeAlias = tuple[int, tuple[Any, ...]]


# One that takes no descriptor of its own: there may be none left. Windows has no poll.
Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)

_LOOK: Final = 0.1  # seconds until it is asked whether the connection is wanted any more

_DEFAULT: Final = object()  # for a parameter of which None means something

# What the systems say of a connection that is being made.
_UNDER_WAY: Final = (BlockingIOError, InterruptedError)


def addresses_of(found: Iterable[tuple[Any, ...]]) -> list[Address]:
    """Give the addresses that were found, one family and the other in turn, the first one first.

    Args:
        found: what `getaddrinfo` gives.

    Raises:
        OSError: there are none.
    """
    families: dict[int, list[Address]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, []).append((family, address))
    addresses = [found for row in zip_longest(*families.values()) for found in row if found]
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "no addresses were found")
    return addresses


class Attempt:
    """What is tried to reach a host, and what came of it; the same for each way of waiting.

    Attributes:
        where: the host and port, for errors.
        addresses: those of the host, in the order in which they are tried.
        errors: of those that have failed.
    """

    def __init__(self, host: str, port: int, timeout: float | None) -> None:
        check_host(host)
        self.port = checked_port(port)
        self.timeout = checked_timeout(timeout)
        self.where = format_address(host, self.port)
        self.addresses: list[Address] = []
        self.errors: dict[Address, OSError] = {}
        self._started = time.monotonic()

    @property
    def head_start(self) -> float:
        """The seconds before the next address: each gets its chance within the timeout."""
        if self.timeout is None:
            return HEAD_START
        return min(HEAD_START, self.timeout / len(self.addresses))

    def failed(self) -> OSError:
        """Make one error of those of all addresses; it has the class of the last one's."""
        return connect_error(self.errors[self.addresses[-1]], self.where, self._details())

    def too_late(self) -> TimeoutError:
        """Make the error of a connection that took too long."""
        return timeout_error("connecting", self.where, self._started, self._details())

    def _details(self) -> str:
        """Tell what came of each address, if there are several."""
        if len(self.addresses) < 2:
            return ""
        outcomes = []
        for address in self.addresses:
            exc = self.errors.get(address)
            outcomes.append(
                f"{address[1][0]}: {'no answer' if exc is None else system_reason(exc)}"
            )
        return f" ({'; '.join(outcomes)})"


def open_socket(
    host: str,
    port: int,
    timeout: Any = _DEFAULT,
    source_address: tuple[str, int] | None = None,
    abandoned: Callable[[], bool] | None = None,
) -> socket.socket:
    """Connect to a host.

    Args:
        host: name or address of the other side.
        port: its TCP port.
        timeout: for all its addresses together, in seconds, and then that of the socket; None for
            none; by default that of `socket.setdefaulttimeout`.
        source_address: this end of the connection, or None for what the system gives it.
        abandoned: tells, now and then, whether nobody wants the connection any more.

    Raises:
        ValueError: an argument makes no sense.
        OSError: no connection could be made; the text tells what came of which address.
    """
    if timeout is _DEFAULT:
        timeout = socket.getdefaulttimeout()
    attempt = Attempt(host, port, timeout)
    try:
        found = socket.getaddrinfo(host, attempt.port, type=socket.SOCK_STREAM)
        attempt.addresses = addresses_of(found)
    except socket.gaierror as exc:
        raise connect_error(exc, attempt.where) from exc
    race = _Race(attempt, source_address, abandoned or (lambda: False))
    try:
        sock = race.run()
    finally:
        race.close()
    if sock is not None:
        sock.settimeout(attempt.timeout)
        return sock
    raise attempt.too_late() if race.waiting_for else attempt.failed()


class _Race:
    """Connections to all addresses of a host that are being made, until one of them is."""

    def __init__(
        self,
        attempt: Attempt,
        source_address: tuple[str, int] | None,
        abandoned: Callable[[], bool],
    ) -> None:
        self._abandoned = abandoned
        self.waiting_for: dict[socket.socket, Address] = {}
        self._attempt = attempt
        self._source_address = source_address
        self._untried = attempt.addresses[::-1]
        timeout = attempt.timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._selector = Selector()

    def run(self) -> socket.socket | None:
        """Return the first connection that is made; None if there is none, or not in time."""
        next_start = 0.0
        while self._untried or self.waiting_for:
            now = time.monotonic()
            late = self._deadline is not None and now >= self._deadline
            if (late or self._abandoned()) and self.waiting_for:
                return None
            if self._untried and (now >= next_start or not self.waiting_for):
                next_start = now + self._attempt.head_start
                sock = self._start(self._untried.pop())
            else:
                sock = self._wait(next_start if self._untried else None, now)
            if sock is not None:
                return sock
        return None

    def _start(self, address: Address) -> socket.socket | None:
        """Begin with an address; return the socket if it is connected at once."""
        family, where = address
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as exc:
            self._attempt.errors[address] = exc
            return None
        self.waiting_for[sock] = address
        try:
            sock.setblocking(False)
            if self._source_address is not None:
                sock.bind(self._source_address)
            sock.connect(where)
        except _UNDER_WAY:
            self._selector.register(sock, selectors.EVENT_WRITE, sock)
            return None
        except OSError as exc:
            self._failed(sock, exc)
            return None
        del self.waiting_for[sock]
        return sock

    def _wait(self, until: float | None, now: float) -> socket.socket | None:
        """Wait for one of the connections, no longer than until a time, or for a moment."""
        ends = [end for end in (until, self._deadline) if end is not None]
        patience = max(0.0, min([now + _LOOK, *ends]) - now)
        for key, _ in self._selector.select(patience):
            sock: socket.socket = key.data
            self._selector.unregister(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number == 0:
                del self.waiting_for[sock]
                return sock
            self._failed(sock, OSError(number, os.strerror(number)))
        return None

    def _failed(self, sock: socket.socket, exc: OSError) -> None:
        self._attempt.errors[self.waiting_for.pop(sock)] = exc
        sock.close()

    def close(self) -> None:
        """Close all connections but the one that was returned."""
        self._selector.close()
        for sock in list(self.waiting_for):
            sock.close()
