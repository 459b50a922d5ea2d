"""How often methods are called, how long they run, which calls are under way. No bytes here."""

from __future__ import annotations

import asyncio
import time
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sipyco_rpc.limits import MAX_COUNTED_METHODS, MAX_COUNTED_NAME
from sipyco_rpc.support.quoting import call_text, excerpt, short_repr
from sipyco_rpc.support.running_method import describe_call
from sipyco_rpc.wire.requests import CallRequest, SetPropertyRequest

if TYPE_CHECKING:
    from sipyco_rpc.wire.requests import GetPropertyRequest


class MethodCounts:
    """What there is to count of the calls of one method.

    Attributes:
        calls: that were begun, or wait to be.
        errors: of them, those that raised an exception, or whose reply could not be encoded.
        cancelled: of them, those that were cancelled, or whose client went away before their turn.
        items: that generators have given.
        seconds: for which they ran, all together; waiting for the lock does not count.
        longest: the longest time without a pause, in seconds.
    """

    __slots__ = ("calls", "cancelled", "errors", "items", "longest", "seconds")

    def __init__(self) -> None:
        self.calls = self.errors = self.cancelled = self.items = 0
        self.seconds = self.longest = 0.0

    def ran(self, seconds: float) -> None:
        """Note for how long a method, or a step of its generator, ran."""
        self.seconds += seconds
        if seconds > self.longest:
            self.longest = seconds

    def status(self) -> dict[str, Any]:
        """Return them as plain values."""
        return {
            "calls": self.calls,
            "errors": self.errors,
            "cancelled": self.cancelled,
            "items": self.items,
            "total_seconds": self.seconds,
            "longest_seconds": self.longest,
        }


class TargetCalls(dict[str, MethodCounts]):
    """The counts of the methods of a target, by their names, for all clients together.

    Args:
        target_name: what the target is selected by.

    Attributes:
        under_way: the calls that have not ended, the oldest first.
    """

    __slots__ = ("target_name", "under_way")

    def __init__(self, target_name: str = "") -> None:
        super().__init__()
        self.target_name = target_name
        self.under_way: dict[CallRecord, None] = {}

    def __missing__(self, name: str) -> MethodCounts:
        # A client that is relayed may have any.
        if len(self) >= MAX_COUNTED_METHODS or len(name) > MAX_COUNTED_NAME:
            name = "(others)"
        return self.setdefault(name, MethodCounts())

    def status(self) -> dict[str, Any]:
        """Return the counts, and the calls that are under way, as plain values."""
        now = perf_counter()
        return {
            "methods": {name: counts.status() for name, counts in self.items()},
            "under_way": [record.status(now) for record in self.under_way],
        }


class CallRecord:
    """A call that is under way, or a property that is read or set: of what, for whom, since when.

    It is there until the call has been answered; if it was cancelled and a thread still runs the
    method, until that has returned.

    Args:
        calls: of the target.
        request: the call.
        client: who has asked for it.
        running_since: when it was begun, by `perf_counter`; None if that is still to come.

    Attributes:
        name: of the method, or property.
        is_call: it is the call of a method, which may return a generator.
    """

    __slots__ = (
        "_calls",
        "_client",
        "_counts",
        "_ended",
        "_generator",
        "_request",
        "_running_since",
        "_since",
        "is_call",
        "name",
    )

    def __init__(
        self,
        calls: TargetCalls,
        request: CallRequest | GetPropertyRequest | SetPropertyRequest,
        client: str,
        running_since: float | None = None,
    ) -> None:
        self._calls = calls
        self._request: CallRequest | GetPropertyRequest | SetPropertyRequest | str = request
        self.is_call = type(request) is CallRequest
        self.name = request.name
        self._client = client
        self._counts = counts = calls[request.name]
        counts.calls += 1
        self._running_since = running_since
        self._since = perf_counter() if running_since is None else running_since
        self._generator = False
        self._ended = False
        calls.under_way[self] = None

    def run(self) -> None:
        """It has its lock, and runs from now on."""
        self._running_since = perf_counter()
        if self._ended:  # a generator cleans up
            self._calls.under_way[self] = None

    def pause(self) -> None:
        """It does not run any more; of a generator, a step has ended."""
        since = self._running_since
        if since is not None:
            self._running_since = None
            self._counts.ran(perf_counter() - since)
        if self._ended:
            self._calls.under_way.pop(self, None)

    def generates(self) -> None:
        """It has returned a generator."""
        self._generator = True
        self._request = self.text()  # the arguments need not live as long

    def item_sent(self) -> None:
        """An item of the generator has been sent."""
        self._counts.items += 1

    def end(self, exc: BaseException | None = None) -> None:
        """It has been answered: with its value, or with an exception."""
        if self._ended:
            return
        self._ended = True
        if exc is not None:
            if isinstance(exc, asyncio.CancelledError):
                self._counts.cancelled += 1
            else:
                self._counts.errors += 1
        if self._running_since is None:
            self._calls.under_way.pop(self, None)

    def text(self) -> str:
        """Return the call with its arguments shortened, or the property and what it is set to."""
        request = self._request
        if isinstance(request, str):
            return request
        if isinstance(request, CallRequest):
            return call_text(*request)
        name = excerpt(request.name)
        if isinstance(request, SetPropertyRequest):
            return f"{name} = {short_repr(request.value)}"
        return name

    @property
    def suspended(self) -> bool:
        """Whether nothing of it runs: it is a generator that waits for its client."""
        return self._generator and self._running_since is None

    def describe(self) -> str:
        """Say in a log record what it is, whose, and since when."""
        name = f"`{self._calls.target_name}.{excerpt(self.name, MAX_COUNTED_NAME)}`"
        if self._running_since is None:
            return describe_call(name, self._client, self._since, "waiting")
        return describe_call(name, self._client, self._running_since)

    def status(self, now: float) -> dict[str, Any]:
        """Return it as plain values; `now` is by `perf_counter`."""
        if self._running_since is None:
            state = "suspended" if self._generator else "waiting"
        else:
            state = "ending" if self._ended else "running"
        running = None if self._running_since is None else now - self._running_since
        return {
            "method": excerpt(self.name, MAX_COUNTED_NAME),
            "client": self._client,
            "state": state,
            "since": time.time() - (now - self._since),
            "seconds": now - self._since,
            "running_seconds": running,
        }
