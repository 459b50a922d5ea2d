"""An event loop in a thread, for programs that have none. What it runs is not known here."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
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


def _no_new_loop() -> AbstractContextManager[None]:
    """Have Python 3.11, which makes a loop without any warning, raise a `RuntimeError`."""
    if sys.version_info >= (3, 12) or threading.current_thread() is not threading.main_thread():
        return nullcontext()  # threads but the main one have the error in any case
    return _refusing_policy()  # pragma: elsewhere (Python 3.11)


@contextmanager
def _refusing_policy() -> Iterator[None]:  # pragma: elsewhere (Python 3.11)
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


class LoopThread:
    """Runs a coroutine in a thread until it is told to end.

    The thread does not keep the program from ending.

    Args:
        name: of the thread.
        main: is called in the thread, with the event that tells it to end.
    """

    def __init__(
        self, name: str, main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
    ) -> None:
        self._main = main
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_InPlace())
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: none can be started.
        """
        try:
            self._thread.start()
        except BaseException:
            self._loop.close()
            raise

    @property
    def ident(self) -> int:
        """The identity of the thread, as in log records; no such one before it runs."""
        return self._thread.ident or -1

    @property
    def runs(self) -> bool:
        """Whether it was started, and has not ended."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Tell it to end; from any thread, without waiting."""
        try:
            self._loop.call_soon_threadsafe(self._end.set)
        except RuntimeError:
            pass  # it has ended

    def wait(self, timeout: float) -> None:
        """Wait until it has ended."""
        if self.runs:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main(self._end))
        finally:
            self._loop.close()


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
