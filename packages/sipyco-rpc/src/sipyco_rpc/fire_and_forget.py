"""Calls that nobody waits for: a slow display must not slow the experiment."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from sipyco_rpc.process_bound import after_fork_in_child, not_copyable

__all__ = ["FFProxy"]

logger = logging.getLogger("sipyco.fire_and_forget")


class FFProxy:
    """Call the methods of an object in the background.

    A call returns None at once and runs in a thread, one at a time: a call made while the one
    before still runs is dropped, with a warning. An exception becomes a warning, too.

        display = FFProxy(Client("::1", 3250))
        display.show(image)

    Args:
        target: the object, or client, whose bound methods to call. It must not be used by
            others at the same time unless it allows that.
    """

    def __init__(self, target: Any) -> None:
        # Every attribute is name-mangled, so that none hides a method of the target.
        self.__target = target
        self.__lock = threading.Lock()
        self.__thread: threading.Thread | None = None
        after_fork_in_child(self.__after_fork)

    def __after_fork(self) -> None:
        self.__lock = threading.Lock()  # nobody is there to release the other
        self.__thread = None

    __reduce__ = not_copyable("it has a thread of this process; make one where it is needed")

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_FFProxy__"):
            raise AttributeError(name)
        method = getattr(self.__target, name)
        if not (inspect.isroutine(method) or (callable(method) and not isinstance(method, type))):
            raise AttributeError(f"`{name}` of {type(self.__target).__name__} is not a method")

        def call(*args: Any, **kwargs: Any) -> None:
            def work() -> None:
                try:
                    method(*args, **kwargs)
                except Exception:
                    logger.warning("%s raised an exception", name, exc_info=True)

            with self.__lock:
                if self.__thread is not None and self.__thread.is_alive():
                    logger.warning("skipping %s: the previous call still runs", name)
                    return
                self.__thread = threading.Thread(
                    target=work, name=f"fire and forget {name}", daemon=True
                )
                self.__thread.start()

        return call

    def ff_join(self) -> None:
        """Wait until no call runs any more."""
        thread = self.__thread
        if thread is not None:
            thread.join()
