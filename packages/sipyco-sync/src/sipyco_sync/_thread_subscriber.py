"""A subscriber in a thread of its own, for programs without asyncio."""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Self, TypedDict

from sipyco_rpc.framing import MAX_LINE
from sipyco_rpc.tls import SimpleSSLConfig
from sipyco_rpc.validation import check_host, checked_port, checked_timeout
from sipyco_sync._feed_client import Callback
from sipyco_sync._subscriber import Subscriber, early_end
from sipyco_sync.notifier import Mod

logger = logging.getLogger("sipyco.sync_struct")

_JOIN_PATIENCE: Final = 5.0  # seconds for the thread to end; a callback may be stuck in it


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


class ThreadSubscriber:
    """Keep a copy of a publisher's structure, in a thread of its own.

    For programs without asyncio: scripts, notebooks, and graphical programs with another loop.

        with ThreadSubscriber("::1", 3250, "datasets") as datasets:
            print(datasets.copy())

    The constructor returns when the structure has arrived. Callbacks run in the thread; a
    graphical program passes on what it needs, in Qt by emitting a signal.

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
        self._struct: Any = None
        self._lock = threading.RLock()  # guards the structure, and what follows
        self._changed = threading.Condition(self._lock)
        self._arrived = False
        self._ended = False
        self._error: BaseException | None = None
        self._end: Callable[[], object] = lambda: None  # ends the subscription, from any thread
        callbacks = notify_cb if isinstance(notify_cb, list) else [notify_cb] if notify_cb else []
        self._subscriber = _LockedSubscriber(
            notifier_name,
            self._build,
            [self._notify, *callbacks],
            disconnect_cb,
            reconnect=reconnect,
            state_cb=state_cb,
            max_line=max_line,
            lock=self._lock,
        )
        tls: _TLS = {
            "ssl_config": ssl_config,
            "local_cert": local_cert,
            "local_key": local_key,
            "peer_cert": peer_cert,
        }
        self._thread = threading.Thread(
            target=self._work,
            args=(host, port, tls),
            name=f"subscriber of `{notifier_name}`",
            daemon=True,  # a callback that is stuck must not keep the program from ending
        )
        self._thread.start()
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: self._arrived or self._ended, timeout):
                    raise TimeoutError(
                        f"`{notifier_name}` has not arrived within {timeout:g} seconds"
                    )
                if not self._arrived:
                    raise self._error or EOFError(early_end(notifier_name))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether the copy is being kept up to date, or will be again by reconnecting."""
        return not self._ended

    def copy(self) -> Any:
        """Return a copy of the structure as of now, which is yours to keep."""
        with self._lock:
            return copy.deepcopy(self._struct)

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
        result = None

        def over() -> bool:
            nonlocal result
            result = predicate(self._struct)
            return bool(result) or self._ended

        with self._changed:
            if not self._changed.wait_for(over, timeout):
                raise TimeoutError(f"`{self._name}` has not come to that in {timeout:g} seconds")
        if not result:
            raise EOFError(f"the subscription to `{self._name}` has ended")
        return result

    def close(self) -> None:
        """End the subscription, in bounded time. May be repeated."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._end()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_PATIENCE)

    def _build(self, struct: Any) -> Any:
        self._struct = struct
        return struct

    def _notify(self, mod: Mod) -> None:
        with self._changed:
            self._arrived = True
            self._changed.notify_all()

    def _work(self, host: str, port: int, tls: _TLS) -> None:
        try:
            asyncio.run(self._subscribe(host, port, tls))
        except Exception as exc:
            if self._arrived:
                logger.exception("the subscription to `%s` has ended", self._name)
            self._error = exc  # the constructor raises it
        finally:
            with self._changed:
                self._ended = True
                self._end = lambda: None
                self._changed.notify_all()

    async def _subscribe(self, host: str, port: int, tls: _TLS) -> None:
        end = asyncio.Event()
        with self._lock:
            if self._ended:
                return
            loop = asyncio.get_running_loop()
            self._end = partial(loop.call_soon_threadsafe, end.set)
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
