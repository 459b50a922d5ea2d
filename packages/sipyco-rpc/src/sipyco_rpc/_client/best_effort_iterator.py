"""What a generator gives to a client that never raises a network error. No connections here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from sipyco_rpc._client.remote_method import documented
from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteItems

if TYPE_CHECKING:
    from sipyco_rpc._client.blocking.iterator import RemoteIterator

# What a method is said to return that is a generator. Values of these types cannot be sent.
_GENERATORS: Final = frozenset({"AsyncGenerator", "AsyncIterator", "Generator", "Iterator"})


class Items(RemoteItems, Iterator[Any]):
    """What a generator gives; when the connection breaks it ends, as it does for calls.

    Args:
        items: as they come, or None where there is no connection.
        broken: is called with what an attempt to receive has raised; a `TimeoutError` of
            `call_timeout` it raises again.
    """

    def __init__(
        self, items: RemoteIterator | None, broken: Callable[[BaseException], None] | None
    ) -> None:
        self._items = items
        self._broken = broken

    def __next__(self) -> Any:
        if self._items is None or self._broken is None:
            raise StopIteration
        try:
            try:
                message = self._items.next_message()
            except (OSError, EOFError) as exc:
                self._broken(exc)
                raise StopIteration from exc
            return self._items.value_of(message)
        except KeyboardInterrupt:
            self.close()  # as of `RemoteIterator`
            raise

    __reduce__ = not_copyable("its items come over a connection of this process")

    def close(self) -> None:
        """End the generator. May be repeated."""
        if self._items is not None:
            self._items.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


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
