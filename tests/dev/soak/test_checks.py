"""What peers check: answers, states of a structure, and messages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from dev.soak.callers import Situation
from dev.soak.ledger import Ledger, Tail
from dev.soak.listeners import ReceiverPeer
from dev.soak.structures import WrongState, digest, first, progress, step
from dev.soak.targets import Operation, Target, choose, is_right
from sipyco_sync.broadcast import SubscriptionState
from sipyco_sync.sync_struct import Notifier, process_mod

pytestmark = pytest.mark.one_python


class Journal(Ledger):
    """What a server writes down."""

    def __init__(self) -> None:
        self.tokens: list[object] = []

    def write(self, *fields: object) -> None:
        self.tokens += fields


def answer_of(target: Any, operation: Operation) -> Any:
    """Do what a client and a server do together."""
    try:
        answer = getattr(target, operation.method)(operation.token, *operation.arguments)
        if operation.method == "items":
            return list(answer)[: operation.take]
        return asyncio.run(answer) if operation.method == "slow" else answer
    except ValueError as exc:
        return exc


@pytest.mark.parametrize("frames", [True, False])
def test_every_method_gives_the_right_answer_to_its_call_only(frames: bool) -> None:
    journal, seen = Journal(), set()
    target = Target(journal)
    random = Random(1)
    for token in range(1, 200):
        operation = choose(random, token, frames=frames)
        seen.add(operation.method)
        if operation.method == "slow" and journal.tokens.count("slow"):
            continue
        answer = answer_of(target, operation)
        assert is_right(operation, answer)
        assert not is_right(operation, answer_of(target, operation._replace(token=token + 1000)))
        assert not is_right(operation, None)
    assert seen == {"echo", "image", "total", "slow", "refuse", *(["items"] if frames else [])}
    assert journal.tokens[:2] == [1, 1001]  # of each call, before its answer


def test_an_array_with_one_wrong_item_or_of_another_type_is_wrong() -> None:
    operation = Operation(7, "image", (3,))
    assert is_right(operation, np.array([7, 8, 9]))
    assert not is_right(operation, np.array([7, 8, 10]))
    assert not is_right(operation, np.array([7, 8]))
    assert not is_right(operation, np.array([7.0, 8.0, 9.0]))
    assert not is_right(operation, [7, 8, 9])


def test_every_state_of_a_structure_is_one_and_comes_after_the_one_before() -> None:
    notifier, copy = Notifier(first(3, 4)), first(3, 4)
    states = [progress(notifier.raw_view)]
    notifier.publish = lambda mod: process_mod(copy, mod)
    for number in range(1, 30):
        for _ in step(notifier, number):
            states.append(progress(copy))
            assert digest(copy) == digest(notifier.raw_view)
    assert states == sorted(states)
    assert states[-1] == (3, 29, 29, 29, 29, 29, 29)
    assert states[-1] < progress(first(4, 4))  # of a publisher that was started again


def changed(**changes: Any) -> Any:
    structure = first(0, 4)
    for number in range(1, 12):
        for _ in step(structure, number):
            pass
    progress(structure)
    structure.update(changes)
    return structure


@pytest.mark.parametrize(
    "copy",
    [
        None,
        {},
        changed(a=13),
        changed(a=10),
        changed(b=9),
        changed(list=[4, 5, 6, 7, 8, 9, 10]),
        changed(list=[4, 5, 6, 8, 9, 10, 11]),
        changed(list=[3, 3, 5, 6, 7, 8, 9, 10, 11]),
        changed(list=[11]),
        changed(list=[]),
        changed(more=1),
        changed(table={"array": np.array([11, 11, 10, 11]), "keys": {"11": 11}}),
        changed(table={"array": np.full(4, 11), "keys": {"11": 10}}),
        changed(table={"array": np.full(4, 11), "keys": {}}),
        changed(table={"array": np.full(0, 11), "keys": {"11": 11}}),
        changed(table={"array": np.full(4, 12), "keys": {"11": 11}}),
    ],
)
def test_what_was_never_the_structure_is_wrong(copy: Any) -> None:
    with pytest.raises(WrongState):
        progress(copy)


def test_digests_tell_structures_apart() -> None:
    structures = [
        first(0, 4),
        first(1, 4),
        first(0, 5),
        changed(),
        {"a": np.zeros(2, dtype=np.int32)},
        {"a": np.zeros(2, dtype=np.int64)},
        {"a": [0, 0]},
    ]
    assert len({digest(structure) for structure in structures}) == len(structures)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def written(path: Path, *events: Any) -> list[str]:
    """Give a receiver messages and changes of its state; return what it has written."""
    ledger = Ledger(str(path))
    loop = asyncio.new_event_loop()
    peer = ReceiverPeer(Situation(7, "", 0, "events", True, False, ledger, loop))
    for event in events:
        if isinstance(event, SubscriptionState):
            peer._state(event)
        else:
            peer._take(event)
    loop.close()
    ledger.close()
    return list(Tail(path).lines())


def message(run: int, number: int) -> tuple[int, int, str]:
    return run, number, f"event {number} of run {run}"


AWAY = (SubscriptionState.disconnected, SubscriptionState.retrying, SubscriptionState.connected)


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([message(0, 4), message(0, 5)], []),
        ([message(0, 4), *AWAY, message(0, 8)], ["g 7 3"]),
        ([message(0, 4), message(1, 2)], ["g 7 2"]),
        ([message(0, 4), message(0, 6)], ["m 7 1"]),
        (
            [message(0, 4), *AWAY, message(0, 5), message(0, 7)],
            ["m 7 1"],
        ),
        (
            [message(0, 4), message(0, 4)],
            [f"x a message came twice, or late: peer 7: {message(0, 4)}"],
        ),
        (
            [(0, 4, "event 5 of run 0")],
            ["x a message was never sent: peer 7: (0, 4, 'event 5 of run 0')"],
        ),
    ],
)
def test_messages_come_in_order_and_are_missed_only_while_away(
    events: list[Any], lines: list[str], tmp_path: Path
) -> None:
    assert written(tmp_path / "ledger", *events) == lines


def test_a_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    tail = Tail(path)
    assert list(tail.lines()) == []
    with path.open("a") as file:
        file.write("a\nb c\nhal")
        file.flush()
        assert list(tail.lines()) == ["a", "b c"]
        file.write("f\n")
        file.flush()
        assert list(tail.lines()) == ["half"]
    assert list(tail.lines()) == []


def test_a_ledger_makes_one_line_of_any_text(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(str(path))
    ledger.write("x", 7, "two\nlines")
    ledger.close()
    assert path.read_text() == "x 7 two / lines\n"
