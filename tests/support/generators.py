"""What takes the items of a served generator in a test, without a connection."""

from __future__ import annotations

from typing import Any

from sipyco_rpc._server.generator import GeneratorTable, ServedGenerator
from sipyco_rpc._server.worker import Outcome


class Items(GeneratorTable):
    """Keeps what one generator gives.

    Attributes:
        left: how many items are still asked for.
        can_write: whether one can be sent.
        given: the items.
        ends: what the generator ended with.
        finished: is there once nothing of it runs.
    """

    def __init__(self, credit: int, *, writable: bool = True) -> None:
        self.left = credit
        self.can_write = writable
        self.given: list[Any] = []
        self.ends: list[BaseException | None] = []
        self.finished: list[ServedGenerator] = []

    def credit(self, number: int) -> int:
        return self.left

    @property
    def writable(self) -> bool:
        return self.can_write

    def send_item(self, number: int, outcome: list[Any]) -> None:
        self.given.extend(outcome)
        self.left -= 1

    def ended(self, number: int, exc: BaseException | None) -> None:
        self.ends.append(exc)

    def failed(self, outcome: Outcome) -> None:
        raise AssertionError(f"it raised {outcome!r} after it was ended")

    def closed(self, generator: ServedGenerator) -> None:
        self.finished.append(generator)
