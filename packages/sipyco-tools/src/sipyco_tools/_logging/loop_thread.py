"""An event loop in a thread, for programs that have none. What it runs is not known here."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from weakref import ref


def loop_of_program() -> asyncio.AbstractEventLoop | None:
    """Return the running loop, or the one that was set for this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    with warnings.catch_warnings(), _no_new_loop():
        # From Python 3.12 to 3.13 one may be made, with this warning, that nobody runs.
        warnings.simplefilter("error", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop()
        except (DeprecationWarning, RuntimeError):
            return None
    return None if loop.is_closed() else loop


@contextmanager
def _no_new_loop() -> Iterator[None]:  # pragma: elsewhere (Python 3.11)
    """Have Python 3.11, which makes a loop without any warning, raise a `RuntimeError`."""
    if sys.version_info >= (3, 12) or threading.current_thread() is not threading.main_thread():
        yield  # threads but the main one have the error in any case
        return

    def refuse() -> asyncio.AbstractEventLoop:
        if threading.current_thread() is threading.main_thread():
            raise RuntimeError("there is no loop")
        return type(policy).new_event_loop(policy)  # the policy is that of all threads

    policy = asyncio.get_event_loop_policy()
    policy.new_event_loop = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        del policy.new_event_loop


class _InPlace(ThreadPoolExecutor):
    """Resolves names in the thread itself: at the exit of a program no more can be started."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001  (whoever waits gets it)
            future.set_exception(exc)
        return future


class LoopThread(threading.Thread):
    """Runs a coroutine until it is told to end; it does not keep the program from ending.

    Args:
        name: of the thread.
        main: is called in the thread, with the event that tells it to end.
    """

    def __init__(
        self, name: str, main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.__main = main
        self.__end = asyncio.Event()
        self.__loop = asyncio.new_event_loop()
        self.__loop.set_default_executor(_InPlace())

    def start(self) -> None:
        try:
            super().start()
        except BaseException:
            self.__loop.close()
            raise

    def run(self) -> None:
        try:
            self.__loop.run_until_complete(self.__main(self.__end))
        finally:
            self.__loop.close()

    def end(self, timeout: float) -> None:
        """Tell it to end, from any thread, and wait until it has."""
        try:
            self.__loop.call_soon_threadsafe(self.__end.set)
            self.join(timeout)
        except RuntimeError:
            pass  # it has ended, or could not be started


def close_with_worker(handler: logging.Handler) -> None:
    """Have a worker of `multiprocessing`, which may end without `logging.shutdown`, close it."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return
    finalize = getattr(sys.modules.get("multiprocessing.util"), "Finalize", None)
    if finalize is not None:  # it is not documented
        finalize(None, _close, args=(ref(handler),), exitpriority=0)


def _close(handler: ref[logging.Handler]) -> None:
    alive = handler()
    if alive is not None:
        alive.close()
