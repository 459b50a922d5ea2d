"""Peers whose calls are made in threads. What becomes of the calls, `callers` writes down."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any, Final

from dev.soak.callers import SHARING, TIMEOUT, Caller, Situation
from dev.soak.targets import NAME, Operation
from sipyco_rpc.pc_rpc import BestEffortClient, Client, call_timeout

__all__ = ["BestEffortCaller", "BlockingCaller"]

_RETRY: Final = 0.3  # seconds; the pauses of a `BestEffortClient` grow to 12 times

_NO_CONNECTION: Final = "None, as there was no connection"
_CUT_SHORT: Final = "items ended with the connection"


class _ThreadedCaller(Caller):
    """A caller whose calls are made in threads that share a client."""

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(SHARING)]
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
            self._stopping.wait(self._pause(self._call_once()))

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
    """Two threads that share a `Client`, and make another one when it breaks.

    Some have one that connects again by itself.
    """

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
                        self._situation.host,
                        self._situation.port,
                        NAME,
                        timeout=TIMEOUT,
                        reconnect=TIMEOUT if self._situation.alternative else None,
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
            patience = TIMEOUT
        try:
            with nullcontext() if patience is None else call_timeout(client, patience):
                answer = _invoke(client, operation)
        except Exception as exc:  # noqa: BLE001  (it is judged)
            if not self._patience(operation, exc):
                self._give_reason(operation.token, exc)
            # After one that took too long the client is still of use.
            if not isinstance(exc, TimeoutError) and not self._situation.alternative:
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
                    firstcon_timeout=TIMEOUT,
                    retry=_RETRY,
                )
            return self._client

    def _call_once(self) -> bool:
        client = self._connected()
        operation = self._operation()
        patience = operation.patience
        if patience is None and self._situation.alternative:
            patience = TIMEOUT
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
