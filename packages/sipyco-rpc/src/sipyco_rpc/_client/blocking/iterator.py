"""The iterator over the items of a remote generator, for blocking clients. No bytes here."""

from __future__ import annotations

from collections.abc import Iterator

from sipyco_rpc._client.timeouts import limit_of
from sipyco_rpc.support.lost import ConnectionLost
from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteItems

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Any, Self

    from sipyco_rpc._client.blocking.channel import RequestChannel
    from sipyco_rpc.wire.messages import Message


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

    def __init__(self, channel: RequestChannel, number: int, what: str, key: object) -> None:
        self._channel = channel
        self._number = number
        self._what = what
        self._key = key  # of the client
        self._ended = False

    __reduce__ = not_copyable("its items come over a connection of this process")

    def __next__(self) -> Any:
        """Wait for the next item.

        Raises:
            StopIteration: there are no more.
            Exception: what the generator raised.
            TimeoutError: it took too long; one may go on to wait.
            ConnectionLost: the connection is no more.
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
            message = self._channel.next_item(self._number, self._what, limit_of(self._key))
        except TimeoutError:
            raise
        except BaseException as exc:
            self.close()
            if isinstance(exc, ConnectionLost):
                exc.sent = True  # the call was, and the generator has begun
            raise
        if message is None:
            raise StopIteration
        return message

    def value_of(self, message: Message) -> Any:
        """Give the item in a message; errors are those of the generator."""
        try:
            more, value = self._channel.session.receive_item(message)
        except BaseException:
            self.close()
            raise
        if more:
            return value
        self._ended = True
        raise StopIteration if value is None else value

    def close(self) -> None:
        """End the generator. May be repeated."""
        if not self._ended:
            self._ended = True
            self._channel.cancel_stream(self._number)

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<items of the {self._what}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
