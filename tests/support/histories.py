"""What clients and a server did, in order, and whether it keeps the contract. No sockets here."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sipyco_rpc.pc_rpc import GenericRemoteException


@dataclass(frozen=True)
class Connected:
    """A client has a connection, or is one that makes do without."""

    client: str
    best_effort: bool = False


@dataclass(frozen=True)
class Refused:
    """A client could not be made."""

    client: str
    error: BaseException
    best_effort: bool = False


@dataclass(frozen=True)
class Begun:
    """A call was begun. Its token is that of no other.

    `size` is that of the data that it takes there and back, `items` how many a generator is to
    give, if it is the call of one. `limited` and `cancelled` tell what its caller may do to it.
    """

    client: str
    token: int
    size: int = 0
    items: int = 0
    limited: bool = False
    cancelled: bool = False


@dataclass(frozen=True)
class Executed:
    """The server has begun to do what a call asks for."""

    token: int


@dataclass(frozen=True)
class Answered:
    """A call has returned."""

    client: str
    token: int
    value: Any


@dataclass(frozen=True)
class Failed:
    """A call has raised."""

    client: str
    token: int
    error: BaseException


@dataclass(frozen=True)
class Closing:
    """A client is told to close."""

    client: str


@dataclass(frozen=True)
class Closed:
    """That has returned."""

    client: str


Event: TypeAlias = Connected | Refused | Begun | Executed | Answered | Failed | Closing | Closed


class Recorder:
    """Takes events from any thread, in the order in which they come."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._lock = threading.Lock()

    def put(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)


def data_of(token: int, size: int) -> bytes:
    """Give the data that a call takes there and back: no two calls have the same."""
    return (token.to_bytes(4, "big") * (size // 4 + 1))[:size]


def answer_of(call: Begun) -> Any:
    """Give the right answer to a call."""
    if call.items:
        return [(call.token, index) for index in range(call.items)]
    return call.token, data_of(call.token, call.size)


def judge(history: Sequence[Event]) -> list[str]:
    """Tell in which ways a history breaks the contract; in none, if it is right.

    1. Every call comes to one end, after its beginning: it returns or raises.
    2. What it returns is its own answer. A `BestEffortClient` may return None in place of it, or
       the first of the items of a generator.
    3. Nothing is executed twice, and nothing that was not asked for before.
    4. A call that has its answer was executed, before that.
    5. A call that raises says why, and with what its client documents: `EOFError` or
       `ConnectionError`; `TimeoutError` if it had a limit; `CancelledError` if it was cancelled.
       That of a `BestEffortClient` raises `TimeoutError` only. Any may raise that the server has
       cancelled it, as it has seen the end of what the client sends: if its turn had not come, or
       if it is a generator, whose client cannot ask for more.
    6. A client whose call has raised `EOFError` or `ConnectionError` is closed for good: every
       call that is begun after that raises `ConnectionError`. (Not a `BestEffortClient`.)
    7. Closing returns. Calls that are begun after that raise `ConnectionError`; those of a
       `BestEffortClient` return None, or give no items.
    8. A client that cannot be made says why, by an `OSError` or `EOFError`; a `BestEffortClient`
       can always be made.
    """
    return _Judge(history).verdict


def _is_remote_cancellation(error: BaseException) -> bool:
    text = "asyncio.exceptions.CancelledError"
    return isinstance(error, GenericRemoteException) and str(error).startswith(text)


class _Judge:
    """Reads a history once, and keeps what the rules need to know of the past."""

    def __init__(self, history: Sequence[Event]) -> None:
        self.verdict: list[str] = []
        self._best_effort: set[str] = set()
        self._calls: dict[int, Begun] = {}
        self._late: dict[int, str] = {}  # why calls must fail that were begun too late
        self._executed: Counter[int] = Counter()
        self._ended: Counter[int] = Counter()
        self._over: dict[str, str] = {}  # why there is no more of a client
        self._closing: dict[str, bool] = {}  # and whether that has returned
        for event in history:
            self._look_at(event)
        for token, call in self._calls.items():
            if not self._ended[token]:
                self._complain(f"call {token} of {call.client} has no end")
        for client, closed in self._closing.items():
            if not closed:
                self._complain(f"closing {client} does not return")

    def _complain(self, text: str) -> None:
        self.verdict.append(text)

    def _look_at(self, event: Event) -> None:
        match event:
            case Connected(client, best_effort):
                if best_effort:
                    self._best_effort.add(client)
            case Refused(client, error, best_effort):
                if best_effort or not isinstance(error, (OSError, EOFError)) or not str(error):
                    self._complain(f"{client} cannot be made: {error!r}")
            case Begun():
                self._calls[event.token] = event
                if event.client in self._over:
                    self._late[event.token] = self._over[event.client]
            case Executed(token):
                self._executed[token] += 1
                if token not in self._calls:
                    self._complain(f"{token} is executed, but nobody has asked for it")
                elif self._executed[token] == 2:
                    self._complain(f"call {token} is executed twice")
            case Answered(client, token, value):
                if self._ends(client, token):
                    self._look_at_answer(self._calls[token], value)
            case Failed(client, token, error):
                if self._ends(client, token):
                    self._look_at_failure(self._calls[token], error)
            case Closing(client):
                self._closing.setdefault(client, False)
            case Closed(client):
                self._closing[client] = True
                self._over[client] = "it is closed"

    def _ends(self, client: str, token: int) -> bool:
        """Note the end of a call; tell whether it is one of its client."""
        self._ended[token] += 1
        call = self._calls.get(token)
        if call is None or call.client != client:
            self._complain(f"{client} gets the end of call {token}, which it has not begun")
            return False
        if self._ended[token] == 2:
            self._complain(f"call {token} ends twice")
        return True

    def _look_at_answer(self, call: Begun, value: Any) -> None:
        client, token, right = call.client, call.token, answer_of(call)
        best_effort = client in self._best_effort
        if best_effort and (value is None or (call.items and value == [])):
            return
        if token in self._late:
            self._complain(f"call {token} of {client} is answered, but {self._late[token]}")
        some = best_effort and call.items and isinstance(value, list)
        if value != (right[: len(value)] if some else right):
            self._complain(f"call {token} of {client} gets {value!r:.60}, not {right!r:.60}")
        if not self._executed[token] and value:
            self._complain(f"call {token} of {client} is answered, but not executed")

    def _look_at_failure(self, call: Begun, error: BaseException) -> None:
        client, token = call.client, call.token
        allowed: list[type[BaseException]] = [TimeoutError] if call.limited else []
        if client not in self._best_effort:
            allowed += [EOFError, ConnectionError]
            allowed += [asyncio.CancelledError] if call.cancelled else []
        if _is_remote_cancellation(error) and (call.items or not self._executed[token]):
            allowed.append(GenericRemoteException)
        if token in self._late:
            allowed = [] if client in self._best_effort else [ConnectionError]
        told = str(error) or isinstance(error, asyncio.CancelledError)
        if not told or not isinstance(error, tuple(allowed)):
            late = f", but {self._late[token]}" if token in self._late else ""
            self._complain(f"call {token} of {client} raises {error!r}{late}")
        if isinstance(error, (EOFError, ConnectionError)) and client not in self._best_effort:
            self._over.setdefault(client, "its connection was lost earlier")
