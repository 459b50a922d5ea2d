"""Peers that call tell their ledger of every call, before it and after it. No clients here."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from random import Random
from typing import Any, Final, NamedTuple

from dev.soak.accounts import GIVEN_UP
from dev.soak.ledger import Ledger
from dev.soak.peers import token_of
from dev.soak.targets import Operation, choose, is_right

__all__ = ["SHARING", "TIMEOUT", "Caller", "Situation"]

TIMEOUT: Final = 3.0  # seconds; no fault lasts longer, but several may follow each other
SHARING: Final = 2  # threads or tasks that share a client

_PAUSE: Final = (0.03, 0.2)  # seconds between two calls of one thread or task
_RETRY: Final = (0.05, 0.3)  # seconds until another attempt to connect
_CLOSING: Final = 10.0  # seconds: `close_rpc` promises about one, on a machine with time to spare


# What a client may raise when its connection breaks: see the documentation of `Client`.
_DOCUMENTED: Final = (TimeoutError, EOFError, ConnectionError)


class Situation(NamedTuple):
    """What a peer needs to know.

    Attributes:
        number: of the peer.
        host, port: where it connects to.
        name: of what it subscribes to.
        frames: whether its RPC server has them.
        alternative: whether it does some things in another way than others of its kind.
        ledger: takes its account.
        loop: in which its coroutines run.
    """

    number: int
    host: str
    port: int
    name: str
    frames: bool
    alternative: bool
    ledger: Ledger
    loop: asyncio.AbstractEventLoop


class Caller:
    """What callers have in common: tokens, and the account of each call.

    Attributes:
        completed: calls that have ended as they should.
    """

    def __init__(self, situation: Situation) -> None:
        self.completed = 0
        self._situation = situation
        self._ledger = situation.ledger
        self._random = Random(situation.number)  # noqa: S311  (no secret)
        self._tokens = map(token_of, itertools.repeat(situation.number), itertools.count())
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin."""
        raise NotImplementedError

    def stop(self, deadline: float) -> bool:
        """End, from another thread than that of the loop; tell whether all calls have ended.

        Args:
            deadline: until when to wait for them, by the monotonic clock.
        """
        raise NotImplementedError

    def _begin(self, what: str) -> int:
        token = next(self._tokens)
        self._ledger.write("a", token, time.monotonic(), what)
        return token

    def _operation(self) -> Operation:
        operation = choose(self._random, next(self._tokens), frames=self._situation.frames)
        self._ledger.write("a", operation.token, time.monotonic(), operation.method)
        return operation

    def _succeed(self, token: int) -> None:
        self._ledger.write("c", token, time.monotonic())
        self.completed += 1

    def _fail(self, token: int, reason: str) -> None:
        self._ledger.write("f", token, time.monotonic(), reason)

    def _settle(self, operation: Operation, answer: Any) -> None:
        """Put down what a call has returned."""
        if is_right(operation, answer):
            self._succeed(operation.token)
        else:
            self._ledger.write("x", f"a wrong answer: to {operation!r:.200}: {answer!r:.200}")
            self._fail(operation.token, "wrong answer")

    def _give_reason(self, token: int, exc: Exception) -> None:
        """Put down why a call has failed."""
        if not isinstance(exc, _DOCUMENTED):
            self._ledger.write("x", f"an unknown failure: of {token}: {exc!r:.500}")
        self._fail(token, type(exc).__name__)

    def _patience(self, operation: Operation, exc: Exception) -> bool:
        """Put down that a call has timed out as its caller wanted; or tell that it has not."""
        if operation.patience is None or not isinstance(exc, TimeoutError):
            return False
        self._fail(operation.token, GIVEN_UP)
        return True

    def _closed(self, began: float) -> None:
        took = time.monotonic() - began
        if took > _CLOSING:
            self._ledger.write("x", f"closing took long: peer {self._situation.number}: {took} s")

    def _pause(self, connected: bool) -> float:
        return self._random.uniform(*(_PAUSE if connected else _RETRY))
