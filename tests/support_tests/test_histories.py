"""The judge of histories: right ones pass, and each wrong one is refused for what is wrong."""

from __future__ import annotations

import asyncio

import pytest

from sipyco_rpc.pc_rpc import GenericRemoteException
from support.histories import (
    Answered,
    Begun,
    Closed,
    Closing,
    Connected,
    Event,
    Executed,
    Failed,
    Refused,
    data_of,
    judge,
)

pytestmark = pytest.mark.one_python

A, B = Connected("A"), Connected("B", best_effort=True)
OWN = Answered("A", 1, (1, b""))
LOST = Failed("A", 1, EOFError("lost"))
DROPPED = Failed("A", 1, GenericRemoteException("asyncio.exceptions.CancelledError"))
LATE = Failed("A", 1, TimeoutError("late"))
GONE = ConnectionResetError("gone")

RIGHT: dict[str, list[Event]] = {
    "nothing": [],
    "an answer": [A, Begun("A", 1), Executed(1), OWN],
    "data": [A, Begun("A", 1, size=6), Executed(1), Answered("A", 1, (1, b"\0\0\0\1\0\0"))],
    "items": [A, Begun("A", 1, items=2), Executed(1), Answered("A", 1, [(1, 0), (1, 1)])],
    "executed and lost": [A, Begun("A", 1), Executed(1), LOST],
    "not executed and lost": [A, Begun("A", 1), LOST],
    "executed after it was given up": [A, Begun("A", 1, limited=True), LATE, Executed(1)],
    "cancelled": [
        A,
        Begun("A", 1, cancelled=True),
        Failed("A", 1, asyncio.CancelledError()),
        Begun("A", 2),
        Executed(2),
        Answered("A", 2, (2, b"")),
    ],
    "cancelled by the server before its turn": [A, Begun("A", 1), DROPPED],
    "a generator that the server has ended": [A, Begun("A", 1, items=2), Executed(1), DROPPED],
    "an error after the loss": [A, Begun("A", 1), LOST, Begun("A", 2), Failed("A", 2, GONE)],
    "a call that was begun before the loss": [
        A,
        Begun("A", 1),
        Begun("A", 2),
        Executed(2),
        LOST,
        Answered("A", 2, (2, b"")),
    ],
    "right after a timeout": [
        A,
        Begun("A", 1, limited=True),
        LATE,
        Begun("A", 2),
        Executed(2),
        Answered("A", 2, (2, b"")),
    ],
    "closed": [A, Closing("A"), Closed("A"), Begun("A", 1), Failed("A", 1, GONE)],
    "closed twice": [A, Closing("A"), Closed("A"), Closing("A"), Closed("A")],
    "refused": [Refused("A", ConnectionRefusedError("no"))],
    "best effort: none": [B, Begun("B", 1), Answered("B", 1, None)],
    "best effort: executed and none": [B, Begun("B", 1), Executed(1), Answered("B", 1, None)],
    "best effort: back": [
        B,
        Begun("B", 1),
        Answered("B", 1, None),
        Begun("B", 2),
        Executed(2),
        Answered("B", 2, (2, b"")),
    ],
    "best effort: some items": [
        B,
        Begun("B", 1, items=2),
        Executed(1),
        Answered("B", 1, [(1, 0)]),
        Begun("B", 2, items=2),
        Answered("B", 2, []),
    ],
    "best effort: closed": [
        B,
        Closing("B"),
        Closed("B"),
        Begun("B", 1),
        Answered("B", 1, None),
    ],
}

WRONG: dict[str, list[Event]] = {
    "call 1 of A has no end": [A, Begun("A", 1), Executed(1)],
    "call 1 ends twice": [A, Begun("A", 1), Executed(1), OWN, OWN],
    "A gets the end of call 1, which it has not begun": [A, B, Begun("B", 1), Executed(1), OWN],
    "call 1 of A gets (2, b''), not (1, b'')": [
        A,
        Begun("A", 1),
        Executed(1),
        Answered("A", 1, (2, b"")),
    ],
    "call 1 of A gets (1, b'\\x00\\x00\\x00\\x02'), not (1, b'\\x00\\x00\\x00\\x01')": [
        A,
        Begun("A", 1, size=4),
        Executed(1),
        Answered("A", 1, (1, data_of(2, 4))),
    ],
    "call 1 of A gets None, not (1, b'')": [A, Begun("A", 1), Executed(1), Answered("A", 1, None)],
    "call 1 of A gets [(1, 0)], not [(1, 0), (1, 1)]": [
        A,
        Begun("A", 1, items=2),
        Executed(1),
        Answered("A", 1, [(1, 0)]),
    ],
    "call 1 of B gets [(1, 1)], not [(1, 0), (1, 1)]": [
        B,
        Begun("B", 1, items=2),
        Executed(1),
        Answered("B", 1, [(1, 1)]),
    ],
    "call 1 is executed twice": [A, Begun("A", 1), Executed(1), Executed(1), OWN],
    "1 is executed, but nobody has asked for it": [A, Executed(1), Begun("A", 1), OWN],
    "call 1 of A is answered, but not executed": [A, Begun("A", 1), OWN],
    "call 1 of A raises ValueError('no')": [A, Begun("A", 1), Failed("A", 1, ValueError("no"))],
    "call 1 of A raises GenericRemoteException('asyncio.exceptions.CancelledError')": [
        A,
        Begun("A", 1),
        Executed(1),
        DROPPED,
    ],
    "call 1 of A raises EOFError()": [A, Begun("A", 1), Failed("A", 1, EOFError())],
    "call 1 of A raises TimeoutError('late')": [A, Begun("A", 1), LATE],
    "call 1 of A raises CancelledError()": [
        A,
        Begun("A", 1),
        Failed("A", 1, asyncio.CancelledError()),
    ],
    "call 1 of B raises EOFError('lost')": [B, Begun("B", 1), Failed("B", 1, EOFError("lost"))],
    "call 2 of A is answered, but its connection was lost earlier": [
        A,
        Begun("A", 1),
        LOST,
        Begun("A", 2),
        Executed(2),
        Answered("A", 2, (2, b"")),
    ],
    "call 2 of A raises TimeoutError('late'), but its connection was lost earlier": [
        A,
        Begun("A", 1),
        LOST,
        Begun("A", 2, limited=True),
        Failed("A", 2, TimeoutError("late")),
    ],
    "call 1 of A is answered, but it is closed": [
        A,
        Closing("A"),
        Closed("A"),
        Begun("A", 1),
        Executed(1),
        OWN,
    ],
    "call 1 of B is answered, but it is closed": [
        B,
        Closing("B"),
        Closed("B"),
        Begun("B", 1),
        Executed(1),
        Answered("B", 1, (1, b"")),
    ],
    "closing A does not return": [A, Closing("A")],
    "A cannot be made: ValueError('no')": [Refused("A", ValueError("no"))],
    "A cannot be made: TimeoutError()": [Refused("A", TimeoutError())],
    "B cannot be made: EOFError('no')": [Refused("B", EOFError("no"), best_effort=True)],
}


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_a_right_history_passes(history: list[Event]) -> None:
    assert judge(history) == []


@pytest.mark.parametrize(("reason", "history"), WRONG.items(), ids=WRONG)
def test_a_wrong_history_is_refused(reason: str, history: list[Event]) -> None:
    assert reason in judge(history)
