"""What a generator of the server gives, as an iterator of a blocking client. No bytes here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from sipyco_rpc._client.timeouts import limit_of
from sipyco_rpc.net.errors import timeout_error
from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteItems
from sipyco_rpc.wire.credit import Credit

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Final, Self

    from sipyco_rpc._client.blocking.connection import BlockingConnection
    from sipyco_rpc._client.timeouts import Limit
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.routing import Items

_TIMEOUT: Final = 0.1  # seconds until one that waits for an item looks whether it was closed


class RemoteIterator(RemoteItems, Iterator["Any"]):
    """The items of a generator that a remote method returned.

        for image in camera.acquire(100):
            ...

    The generator runs as items are asked for, a few ahead. Other calls of the client may be made
    between two items. What the generator raises is raised here.

    Leaving a `with` block, `close`, or dropping the iterator ends the generator on the server. So
    do Ctrl-C while it waits for an item, and the end of the connection. Another thread may call
    `close` while one waits for an item: there are no more, then.
    """

    _ended = True  # until it has begun: Ctrl-C may strike before that

    def __init__(
        self, connection: BlockingConnection, number: int, what: str, key: object
    ) -> None:
        self._connection = connection
        self._number = number
        self._what = what
        self._key = key  # of the client
        self._ended = False
        self._credit = Credit()

    __reduce__ = not_copyable("its items come over a connection of this process")

    def __next__(self) -> Any:
        """Wait for the next item.

        Raises:
            StopIteration: there are no more.
            Exception: what the generator raised.
            TimeoutError: it took too long; one may go on to wait.
            EOFError, ConnectionError: the connection is no more.
        """
        try:
            return self.value_of(self.next_message())
        except KeyboardInterrupt:
            self.close()  # it may have struck with the item at hand, which is lost then
            raise

    def next_message(self) -> Message:
        """Wait for the message with the next item; errors are those of the connection."""
        if self._ended:
            raise StopIteration
        try:
            message = self._receive(limit_of(self._key))
        except TimeoutError:
            raise
        except BaseException:
            self.close()
            raise
        if message is None:
            raise StopIteration
        self._credit.take(message)
        return message

    def _receive(self, limit: Limit) -> Message | None:
        """Wait for what a generator gives next; None if it was closed meanwhile.

        Args:
            limit: as for `exchange`, whose errors it has.
        """
        connection, number, what = self._connection, self._number, self._what
        started = time.monotonic()
        timeout = None if limit[0] else connection.timeout
        deadline = None if limit[1] is None else started + limit[1]
        me, turns = threading.get_ident(), connection.turns
        if turns.owner == me:
            connection.refuse_reentry(what)
        try:
            connection.wait_for_turn(what, me, started, deadline)
            items = connection.mail.items.get(number)
            if items is None:
                return None
            try:
                more = self._credit.due()
                if more:
                    connection.send(
                        [connection.session.allow_items(number, more)], timeout, deadline
                    )
                    items.room += more
                    self._credit.allow(more)
                if not items:
                    self._await_item(items, timeout, deadline)
                return items.popleft() if items else None
            except TimeoutError as exc:
                raise timeout_error(what, connection.where, started) from exc
            except EOFError as exc:
                raise EOFError(f"{what}: {exc}") from exc
        finally:
            if turns.owner == me:
                turns.owner = None
            if turns.waiting or connection.mail.untold:
                connection.after_turn()

    # In a function of its own, as `BlockingConnection._await_reply`.
    def _await_item(self, items: Items, timeout: float | None, deadline: float | None) -> None:
        """Wait until there is an item, or there are none any more."""
        while not items and self._number in self._connection.mail.items:
            self._wait(timeout, deadline)

    def _wait(self, timeout: float | None, deadline: float | None) -> None:
        """Wait until something comes, or another thread has closed the generator."""
        connection, mail, started = self._connection, self._connection.mail, time.monotonic()
        if timeout is not None:
            deadline = started + timeout  # there is one of the two at most
        while self._number in mail.items:
            mail.replies.clear()  # late ones
            if mail.untold or mail.notices:
                connection.send_notices()
                if connection.wire.closed is not None:
                    raise EOFError(connection.wire.closed)
            patience = _TIMEOUT
            if deadline is not None:
                patience = min(patience, deadline - time.monotonic())
                if patience <= 0:
                    raise TimeoutError
            try:
                connection.wire.receive_some(patience, None)
                return
            except TimeoutError:
                pass  # time to look again

    def value_of(self, message: Message) -> Any:
        """Give the item in a message; errors are those of the generator."""
        try:
            more, value = self._connection.session.receive_item(message)
        except BaseException:
            self.close()
            raise
        if more:
            return value
        self._ended = True
        self._connection.forget(self._number, ended=True)
        raise StopIteration if value is None else value

    def close(self) -> None:
        """End the generator. May be repeated."""
        if not self._ended:
            self._ended = True
            self._connection.forget(self._number)

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<items of the {self._what}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
