"""Pauses between attempts grow up to a limit, and differ from client to client."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from sipyco_rpc.support import backoff as module
from sipyco_rpc.support.backoff import backoff


def test_pauses_grow_by_half_up_to_twelve_times_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 1.0

    monkeypatch.setattr(module.random, "uniform", uniform)
    pauses = list(islice(backoff(2.0), 9))
    assert pauses[:4] == [2.0, 3.0, 4.5, 6.75]
    assert pauses[6] == 2 * 1.5**6 < 24.0
    assert pauses[7:] == [24.0, 24.0]
    assert set(drawn) == {(0.8, 1.2)}


def test_pauses_of_two_clients_differ_by_up_to_a_fifth() -> None:
    firsts = [next(backoff(10.0)) for _ in range(100)]
    assert len(set(firsts)) > 90
    assert min(firsts) >= 8.0
    assert max(firsts) <= 12.0
