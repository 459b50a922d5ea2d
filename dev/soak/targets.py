"""What the RPC server offers, what clients ask of it, and which answers are right. No sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dev.soak.ledger import Ledger

__all__ = ["FLAVOURS", "NAME", "Operation", "Target", "ThreadedTarget", "choose", "is_right"]

NAME: Final = "target"
# One server for each way of serving: calls in turn, side by side, in a thread, and without frames.
FLAVOURS: Final = ("turns", "parallel", "threaded", "lines")

_GIVEN_UP: Final = 0.02  # seconds that a caller waits for what takes longer
_SLOW: Final = 0.05  # seconds; one target does nothing else meanwhile


def array_of(token: int, size: int) -> NDArray[np.int64]:
    """Return an array whose every item tells whose it is."""
    return np.arange(token, token + size, dtype=np.int64)


class Target:
    """Methods that first put the token of the call down, then answer with it."""

    def __init__(self, journal: Ledger) -> None:
        self._journal = journal

    def echo(self, token: int, value: Any) -> list[Any]:
        """Give back what was sent."""
        self._journal.write(token)
        return [token, value]

    def image(self, token: int, size: int) -> NDArray[np.int64]:
        """Give an array that belongs to the token."""
        self._journal.write(token)
        return array_of(token, size)

    def total(self, token: int, array: NDArray[np.int64]) -> list[int]:
        """Add an array up."""
        self._journal.write(token)
        return [token, int(array.sum())]

    def items(self, token: int, count: int) -> Iterator[list[int]]:
        """Give the token and a number, so many times."""
        self._journal.write(token)
        for number in range(count):
            yield [token, number]

    async def slow(self, token: int) -> int:
        """Take longer than some callers wait."""
        self._journal.write(token)
        await asyncio.sleep(_SLOW)
        return token

    def refuse(self, token: int) -> None:
        """Raise an error that has the token."""
        self._journal.write(token)
        raise ValueError(f"refused {token}")


class ThreadedTarget(Target):
    """The same, with a slow method that blocks its thread as a driver does."""

    def slow(self, token: int) -> int:  # type: ignore[override]
        """Take longer than some callers wait."""
        self._journal.write(token)
        time.sleep(_SLOW)
        return token


class Operation(NamedTuple):
    """A call to make.

    Attributes:
        token: no other call has it.
        method, arguments: what to call; the token goes first.
        patience: seconds after which the caller gives up, or None for those of its client.
        take: for generators, how many items the caller takes before it closes them.
    """

    token: int
    method: str
    arguments: tuple[Any, ...] = ()
    patience: float | None = None
    take: int = 0

    @property
    def items(self) -> list[list[int]]:
        """What a generator gives to the caller."""
        return [[self.token, number] for number in range(min(self.take, self.arguments[0]))]


# How often each is called, of 100.
_METHODS: Final = ("echo", "image", "total", "items", "slow", "refuse")
_WEIGHTS: Final = (50, 14, 14, 12, 5, 5)


def choose(random: Random, token: int, *, frames: bool) -> Operation:
    """Choose what to call.

    Args:
        random: decides.
        token: of the call.
        frames: whether the server has them: without, there are no generators.
    """
    method = random.choices(_METHODS, _WEIGHTS)[0]
    if method == "items" and not frames:
        method = "echo"
    if method == "echo":
        return Operation(token, method, ({"text": "é" * random.randrange(200), "number": 0.5},))
    size = random.choice((10, 1_000, 8_000, 30_000))
    if method == "image":
        return Operation(token, method, (size,))
    if method == "total":
        return Operation(token, method, (array_of(token, size),))
    if method == "items":
        count = random.randrange(1, 30)
        # One more than there are sees the end. None would not even begin.
        return Operation(token, method, (count,), take=random.choice((count + 1, count // 2 + 1)))
    if method == "slow":
        return Operation(token, method, patience=random.choice((None, _GIVEN_UP)))
    return Operation(token, method)


def is_right(operation: Operation, answer: Any) -> bool:
    """Tell whether an answer is the one to this very call.

    Args:
        operation: the call.
        answer: what came: the value, the list of the items that were taken, or a ValueError.
    """
    token, method, arguments, _, _ = operation
    if method == "echo":
        return bool(answer == [token, arguments[0]])
    if method == "image":
        right = array_of(token, arguments[0])
        return (
            isinstance(answer, np.ndarray)
            and answer.dtype == right.dtype
            and np.array_equal(answer, right)
        )
    if method == "total":
        return bool(answer == [token, int(arguments[0].sum())])
    if method == "items":
        return bool(answer == operation.items)
    if method == "slow":
        return type(answer) is int and answer == token
    return isinstance(answer, ValueError) and str(answer) == f"refused {token}"
