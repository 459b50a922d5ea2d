"""What a generator gives to a client that never raises a network error. No connections here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sipyco_rpc._client.blocking.iterator import RemoteIterator
from sipyco_rpc._client.remote_method import documented

if TYPE_CHECKING:
    from sipyco_rpc._client.blocking.channel import RequestChannel
    from sipyco_rpc.wire.messages import Message

# What a method is said to return that is a generator. Values of these types cannot be sent.
_GENERATORS: Final = frozenset({"AsyncGenerator", "AsyncIterator", "Generator", "Iterator"})


class BestEffortIterator(RemoteIterator):
    """The items of a generator; when the connection breaks they end, as calls do.

    Args:
        note_loss: is called with the connection, the call, and what an attempt to receive has
            raised; a `TimeoutError` of `call_timeout` it raises again.
        *arguments: those of `RemoteIterator`.
    """

    def __init__(
        self, note_loss: Callable[[RequestChannel, str, BaseException], None], *arguments: Any
    ) -> None:
        super().__init__(*arguments)
        self._note_loss = note_loss

    def next_message(self) -> Message:
        try:
            return super().next_message()
        except (OSError, EOFError) as exc:
            self._note_loss(self._channel, self._what, exc)
            raise StopIteration from exc


class NoItems(RemoteIterator):
    """The items of a generator that could not be called: there are none."""

    def __init__(self, what: str) -> None:
        self._what = what  # it has ended before it has begun


def generators_in(listing: Mapping[str, Any]) -> set[str]:
    """Find the methods whose annotation in a listing says that they are generators."""
    found = set()
    for name in listing["methods"]:
        method = documented(listing, name)
        if method is None:
            continue
        annotations = method[0].get("annotations")
        returned = annotations.get("return") if isinstance(annotations, dict) else None
        # Such as `Iterator`, or `collections.abc.Iterator[int]` where annotations are texts.
        if (
            isinstance(returned, str)
            and returned.partition("[")[0].rpartition(".")[2] in _GENERATORS
        ):
            found.add(name)
    return found
