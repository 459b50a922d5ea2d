"""A subscriber in a thread of its own, for programs without asyncio."""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.net.tls import SimpleSSLConfig, client_ssl_contexts
from sipyco_rpc.support.lost import ConnectionLost
from sipyco_rpc.support.process_bound import after_fork_in_child, belongs_to_parent, not_copyable
from sipyco_rpc.support.validation import check_host, checked_port, checked_timeout
from sipyco_sync._feed_client import Callback
from sipyco_sync._limits import JOIN_TIMEOUT
from sipyco_sync._mods import Mod
from sipyco_sync._subscriber import Subscriber

if TYPE_CHECKING:
    from ssl import SSLContext

logger = logging.getLogger("sipyco.sync_struct")


class _Subscription(Subscriber):
    """A subscriber that runs in a thread of its own, and the copy that it keeps.

    It does not know the `ThreadSubscriber`, so that one that nobody refers to any more is noticed.
    """

    def __init__(
        self,
        name: str,
        server: tuple[str, int, Callable[[], SSLContext | None]],
        notify_cb: Callback | list[Callback] | None,
        disconnect_cb: Callback | None,
        **options: Any,
    ) -> None:
        super().__init__(name, self._build, notify_cb, disconnect_cb, **options)
        # It is notified of each change; its lock guards the copy, and whether there is one.
        self.changed = threading.Condition(threading.RLock())
        self.struct: Any = None  # the copy
        self.arrived = False
        self.ended = False  # it is no longer kept
        self.error: BaseException | None = None  # why
        self.parents: str | None = None  # what is to be said of a fork, in the child
        self._server = server
        self.thread: threading.Thread | None = None
        self._cancel: Callable[[], object] = lambda: None  # what the thread does, from any thread
        after_fork_in_child(self._after_fork)

    def start(self, timeout: float | None) -> Self:
        """Begin, and wait until the structure has arrived."""
        name = self.notifier_name
        try:
            # A callback that is stuck must not keep the program from ending.
            thread = threading.Thread(
                target=self._work, name=f"subscriber of `{name}`", daemon=True
            )
            thread.start()
        except RuntimeError as exc:
            self.ended = True
            raise RuntimeError(
                f"no thread can be started for the subscriber of `{name}`: {exc}"
            ) from exc
        self.thread = thread
        try:
            with self.changed:
                if not self.changed.wait_for(lambda: self.arrived or self.ended, timeout):
                    raise TimeoutError(f"`{name}` has not arrived within {timeout:g} seconds")
                if not self.arrived:
                    raise self.error or ConnectionLost(self._early_end)
        except BaseException:
            self.end()
            raise
        return self

    def end(self) -> None:
        """End it, in bounded time. May be repeated."""
        with self.changed:
            self.abandon()
            self.changed.notify_all()
        if self.thread is not None and threading.current_thread() is not self.thread:
            self.thread.join(JOIN_TIMEOUT)

    def abandon(self) -> None:
        """Have it end, without waiting for anything: the garbage collector calls this."""
        self.ended = True
        cancel, self._cancel = self._cancel, lambda: None
        try:
            cancel()
        except RuntimeError:
            pass  # the event loop has been closed meanwhile

    def _after_fork(self) -> None:
        """Stop being a copy: the thread is not there, and may have been in the midst of a mod."""
        self.changed = threading.Condition(threading.RLock())
        self._cancel = lambda: None
        if not self.ended:
            self.ended = True
            self.parents = belongs_to_parent(
                f"the subscription to `{self.notifier_name}`", "make another one in this process"
            )

    def _build(self, struct: Any) -> Any:
        self.struct = struct
        return struct

    async def _apply(self, mod: Mod) -> None:
        with self.changed:  # others look at the copy between two mods
            await super()._apply(mod)  # it waits for nothing: our target builder is plain
            self.arrived = True
            self.changed.notify_all()

    def _work(self) -> None:
        try:
            asyncio.run(self._follow())
        except asyncio.CancelledError:
            pass  # by `end`
        except Exception as exc:
            self.error = exc  # the constructor raises it
            if self.arrived:
                logger.exception("the subscription to `%s` has ended", self.notifier_name)
        finally:
            with self.changed:
                self.ended = True
                self._cancel = lambda: None
                self.changed.notify_all()

    async def _follow(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        with self.changed:
            if self.ended:
                return
            self._cancel = partial(task.get_loop().call_soon_threadsafe, task.cancel)
        async with self:
            await self._connect(*self._server)
            await asyncio.wait([self.receive_task])


class ThreadSubscriber:
    """Keep a copy of a publisher's structure, in a thread of its own.

    For programs without asyncio: scripts, notebooks, and graphical programs with another loop.

        with ThreadSubscriber("::1", 3250, "datasets") as datasets:
            print(datasets.copy())

    The constructor returns when the structure has arrived, after at most `timeout` seconds, or
    None for no limit; the other parameters are those of `Subscriber` and its `connect`. Callbacks
    run in the thread; a graphical program passes on what it needs, in Qt by emitting a signal. A
    subscriber that is dropped without `close` ends by itself, with a `ResourceWarning`, as files
    do, unless its callbacks refer to it.

    In a process that is forked there is no such thread: `copy` and `wait_for` raise
    `ConnectionLost` there. With `reconnect` they connect anew.

    Raises:
        OSError: it cannot connect; TimeoutError among them.
        ConnectionLost: the connection ended before the structure came; the text says why.
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
        server = host, port, client_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)
        options = {"reconnect": reconnect, "state_cb": state_cb, "max_line": max_line}
        self._new = partial(
            _Subscription, notifier_name, server, notify_cb, disconnect_cb, **options
        )
        self._timeout = timeout
        self._subscription = self._new().start(timeout)

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
            ConnectionLost: the subscription is that of a process from which this one was forked.
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
            ConnectionLost: the subscription has ended.
        """
        subscription, result = self._current(), None

        def over() -> bool:
            nonlocal result
            result = predicate(subscription.struct)
            return bool(result) or subscription.ended

        with subscription.changed:
            if not subscription.changed.wait_for(over, timeout):
                raise TimeoutError(f"`{self._name}` has not come to that in {timeout:g} seconds")
        if not result:
            raise ConnectionLost(f"the subscription to `{self._name}` has ended")
        return result

    def close(self) -> None:
        """End the subscription, in bounded time. May be repeated."""
        self._reconnects = False
        self._subscription.end()

    def _current(self) -> _Subscription:
        """Return the subscription of this process."""
        subscription = self._subscription
        if subscription.parents is None:
            return subscription
        with subscription.changed:
            if self._subscription is subscription:
                if not self._reconnects:
                    raise ConnectionLost(subscription.parents)
                self._subscription = self._new().start(self._timeout)
            return self._subscription
