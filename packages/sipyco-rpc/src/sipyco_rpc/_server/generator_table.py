"""The generators that the methods called by one client have returned. No transport here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sipyco_rpc._server.generator import ServedGenerator
from sipyco_rpc._server.job import Job, is_plain_generator

if TYPE_CHECKING:
    from sipyco_rpc._server.target import Target
    from sipyco_rpc.net.sender import Sender
    from sipyco_rpc.wire.server_session import ServerSession


class GeneratorTable:
    """Has generators give their items to one client.

    Args:
        target: that of the methods.
        session: tells what the client has asked for, and makes messages of items.
        sender: takes them.
        is_open: tells whether the client can be told anything.
        replied: is called when something has been put that nobody was about to send.
        fail: answers a call, by its number, with an exception.
        failed: is called with what a generator raises after it was ended.
    """

    def __init__(
        self,
        target: Target,
        session: ServerSession,
        sender: Sender,
        is_open: Callable[[], bool],
        replied: Callable[[], None],
        fail: Callable[[int, BaseException], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._target = target
        self._session = session
        self._sender = sender
        self._is_open = is_open
        self._replied = replied
        self._fail = fail
        self._failed = failed
        self._generators: dict[int, ServedGenerator] = {}  # by the numbers of the calls
        self._unclosed: set[ServedGenerator] = set()  # those that were ended among them
        self._closed: asyncio.Future[None] | None = None  # of who waits until there are none

    def __len__(self) -> int:
        """Count those whose end the client has not been told."""
        return len(self._generators)

    @property
    def jobs(self) -> list[Job]:
        """The steps that are under way."""
        return [generator.job for generator in self._unclosed if generator.job is not None]

    def begin(self, number: int, generator: Any) -> None:
        """Answer a call with the generator that its method has returned."""
        try:
            reply = self._session.stream(number)
        except Exception as exc:  # noqa: BLE001  (it cannot be served to this client)
            close = getattr(generator, "close", None)  # asynchronous ones have none
            if close is not None:
                close()
            self._sender.put(self._session.fail(number, exc))
            return
        target = self._target
        in_thread = target.thread_lock is not None and is_plain_generator(generator)
        served = ServedGenerator(
            generator,
            target.thread_lock if in_thread else target.lock,
            target.worker() if in_thread else None,
            credit=lambda: self._session.credit[number],
            writable=lambda: self._is_open() and not self._sender.backpressured,
            item=partial(self._send_item, number),
            ended=partial(self._end, number),
            failed=self._failed,
            closed=self._close,
        )
        self._generators[number] = served
        self._unclosed.add(served)
        self._sender.put(reply)

    def resume_soon(self, number: int) -> None:
        """Let a generator go on, for which the client has asked for more; it may have ended."""
        if number in self._generators:
            self._generators[number].resume_soon()

    def resume(self) -> None:
        """Let generators go on that had to wait until something can be sent."""
        for generator in list(self._generators.values()):
            generator.resume()

    def end_after_last(self) -> None:
        """End generators when they have given what was asked for: no more requests will come."""
        for generator in list(self._generators.values()):
            generator.end_after_last()

    def cancel(self, number: int) -> None:
        """End a generator before its time; it may have ended."""
        if number in self._generators:
            self._generators[number].cancel()

    def cancel_all(self) -> None:
        """End all of them."""
        for generator in list(self._generators.values()):
            generator.cancel()

    async def wait_closed(self, timeout: float) -> None:
        """Wait until nothing of them runs, at most so many seconds."""
        if self._unclosed:
            self._closed = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._closed}, timeout=timeout)

    def _send_item(self, number: int, outcome: list[Any]) -> None:
        try:
            self._sender.put(self._session.item(number, outcome.pop()))
        except Exception as exc:  # noqa: BLE001  (whatever it is, the client is told)
            generator = self._generators.pop(number)
            self._sender.put(self._session.fail(number, exc))
            generator.cancel()
        self._replied()

    def _end(self, number: int, exc: BaseException | None) -> None:
        if self._generators.pop(number, None) is None:
            return
        if exc is not None:
            self._fail(number, exc)
        elif self._is_open():
            self._sender.put(self._session.end_stream(number))
        self._replied()

    def _close(self, generator: ServedGenerator) -> None:
        self._unclosed.discard(generator)
        self._session.stream_closed()
        if not self._unclosed and self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
