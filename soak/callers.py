"""Peers that call: each tells its ledger of every call, before it and after it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, call_timeout
from soak.ledger import Ledger
from soak.peers import ASYNCIO, BEST_EFFORT, CLIENT, token_of
from soak.targets import NAME, Operation, choose, is_right

__all__ = ["CALLERS", "Caller", "Situation"]

_TIMEOUT: Final = 3.0  # seconds; no fault lasts longer, but several may follow each other
_PAUSE: Final = (0.03, 0.2)  # seconds between two calls of one thread or task
_RETRY: Final = (0.05, 0.3)  # seconds until another attempt to connect
_CALLERS: Final = 2  # threads or tasks that share a client
_CLOSING: Final = 10.0  # seconds: `close_rpc` promises about one, on a machine with time to spare

_GIVEN_UP: Final = "given up by its caller"
_NO_CONNECTION: Final = "None, as there was no connection"
_CUT_SHORT: Final = "items ended with the connection"

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
        self._fail(operation.token, _GIVEN_UP)
        return True

    def _closed(self, began: float) -> None:
        took = time.monotonic() - began
        if took > _CLOSING:
            self._ledger.write("x", f"closing took long: peer {self._situation.number}: {took} s")

    def _pause(self, between: tuple[float, float]) -> float:
        return self._random.uniform(*between)


class _ThreadedCaller(Caller):
    """A caller whose calls are made in threads that share a client."""

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self, deadline: float) -> bool:
        self._stopping.set()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        began = time.monotonic()
        self._close()
        self._closed(began)
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while not self._stopping.is_set():
            pause = self._pause(_PAUSE if self._call_once() else _RETRY)
            self._stopping.wait(pause)

    def _call_once(self) -> bool:
        """Make a call; tell whether there was a connection."""
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


def _invoke(client: Any, operation: Operation) -> Any:
    """Make a call, and return what there is to be checked."""
    try:
        answer = getattr(client, operation.method)(operation.token, *operation.arguments)
        if isinstance(answer, Iterator):
            with answer as items:  # type: ignore[attr-defined]
                return list(islice(items, operation.take))
        return answer
    except ValueError as exc:
        return exc


class BlockingCaller(_ThreadedCaller):
    """Two threads that share a `Client`, and make another one when it breaks."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._lock = threading.Lock()
        self._client: Client | None = None

    def _connected(self) -> Client | None:
        with self._lock:
            if self._client is None and not self._stopping.is_set():
                token = self._begin("connect")
                try:
                    self._client = Client(
                        self._situation.host, self._situation.port, NAME, timeout=_TIMEOUT
                    )
                except Exception as exc:  # noqa: BLE001  (it is judged)
                    self._give_reason(token, exc)
                else:
                    self._succeed(token)
            return self._client

    def _call_once(self) -> bool:
        client = self._connected()
        if client is None:
            return False
        operation = self._operation()
        patience = operation.patience
        if patience is None and self._situation.alternative:
            patience = _TIMEOUT
        try:
            with nullcontext() if patience is None else call_timeout(client, patience):
                answer = _invoke(client, operation)
        except Exception as exc:  # noqa: BLE001  (it is judged)
            if not self._patience(operation, exc):
                self._give_reason(operation.token, exc)
            if not isinstance(exc, TimeoutError):  # after one the client is still of use
                self._drop(client)
        else:
            self._settle(operation, answer)
        return True

    def _drop(self, client: Client) -> None:
        with self._lock:
            if self._client is client:
                self._client = None
        began = time.monotonic()
        client.close_rpc()
        self._closed(began)

    def _close(self) -> None:
        client = self._client
        if client is not None:
            client.close_rpc()


class BestEffortCaller(_ThreadedCaller):
    """Two threads that share a `BestEffortClient` for all of its life."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._client: BestEffortClient | None = None
        self._lock = threading.Lock()

    def _connected(self) -> BestEffortClient:
        with self._lock:
            if self._client is None:
                self._client = BestEffortClient(
                    self._situation.host,
                    self._situation.port,
                    NAME,
                    firstcon_timeout=_TIMEOUT,
                    retry=_RETRY[1],
                )
            return self._client

    def _call_once(self) -> bool:
        client = self._connected()
        operation = self._operation()
        patience = operation.patience
        if patience is None and self._situation.alternative:
            patience = _TIMEOUT
        try:
            with nullcontext() if patience is None else call_timeout(client, patience):
                answer = _invoke(client, operation)
        except TimeoutError as exc:
            if not self._patience(operation, exc):
                self._give_reason(operation.token, exc)
        except Exception as exc:  # noqa: BLE001  (it never raises another error of the network)
            self._ledger.write("x", f"an unknown failure: {operation.token}: {exc!r:.500}")
            self._fail(operation.token, type(exc).__name__)
        else:
            if answer is None:
                self._fail(operation.token, _NO_CONNECTION)
                return False
            if operation.method == "items" and _is_beginning(answer, operation.items):
                self._fail(operation.token, _CUT_SHORT)
            else:
                self._settle(operation, answer)
        return True

    def _close(self) -> None:
        if self._client is not None:
            self._client.close_rpc()


def _is_beginning(answer: Any, items: list[Any]) -> bool:
    return len(answer) < len(items) and answer == items[: len(answer)]


class AsyncioCaller(Caller):
    """Two tasks that share an `AsyncioClient`, and make another one when it breaks."""

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
        await asyncio.gather(*(self._call() for _ in range(_CALLERS)))
        if self._client is not None:
            began = time.monotonic()
            await self._client.close_rpc()
            self._closed(began)

    async def _call(self) -> None:
        while not self._stopping.is_set():
            client = await self._connected()
            if client is not None:
                await self._call_once(client)
            await asyncio.sleep(self._pause(_RETRY if client is None else _PAUSE))

    async def _connected(self) -> AsyncioClient | None:
        async with self._lock:
            if self._client is None:
                token = self._begin("connect")
                client = AsyncioClient(_TIMEOUT)
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
            if not isinstance(exc, TimeoutError) and self._client is client:
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


_Factory: TypeAlias = Callable[[Situation], Caller]

CALLERS: Final[dict[str, _Factory]] = {
    CLIENT: BlockingCaller,
    ASYNCIO: AsyncioCaller,
    BEST_EFFORT: BestEffortCaller,
}
