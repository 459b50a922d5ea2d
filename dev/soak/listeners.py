"""Peers that listen, and those that log: each tells its ledger of what it has seen."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from dev.soak.callers import Situation
from dev.soak.structures import Progress, WrongState, digest, progress
from sipyco_sync.broadcast import Receiver, SubscriptionState
from sipyco_sync.sync_struct import Subscriber, ThreadSubscriber
from sipyco_tools.logging_tools import LogForwarder, SourceFilter

__all__ = ["ForwarderPeer", "ReceiverPeer", "SubscriberPeer", "ThreadSubscriberPeer"]

_RECONNECT: Final = 0.1  # seconds; the wait grows to 12 times
_TIMEOUT: Final = 3.0  # seconds for a structure to arrive at first
_COUNTED: Final = 20  # states or messages for each line of a ledger
_CLOSING: Final = 10.0  # seconds: `close` promises less, on a machine with time to spare
_LOGGED: Final = 0.05  # seconds between two records
# Records: fewer than are logged while the log server is away, and more than are logged until a
# loop that is busy comes to send them.
_SHORT_QUEUE: Final = 20


class _Listener:
    """What listeners have in common: a count of what they took.

    Attributes:
        completed: states or messages that were right.
    """

    def __init__(self, situation: Situation) -> None:
        self.completed = 0
        self._situation = situation
        self._ledger = situation.ledger
        self._counted = 0
        self._stopping = threading.Event()

    def _right(self) -> None:
        self.completed += 1
        if self.completed - self._counted >= _COUNTED:
            self._put_down()

    def _put_down(self) -> None:
        count, self._counted = self.completed - self._counted, self.completed
        self._ledger.write("s", self._situation.number, count)

    def _complain(self, what: str, which: object) -> None:
        self._ledger.write("x", f"{what}: peer {self._situation.number}: {which}")

    def _closed(self, began: float) -> None:
        took = time.monotonic() - began
        if took > _CLOSING:
            self._complain("closing took long", f"{took:.1f} s")


class _Watch(_Listener):
    """Look at each state of a copy: it must be one of the publisher's, and none goes back."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._latest: Progress | None = None

    def _look(self, structure: Any) -> None:
        # What is raised here would end the subscription.
        try:
            state = progress(structure)
        except WrongState as exc:
            self._complain("a copy was never the structure", exc)
            return
        if self._latest is not None and state < self._latest:
            self._complain("a copy went back", f"from {self._latest} to {state}")
        self._latest = state
        self._right()


class _AsyncioListener:
    """A listener whose `_listen` runs in the loop until `_end` is set."""

    def start(self) -> None:
        """Begin."""
        self._end = asyncio.Event()
        self._work = asyncio.run_coroutine_threadsafe(self._listen(), self._loop())

    def stop(self, deadline: float) -> bool:
        """End; tell whether it has ended before the deadline."""
        self._loop().call_soon_threadsafe(self._end.set)
        try:
            self._work.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return False
        return True

    async def _connect(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try to connect until it works or the peer is to end."""
        while not self._end.is_set():
            try:
                await attempt()
                return
            except OSError:
                await asyncio.sleep(_RECONNECT)

    def _loop(self) -> asyncio.AbstractEventLoop:
        raise NotImplementedError

    async def _listen(self) -> None:
        raise NotImplementedError


class SubscriberPeer(_AsyncioListener, _Watch):
    """A `Subscriber` that reconnects."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._structure: Any = None

    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._situation.loop

    def copy(self) -> tuple[str, str] | None:
        """Return the name of the structure and the digest of the copy, or None without one."""
        if self._structure is None:
            return None

        async def look() -> str:
            return digest(self._structure)

        made = asyncio.run_coroutine_threadsafe(look(), self._situation.loop).result(30)
        return self._situation.name, made

    def _build(self, structure: Any) -> Any:
        self._structure = structure
        return structure

    async def _listen(self) -> None:
        subscriber = Subscriber(
            self._situation.name,
            self._build,
            lambda mod: self._look(self._structure),
            reconnect=_RECONNECT,
        )
        place = self._situation
        await self._connect(lambda: subscriber.connect(place.host, place.port))
        ending = asyncio.ensure_future(self._end.wait())
        if not self._end.is_set():
            await asyncio.wait(
                [ending, subscriber.receive_task], return_when=asyncio.FIRST_COMPLETED
            )
            if not self._end.is_set():
                self._complain("a subscription ended", self._situation.name)
        ending.cancel()
        began = time.monotonic()
        await subscriber.close()
        self._closed(began)
        self._put_down()


class ThreadSubscriberPeer(_Watch):
    """A `ThreadSubscriber` that reconnects."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._subscriber: ThreadSubscriber | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._subscribe, daemon=True)
        self._thread.start()

    def stop(self, deadline: float) -> bool:
        """End; tell whether it has ended before the deadline."""
        self._stopping.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._subscriber is not None:
            if not self._subscriber.connected:
                self._complain("a subscription ended", self._situation.name)
            began = time.monotonic()
            self._subscriber.close()
            self._closed(began)
        self._put_down()
        return not self._thread.is_alive()

    def copy(self) -> tuple[str, str] | None:
        """Return the name of the structure and the digest of the copy, or None without one."""
        if self._subscriber is None:
            return None
        return self._situation.name, digest(self._subscriber.copy())

    def _subscribe(self) -> None:
        place = self._situation
        while self._subscriber is None and not self._stopping.is_set():
            try:
                # The state is looked at by the callback, in the subscriber's thread, where
                # nothing changes it meanwhile.
                self._subscriber = ThreadSubscriber(
                    place.host,
                    place.port,
                    place.name,
                    self._seen,
                    reconnect=_RECONNECT,
                    timeout=_TIMEOUT,
                )
            except (OSError, EOFError):
                self._stopping.wait(_RECONNECT)

    def _seen(self, mod: Any) -> None:
        if self._subscriber is not None:
            self._subscriber.wait_for(self._look_at, 0)

    def _look_at(self, structure: Any) -> bool:
        self._look(structure)
        return True


class ReceiverPeer(_AsyncioListener, _Listener):
    """A `Receiver` that reconnects."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._latest: tuple[int, int] | None = None
        self._was_away = True

    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._situation.loop

    async def _listen(self) -> None:
        receiver = Receiver(
            self._situation.name, self._take, reconnect=_RECONNECT, state_cb=self._state
        )
        place = self._situation
        await self._connect(lambda: receiver.connect(place.host, place.port))
        ending = asyncio.ensure_future(self._end.wait())
        if not self._end.is_set():
            await asyncio.wait(
                [ending, receiver.receive_task], return_when=asyncio.FIRST_COMPLETED
            )
            if not self._end.is_set():
                self._complain("a subscription ended", self._situation.name)
        ending.cancel()
        began = time.monotonic()
        await receiver.close()
        self._closed(began)
        self._put_down()

    def _state(self, state: SubscriptionState) -> None:
        if state is not SubscriptionState.connected:
            self._was_away = True

    def _take(self, message: Any) -> None:
        run, number, text = message
        if text != f"event {number} of run {run}":
            self._complain("a message was never sent", message)
            return
        latest, self._latest = self._latest, (run, number)
        away, self._was_away = self._was_away, False
        if latest is not None:
            if (run, number) <= latest:
                self._complain("a message came twice, or late", message)
            missed = number - latest[1] - 1 if run == latest[0] else number
            if missed > 0 and (away or run != latest[0]):
                self._ledger.write("g", self._situation.number, missed)
            elif missed > 0:
                self._ledger.write("m", self._situation.number, missed)
        self._right()


class ForwarderPeer(_Listener):
    """A `LogForwarder`, and a thread that logs numbers."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._quiet = threading.Event()

    def start(self) -> None:
        """Begin; in the loop."""
        number = self._situation.number
        self._forwarder = LogForwarder(
            self._situation.host,
            self._situation.port,
            reconnect_timer=2 * _RECONNECT,
            queue_size=_SHORT_QUEUE if self._situation.alternative else 1000,
        )
        self._forwarder.addFilter(SourceFilter(logging.INFO, f"peer{number}"))
        self._logger = logging.Logger(f"soak.peer{number}", logging.INFO)  # of no family
        self._logger.addHandler(self._forwarder)
        self._forwarder.start(loop=self._situation.loop)
        self._thread = threading.Thread(target=self._log, daemon=True)
        self._thread.start()

    def fall_silent(self) -> None:
        """Log no more: what was logged may arrive."""
        self._quiet.set()
        self._thread.join()

    def stop(self, deadline: float) -> bool:
        """End; tell whether it has ended before the deadline."""
        self.fall_silent()
        stopping = asyncio.run_coroutine_threadsafe(self._forwarder.stop(), self._situation.loop)
        began = time.monotonic()
        try:
            stopping.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return False
        self._closed(began)
        return True

    def _log(self) -> None:
        number = 0
        while not self._quiet.wait(_LOGGED):
            lines = 1 + number % 3  # a record of several lines must stay whole
            text = "\n".join(f"record {number} line {line} of {lines}" for line in range(lines))
            self._ledger.write("l", self._situation.number, number, time.monotonic())
            self._logger.info(text)
            number += 1
            self.completed = number
