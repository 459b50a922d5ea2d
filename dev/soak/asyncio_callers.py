"""Peers whose calls are made in tasks. What becomes of the calls, `callers` writes down."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from dev.soak.callers import SHARING, TIMEOUT, Caller, Situation
from dev.soak.targets import NAME, Operation
from sipyco_rpc.pc_rpc import AsyncioClient

__all__ = ["AsyncioCaller"]


class AsyncioCaller(Caller):
    """Two tasks that share an `AsyncioClient`, and make another one when it breaks.

    Some have one that connects again by itself.
    """

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._client: AsyncioClient | None = None

    def start(self) -> None:
        self._lock = asyncio.Lock()
        self._work = asyncio.run_coroutine_threadsafe(self._run(), self._situation.loop)

    def stop(self, deadline: float) -> bool:
        self._stopping.set()
        try:
            self._work.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return False
        return True

    async def _run(self) -> None:
        await asyncio.gather(*(self._call() for _ in range(SHARING)))
        if self._client is not None:
            began = time.monotonic()
            await self._client.close_rpc()
            self._closed(began)

    async def _call(self) -> None:
        while not self._stopping.is_set():
            client = await self._connected()
            if client is not None:
                await self._call_once(client)
            await asyncio.sleep(self._pause(client is not None))

    async def _connected(self) -> AsyncioClient | None:
        async with self._lock:
            if self._client is None:
                token = self._begin("connect")
                again = TIMEOUT if self._situation.alternative else None
                client = AsyncioClient(TIMEOUT, reconnect=again)
                try:
                    await client.connect_rpc(self._situation.host, self._situation.port, NAME)
                except Exception as exc:  # noqa: BLE001  (it is judged)
                    self._give_reason(token, exc)
                else:
                    self._succeed(token)
                    self._client = client
            return self._client

    async def _call_once(self, client: AsyncioClient) -> None:
        operation = self._operation()
        try:
            async with asyncio.timeout(operation.patience):
                answer = await _invoke_async(client, operation)
        except Exception as exc:  # noqa: BLE001  (it is judged)
            if not self._patience(operation, exc):
                self._give_reason(operation.token, exc)
            lost = not isinstance(exc, TimeoutError) and not self._situation.alternative
            if lost and self._client is client:
                self._client = None
                began = time.monotonic()
                await client.close_rpc()
                self._closed(began)
        else:
            self._settle(operation, answer)


async def _invoke_async(client: AsyncioClient, operation: Operation) -> Any:
    """Make a call, and return what there is to be checked."""
    try:
        answer = await getattr(client, operation.method)(operation.token, *operation.arguments)
        if not hasattr(answer, "__aiter__"):
            return answer
        taken: list[Any] = []
        async with answer as items:
            while len(taken) < operation.take:
                try:
                    taken.append(await anext(items))
                except StopAsyncIteration:
                    break
        return taken
    except ValueError as exc:
        return exc
