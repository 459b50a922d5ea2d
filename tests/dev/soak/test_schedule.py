"""A seed decides what happens when."""

from __future__ import annotations

from collections import Counter

import pytest

from dev.soak.schedule import BREAKING, LINK_FAULTS, PROCESS_FAULTS, Phase, plan

pytestmark = pytest.mark.one_python

PROCESSES = ["rpc server", "publisher", "log server", *(f"worker {number}" for number in range(5))]
LINKS = ["turns", "parallel", "threaded", "lines", "structures", "messages", "logs"]


def planned(seed: int, seconds: float) -> list[Phase]:
    return plan(seed, seconds, PROCESSES, LINKS)[1]


def test_the_same_seed_gives_the_same_plan() -> None:
    assert planned(5, 60) == planned(5, 60)
    assert planned(5, 60) != planned(6, 60)


@pytest.mark.parametrize("seconds", [3.0, 9.0, 60.0, 600.0])
@pytest.mark.parametrize("seed", range(5))
def test_faults_keep_to_their_phase_and_to_one_of_a_target_at_a_time(
    seed: int, seconds: float
) -> None:
    warm_up, phases = plan(seed, seconds, PROCESSES, LINKS)
    assert warm_up + sum(p.seconds + p.quiet for p in phases) == pytest.approx(seconds)
    for phase in phases:
        assert phase.quiet > 0
        free: dict[str, float] = {}
        for fault in phase.faults:
            kinds = PROCESS_FAULTS if fault.target in PROCESSES else LINK_FAULTS
            assert fault.kind in kinds
            assert free.get(fault.target, 0.0) <= fault.at
            assert 0 <= fault.at <= phase.seconds
            assert 0 < fault.seconds <= 2.5
            assert fault.at + fault.seconds <= phase.seconds + 0.01
            free[fault.target] = fault.at + fault.seconds


def test_a_minute_has_all_that_there_is_and_ends_every_process() -> None:
    assert {*PROCESS_FAULTS, *LINK_FAULTS} > BREAKING
    kinds: Counter[str] = Counter()
    for seed in range(10):
        faults = [fault for phase in planned(seed, 60) for fault in phase.faults]
        kinds.update(fault.kind for fault in faults)
        ended = {fault.target for fault in faults if fault.kind in ("kill", "restart")}
        assert ended == set(PROCESSES)
    assert set(kinds) == {*PROCESS_FAULTS, *LINK_FAULTS}


def test_in_each_phase_most_processes_live() -> None:
    for seed in range(10):
        for phase in planned(seed, 60):
            ended = {f.target for f in phase.faults if f.kind in ("kill", "restart")}
            assert 1 <= len(ended) <= len(PROCESSES) / 2
