"""A subscriber in a thread of its own, for programs without asyncio."""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Self, TypedDict

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.support.process_bound import after_fork_in_child, belongs_to_parent, not_copyable
from sipyco_rpc.support.set_module import set_module
from sipyco_rpc.support.validation import check_host, checked_port, checked_timeout
from sipyco_rpc.wire.lines import MAX_LINE
from sipyco_sync._feed_client import Callback
from sipyco_sync._subscriber import Subscriber, early_end
from sipyco_sync.notifier import Mod

logger = logging.getLogger("sipyco.sync_struct")

_JOIN_TIMEOUT: Final = 5.0  # seconds for the thread to end; a callback may be stuck in it


class _TLS(TypedDict):
    ssl_config: SimpleSSLConfig | None
    local_cert: str | None
    local_key: str | None
    peer_cert: str | None


class _LockedSubscriber(Subscriber):
    """Lets others look at the copy between two mods."""

    def __init__(self, *args: Any, lock: threading.RLock, **kwargs: Any) -> None:
        Subscriber.__init__(self, *args, **kwargs)
        self.__lock = lock

    async def _apply(self, mod: Mod) -> None:
        with self.__lock:
            await super()._apply(mod)  # it waits for nothing: our target builder is plain


class _Subscription:
    """The copy, and the thread that keeps it.

    It does not know the `ThreadSubscriber`, so that one that nobody refers to any more is noticed.

    Args:
        name: under which the structure is published.
        host: where to connect to.
        port: where to connect to.
        tls: how to.
        callbacks: of the program.
        **options: of `Subscriber`.

    Attributes:
        struct: the copy; None before it has arrived.
        changed: is notified of each change; its lock guards the copy, and what follows.
        arrived: whether there is a copy.
        ended: whether it is no longer kept.
        error: why, if there was an error.
        parents: what is to be said of a fork, in the child.
        thread: the thread, once it has begun.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        tls: _TLS,
        callbacks: list[Callback],
        disconnect_cb: Callback | None,
        **options: Any,
    ) -> None:
        self.struct: Any = None
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self.arrived = False
        self.ended = False
        self.error: BaseException | None = None
        self.parents: str | None = None
        self._name = name
        self._end: Callable[[], object] = lambda: None  # ends the subscription, from any thread
        self._subscriber = _LockedSubscriber(
            name, self._build, [self._notify, *callbacks], disconnect_cb, lock=lock, **options
        )
        self._where = host, port, tls
        self.thread: threading.Thread | None = None
        after_fork_in_child(self._after_fork)

    def start(self, timeout: float | None) -> None:
        """Begin, and wait until the structure has arrived."""
        try:
            thread = threading.Thread(
                target=self._work,
                args=self._where,
                name=f"subscriber of `{self._name}`",
                daemon=True,  # a callback that is stuck must not keep the program from ending
            )
            thread.start()
            self.thread = thread
        except RuntimeError as exc:
            self.ended = True
            raise RuntimeError(
                f"no thread can be started for the subscriber of `{self._name}`: {exc}"
            ) from exc
        try:
            with self.changed:
                if not self.changed.wait_for(lambda: self.arrived or self.ended, timeout):
                    raise TimeoutError(
                        f"`{self._name}` has not arrived within {timeout:g} seconds"
                    )
                if not self.arrived:
                    raise self.error or EOFError(early_end(self._name))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it, in bounded time. May be repeated."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()
            self._end()
        if self.thread is not None and threading.current_thread() is not self.thread:
            self.thread.join(_JOIN_TIMEOUT)

    def abandon(self) -> None:
        """Have it end, without waiting for anything: the garbage collector calls this."""
        self.ended = True
        self._end()

    def _after_fork(self) -> None:
        """Stop being a copy: the thread is not there, and may have been in the midst of a mod."""
        self.changed = threading.Condition(threading.RLock())
        self._end = lambda: None
        if not self.ended:
            self.ended = True
            self.parents = belongs_to_parent(
                f"the subscription to `{self._name}`", "make another one in this process"
            )

    def _build(self, struct: Any) -> Any:
        self.struct = struct
        return struct

    def _notify(self, mod: Mod) -> None:
        with self.changed:
            self.arrived = True
            self.changed.notify_all()

    def _work(self, host: str, port: int, tls: _TLS) -> None:
        try:
            asyncio.run(self._subscribe(host, port, tls))
        except Exception as exc:
            if self.arrived:
                logger.exception("the subscription to `%s` has ended", self._name)
            self.error = exc  # the constructor raises it
        finally:
            with self.changed:
                self.ended = True
                self._end = lambda: None
                self.changed.notify_all()

    async def _subscribe(self, host: str, port: int, tls: _TLS) -> None:
        end = asyncio.Event()
        with self.changed:
            if self.ended:
                return
            self._end = partial(_call_soon, asyncio.get_running_loop(), end.set)
        ending = asyncio.create_task(end.wait())
        work = asyncio.create_task(self._receive(host, port, tls))
        await asyncio.wait([work, ending], return_when=asyncio.FIRST_COMPLETED)
        for task in (work, ending):
            task.cancel()
        if work.done():
            work.result()
        else:
            await asyncio.wait([work])

    async def _receive(self, host: str, port: int, tls: _TLS) -> None:
        async with self._subscriber as subscriber:
            await subscriber.connect(host, port, **tls)
            await asyncio.wait([subscriber.receive_task])


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        pass  # it has been closed meanwhile


@set_module("sipyco_sync.sync_struct")
class ThreadSubscriber:
    """Keep a copy of a publisher's structure, in a thread of its own.

    For programs without asyncio: scripts, notebooks, and graphical programs with another loop.

        with ThreadSubscriber("::1", 3250, "datasets") as datasets:
            print(datasets.copy())

    The constructor returns when the structure has arrived. Callbacks run in the thread; a
    graphical program passes on what it needs, in Qt by emitting a signal. One that is dropped
    without `close` ends by itself, with a `ResourceWarning`, as files do, unless its callbacks
    refer to it.

    In a process that is forked there is no such thread: `copy` and `wait_for` raise `EOFError`
    there. With `reconnect` they connect anew.

    Args:
        host: name or address of the publisher.
        port: its TCP port.
        notifier_name: the name under which the structure is published.
        notify_cb: as for `Subscriber`.
        disconnect_cb: as for `Subscriber`.
        reconnect: as for `Subscriber`.
        state_cb: as for `Subscriber`.
        max_line: as for `Subscriber`.
        ssl_config: for TLS, as for `Subscriber.connect`.
        local_cert: for TLS, as for `Subscriber.connect`.
        local_key: for TLS, as for `Subscriber.connect`.
        peer_cert: for TLS, as for `Subscriber.connect`.
        timeout: seconds for the structure to arrive at first, or None for no limit.

    Raises:
        OSError: it cannot connect; TimeoutError among them.
        EOFError: the connection ended before the structure came; the text says why.
        RuntimeError: no thread can be started.
    """

    def __init__(
        self,
        host: str,
        port: int,
        notifier_name: str,
        notify_cb: Callback | list[Callback] | None = None,
        disconnect_cb: Callback | None = None,
        ssl_config: SimpleSSLConfig | None = None,
        *,
        reconnect: float | None = None,
        state_cb: Callback | None = None,
        max_line: int = MAX_LINE,
        timeout: float | None = 30.0,
        local_cert: str | None = None,
        local_key: str | None = None,
        peer_cert: str | None = None,
    ) -> None:
        check_host(host)
        port = checked_port(port)
        timeout = checked_timeout(timeout)
        self._name = notifier_name
        self._reconnects = reconnect is not None
        callbacks = notify_cb if isinstance(notify_cb, list) else [notify_cb] if notify_cb else []
        tls: _TLS = {
            "ssl_config": ssl_config,
            "local_cert": local_cert,
            "local_key": local_key,
            "peer_cert": peer_cert,
        }

        def begin() -> _Subscription:
            subscription = _Subscription(
                notifier_name,
                host,
                port,
                tls,
                callbacks,
                disconnect_cb,
                reconnect=reconnect,
                state_cb=state_cb,
                max_line=max_line,
            )
            subscription.start(timeout)
            return subscription

        self._begin = begin
        self._subscription = begin()

    __reduce__ = not_copyable("`copy` gives a copy of the structure")

    def __del__(self) -> None:
        subscription = self.__dict__.get("_subscription")
        if subscription is not None and not subscription.ended:
            subscription.abandon()
            text = f"unclosed subscriber of `{self._name}`"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether the copy is being kept up to date, or will be again by reconnecting."""
        return not self._subscription.ended

    def copy(self) -> Any:
        """Return a copy of the structure as of now, which is yours to keep.

        Raises:
            EOFError: the subscription is that of a process from which this one was forked.
        """
        subscription = self._current()
        with subscription.changed:
            return copy.deepcopy(subscription.struct)

    def wait_for(self, predicate: Callable[[Any], Any], timeout: float | None = None) -> Any:
        """Wait until something is true of the structure.

        Args:
            predicate: is called with the structure, at first and after every mod; it must not
                change it or keep parts of it.
            timeout: seconds to wait, or None for no limit.

        Returns:
            What the predicate returned.

        Raises:
            TimeoutError: it did not come true in time.
            EOFError: the subscription has ended.
        """
        subscription = self._current()
        result = None

        def over() -> bool:
            nonlocal result
            result = predicate(subscription.struct)
            return bool(result) or subscription.ended

        with subscription.changed:
            if not subscription.changed.wait_for(over, timeout):
                raise TimeoutError(f"`{self._name}` has not come to that in {timeout:g} seconds")
        if not result:
            raise EOFError(f"the subscription to `{self._name}` has ended")
        return result

    def close(self) -> None:
        """End the subscription, in bounded time. May be repeated."""
        self._reconnects = False
        self._subscription.close()

    def _current(self) -> _Subscription:
        """Return the subscription of this process."""
        subscription = self._subscription
        if subscription.parents is None:
            return subscription
        with subscription.changed:
            if self._subscription is subscription:
                if not self._reconnects:
                    raise EOFError(subscription.parents)
                self._subscription = self._begin()
            return self._subscription
