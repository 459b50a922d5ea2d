"""What takes the items of a served generator in a test, without a connection."""

from __future__ import annotations

from typing import Any

from sipyco_rpc._server.call_record import CallRecord, TargetCalls
from sipyco_rpc._server.generator import GeneratorTable, ServedGenerator
from sipyco_rpc._server.worker import Outcome
from sipyco_rpc.wire.requests import CallRequest


def record_of_call() -> CallRecord:
    """Make the record of a call that is under way."""
    return CallRecord(TargetCalls(), CallRequest("f", [], {}), "a client")


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

    def send_item(self, number: int, outcome: list[Any], record: CallRecord) -> None:
        self.given.extend(outcome)
        self.left -= 1

    def ended(self, number: int, exc: BaseException | None, record: CallRecord) -> None:
        self.ends.append(exc)

    def failed(self, outcome: Outcome) -> None:
        raise AssertionError(f"it raised {outcome!r} after it was ended")

    def closed(self, generator: ServedGenerator) -> None:
        self.finished.append(generator)
