"""Makes the connection of an asyncio client that reconnects, in a task. No calls here."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from sipyco_rpc._client.attempts import ATTEMPT, SHORTEST, Attempts, is_hopeless, notify
from sipyco_rpc.net.errors import closed_by_us
from sipyco_rpc.support.lost import not_sent
from sipyco_rpc.support.process_bound import after_fork_in_child

if TYPE_CHECKING:
    from sipyco_rpc._client.aio.connection import AsyncioConnection
    from sipyco_rpc._client.attempts import StateCallback
    from sipyco_rpc.wire.client_session import ClientSession
    from sipyco_rpc.wire.session import AutoTarget

logger = logging.getLogger("sipyco.pc_rpc")

_ADVICE: Final = " (it is connected again in the background)"


class AsyncioConnector:
    """One connection at a time; as it ends, a task of the loop begins to make the next one.

    Args:
        where: the host and port, for error messages.
        target_name: which target to select; None for none yet.
        open_connection: makes a connection, with the target selected, within seconds.
        patience: seconds for which a call waits for a connection.
        timeout: for each call, in seconds, or None; the waiting is part of it.
        key: stands for the client in `call_timeout`.
        state_cb: is called in the loop, and awaited if it is a coroutine function, when there is a
            connection and when it is no more.
        session_cb: is called with this object and the session of each connection, once it has
            its target.
    """

    def __init__(
        self,
        where: str,
        target_name: str | type[AutoTarget] | None,
        open_connection: Callable[
            [str | type[AutoTarget] | None, float], Awaitable[AsyncioConnection]
        ],
        patience: float,
        timeout: float | None,
        key: object,
        state_cb: StateCallback | None,
        session_cb: Callable[[Any, ClientSession], None],
    ) -> None:
        self.where = where
        self.loop = asyncio.get_running_loop()
        self._target_name = target_name
        self._open_connection = open_connection
        self._patience = patience
        self._timeout = timeout
        self._key = key
        self._state_cb = state_cb
        self._session_cb = session_cb
        self._attempts = Attempts()
        self._closed = False
        self._forked = False
        self._current: AsyncioConnection | None = None
        self._latest: AsyncioConnection | None = None
        self._task: asyncio.Task[None] | None = None
        # What has changed and was not told yet, in a task of its own: the callback may take its
        # time, and wait for the next connection.
        self._untold: deque[tuple[bool, str]] = deque()
        self._teller: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Future[None]] = set()  # for what comes of an attempt
        after_fork_in_child(self._after_fork)

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection, and end all waiting for one. May be repeated."""
        self._closed = True
        current = _current_task()
        try:
            self._wake()
            for task in (self._task, self._teller):
                if task is not None and task is not current:
                    task.cancel()
        except RuntimeError:
            pass  # the loop is closed
        if self._current is not None:
            self._current.close(at_once=at_once)

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        if self._latest is not None:
            await self._latest.wait_closed()

    async def _connected(self, what: str, started: float) -> AsyncioConnection:
        """Wait for a connection; the time for that began when the waiting started."""
        if self._forked:
            self._forked, self.loop = False, asyncio.get_running_loop()
        elif self._latest is not None:
            self._latest.check_loop()
        while not self._closed:
            current, attempts = self._current, self._attempts
            if current is not None and current.is_open:
                return current
            failed = attempts.failed_at >= started
            if failed and attempts.failure is not None and is_hopeless(attempts.failure):
                raise attempts.failure.with_traceback(None)
            tried = failed or attempts.pause > 0
            patience = self._patience if tried else max(self._patience, SHORTEST)
            left = started + patience - time.monotonic()
            if left <= 0:
                raise attempts.away(what, self.where, self._patience)
            self._begin()
            await self._news(left)
        raise not_sent(f"{what}: {closed_by_us(self.where)}")

    async def _news(self, seconds: float) -> None:
        """Wait until an attempt has succeeded or failed, or the client is closed."""
        waiting = self.loop.create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait([waiting], timeout=seconds)
        finally:
            self._waiting.discard(waiting)

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def _begin(self) -> None:
        """Have a task connect, unless one does."""
        if self._task is None or self._task.done():
            work = _connect(ref(self))
            self._task = self.loop.create_task(work, name=f"connecting to {self.where}")

    def note_end(self, connection: AsyncioConnection) -> None:
        """Have the next connection made, now that this one has ended."""
        if connection is self._current and not self._closed:
            self._current = None
            self._attempts.lost(connection.reason)
            self._tell(False, connection.reason)
            self._begin()

    @property
    def pause(self) -> float:
        """The seconds until the next attempt."""
        return self._attempts.pause

    async def attempt(self) -> bool:
        """Try to connect; tell whether there is nothing left to be done."""
        if self._closed:
            return True
        try:
            connection = await self._open_connection(self._target_name, ATTEMPT)
        except Exception as exc:  # noqa: BLE001  (what the server raises may be anything)
            self._attempts.failed(exc)
            self._wake()
            return self._closed
        if self._closed:
            connection.close(at_once=True)
            return True
        connection.advice = _ADVICE
        if self._target_name is not None:
            self._target_name = connection.session.selected_target
        self._current = self._latest = connection
        self._attempts.succeeded()
        self._session_cb(self, connection.session)
        connection.lost.add_done_callback(partial(_note_end, ref(self), connection))
        self._wake()
        self._tell(True, f"connected to {self.where}")
        return True

    def _tell(self, connected: bool, reason: str) -> None:
        """Have a task tell of a change, after those that were before."""
        self._untold.append((connected, reason))
        if self._teller is None or self._teller.done():
            work = _tell_changes(self._untold, self._state_cb)
            self._teller = self.loop.create_task(work, name=f"telling of {self.where}")

    def _after_fork(self) -> None:
        self._attempts = Attempts()
        self._current = self._task = self._teller = None
        self._untold = deque()
        self._waiting = set()
        self._forked = True


async def _connect(this: ref[AsyncioConnector]) -> None:
    """Connect, however long it takes, as long as there is a client that needs it."""
    while True:
        lasting = this()
        if lasting is None:
            return
        pause = lasting.pause
        del lasting
        await asyncio.sleep(pause)
        lasting = this()
        if lasting is None or await lasting.attempt():
            return
        del lasting


async def _tell_changes(untold: deque[tuple[bool, str]], state_cb: StateCallback | None) -> None:
    """Call the callback for each change, and wait for it."""
    while untold:
        result = notify(state_cb, *untold.popleft())
        if not inspect.isawaitable(result):
            continue
        try:
            await result
        except (Exception, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            logger.exception("error in the callback of state changes")


def _note_end(
    this: ref[AsyncioConnector], connection: AsyncioConnection, _: asyncio.Future[None]
) -> None:
    lasting = this()
    if lasting is not None:
        lasting.note_end(connection)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no loop runs here
