"""What a row of the matrix is: two ends of one conversation, and how values pass between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from dev.faults.proxy import Direction
from sipyco_rpc.support.memory import MIB

ROWS: dict[str, Callable[[], Component]] = {}
COVERED: set[object] = set()  # the public functions and classes that rows are about


class Component:
    """Two ends of one conversation. A row of the matrix, with the decorator `row`.

    A scenario calls `listen` once, then `connect`, and then `carry` as often as it likes; after a
    connection was lost it calls `disconnect` and `connect` again, unless the component
    `comes_back` by itself. In the end come `disconnect` and `stop`.

    Args:
        dialect: one of those that the decorator names.
    """

    comes_back: ClassVar[bool] = False  # it connects again by itself
    many: ClassVar[int] = 200  # how many small values to carry at once
    large: ClassVar[tuple[int, int]] = (1, 3 * MIB)  # how many large ones, and of how many bytes
    slow: ClassVar[Sequence[Direction]] = ("down",)  # where much is under way: see `FaultProxy`

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    async def listen(self, tls: dict[str, Any]) -> int:
        """Begin to listen, with these keyword arguments; return the port."""
        raise NotImplementedError

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        """Make a connection, with these keyword arguments."""
        raise NotImplementedError

    async def carry(self, values: list[Any]) -> list[Any]:
        """Have values pass, one message each; return those that came, in order.

        If the connection is lost meanwhile, it raises what programs are told to catch, or returns
        what came if it `comes_back`. It never waits for what cannot come.
        """
        raise NotImplementedError

    async def disconnect(self) -> None:
        """Close the end that has connected."""

    async def stop(self) -> None:
        """Close the end that listens."""

    def value(self, number: int, size: int) -> Any:
        """Make a value to carry."""
        return [number, b"x" * size]


C = TypeVar("C", bound=type[Component])


def row(*covers: object, dialects: Sequence[str] = ("",)) -> Callable[[C], C]:
    """Add a component to the matrix.

    Args:
        covers: the public classes and functions that it is about.
        dialects: each makes a row of its own.
    """

    def add(component: C) -> C:
        COVERED.update(covers)
        for dialect in dialects:
            name = "-".join(filter(None, [component.__name__, dialect]))
            assert name not in ROWS, f"there are two rows {name}"
            ROWS[name] = partial(component, dialect)
        return component

    return add
