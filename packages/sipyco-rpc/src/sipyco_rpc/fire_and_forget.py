"""A proxy whose calls run in the background: a slow display must not slow the experiment."""

from __future__ import annotations

import atexit
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, Self

from sipyco_rpc._client.argument_copies import captured
from sipyco_rpc._client.timeouts import key_of
from sipyco_rpc._client.unawaited_calls import FiredCall, finish, under_way
from sipyco_rpc.support.process_bound import after_fork_in_child, not_copyable
from sipyco_rpc.support.relay import RemoteTarget, property_names

__all__ = ["FFProxy"]

logger = logging.getLogger("sipyco.fire_and_forget")


class FFProxy:
    """Call the methods of an object in the background.

    A call returns None at once and runs in a thread, one at a time: a call made while the one
    before still runs is dropped, with a warning. An exception becomes a warning, too, and so
    does a thread that cannot be started.

        with Client("::1", 3250) as client, FFProxy(client) as display:
            display.show(image)

    What the method gets is what was given at the call: lists, dictionaries, sets, arrays, and
    other values that can be sent are copied. What cannot be sent is passed on as it is.

    Leaving the `with` block, closing the client, and the end of the program wait for the call
    that still runs, for 5 s; then a warning says what was dropped. Leaving the block does not
    close the client; `close_rpc`, if the target has that, does, after the same wait.

    Args:
        target: the object, or client, whose bound methods to call. It must not be used by
            others at the same time unless it allows that.
    """

    def __init__(self, target: Any) -> None:
        # Every attribute is name-mangled, so that none hides a method of the target.
        self.__target = target
        self.__call: FiredCall | None = None  # the latest

    __reduce__ = not_copyable("it has a thread of this process; make one where it is needed")

    def __setattr__(self, name: str, value: Any) -> None:
        if _is_remote_property(self.__dict__.get("_FFProxy__target"), name):
            raise AttributeError(f"`{name}` is a property: set it on the client, not on a proxy")
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_FFProxy__"):
            raise AttributeError(name)
        target = self.__target
        # To read a property would be to ask the server, for what is no method.
        method = None if _is_remote_property(target, name) else getattr(target, name)
        if not (inspect.isroutine(method) or (callable(method) and not isinstance(method, type))):
            raise AttributeError(f"`{name}` of {type(target).__name__} is not a method")

        def close() -> None:
            try:
                self.__finish("closing")
            finally:
                method()

        def call(*args: Any, **kwargs: Any) -> None:
            fired = FiredCall(name, key_of(target))
            try:
                if self.__take_turn(fired):
                    given = captured((args, kwargs), {})
                    _start(fired, method, *given)
            except BaseException as exc:
                if fired.claim():
                    fired.end()  # it will not run: the next one may
                    if isinstance(exc, Exception):
                        reason = f"{type(exc).__name__}: {exc}" if str(exc) else repr(exc)
                        logger.warning("skipping %s: it could not be started: %s", name, reason)
                        return
                if not isinstance(exc, Exception):
                    raise

        return close if name == "close_rpc" else call

    def __take_turn(self, fired: FiredCall) -> bool:
        """Make a call the latest one, unless that still runs."""
        with _shared.lock:
            busy = self.__call is not None and not self.__call.ended
            if not busy and not _shared.ending:
                under_way.add(fired)
                self.__call = fired
                return True
        reason = "the previous call still runs" if busy else "the program ends"
        logger.warning("skipping %s: %s", fired.name, reason)
        return False

    def __finish(self, what: str) -> None:
        if self.__call is not None:
            finish([self.__call], what)

    def ff_join(self) -> None:
        """Wait until no call runs any more."""
        call = self.__call
        if call is not None and not call.here:
            call.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.__finish("leaving the block")


def _is_remote_property(target: object, name: str) -> bool:
    return isinstance(target, RemoteTarget) and name in property_names(target)


def _start(
    fired: FiredCall, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Run a call in a thread. If this is interrupted, `claim` tells whether it will run."""

    def work() -> None:
        if not fired.claim():
            return
        try:
            result = method(*args, **kwargs)
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError("it gives a coroutine, which nobody would await")
        except Exception as exc:  # noqa: BLE001  (whatever it is, it becomes a warning)
            if not fired.dropped:
                _log_failure(fired, exc)
        finally:
            fired.end()

    # A daemon, or a peer that does not answer would keep the program from ending.
    fired.worker = threading.Thread(target=work, name=f"fire and forget {fired.name}", daemon=True)
    fired.worker.start()


def _log_failure(fired: FiredCall, exc: Exception) -> None:
    lost = isinstance(exc, (OSError, EOFError)) and not hasattr(exc, "parent_traceback")
    if fired.key is not None and lost:
        # Of the client itself, whose errors say it all; what a method raises has a traceback.
        logger.warning("dropping %s: %s", fired.name, exc)
    else:
        logger.warning("%s raised an exception", fired.name, exc_info=exc)


class _Shared:
    """What all proxies have in common."""

    def __init__(self) -> None:
        # To begin a call; a signal handler may do so while its thread is in here.
        self.lock = threading.RLock()
        self.ending = False  # the program ends: nobody would wait for what is begun now
        after_fork_in_child(self._after_fork)

    def finish(self) -> None:
        """Wait, for a limited time, for all calls, and allow no more."""
        finish(list(under_way), "the program ends")
        self.ending = True

    def _after_fork(self) -> None:
        self.lock = threading.RLock()
        for call in under_way:
            call.ended = True  # its thread is the parent's
        under_way.clear()


_shared = _Shared()
atexit.register(_shared.finish)
