"""Rounds: who is measured, in which order, and who is left out. Figures are made up."""

from __future__ import annotations

import pytest

from dev.benchmarks.children import ChildError
from dev.benchmarks.harness import Settings, run_experiment
from dev.benchmarks.model import Experiment, Unit

pytestmark = pytest.mark.one_python

UNIT = Unit("µs", "less")


def experiment(contenders, **options):
    return Experiment("work", UNIT, contenders, **options)


def counting(name, calls):
    def open_probe():
        def probe():
            calls.append(name)
            return float(len(calls))

        return probe

    return open_probe


def test_rounds_are_interleaved_after_a_warm_up_and_the_order_turns():
    calls: list[str] = []
    contenders = {name: counting(name, calls) for name in "abc"}
    outcome = run_experiment(experiment(contenders), Settings(rounds=3))
    assert "".join(calls) == "abc" + "abc" + "acb" + "cab"
    assert outcome.samples["a"] == [4.0, 7.0, 11.0]


def test_only_what_is_wanted_is_measured():
    calls: list[str] = []
    contenders = {name: counting(name, calls) for name in "abc"}
    outcome = run_experiment(experiment(contenders), Settings(rounds=2), {"b"})
    assert set(calls) == {"b"}
    assert list(outcome.samples) == ["b"]


def test_one_that_cannot_start_is_left_out_with_the_reason():
    def missing():
        raise ChildError("not installed: peer")

    outcome = run_experiment(
        experiment({"peer": missing, "ours": counting("ours", [])}), Settings(rounds=2)
    )
    assert outcome.failed == {"peer": "not installed: peer"}
    assert list(outcome.samples) == ["ours"]


def test_one_that_fails_later_keeps_no_figures():
    figures = iter([1.0, 2.0])

    def probe():
        for figure in figures:
            return figure
        raise ChildError("it has gone")

    outcome = run_experiment(
        experiment({"peer": lambda: probe, "ours": counting("ours", [])}), Settings(rounds=4)
    )
    assert outcome.failed == {"peer": "it has gone"}
    assert len(outcome.samples["ours"]) == 4
    assert "peer" not in outcome.samples


def test_derived_figures_come_from_the_same_round():
    contenders = {"a": counting("a", []), "b": counting("b", [])}
    outcome = run_experiment(
        experiment(contenders, derived={"sum": lambda figures: figures["a"] + figures["b"]}),
        Settings(rounds=2),
    )
    assert outcome.samples["sum"] == [4.0, 6.0]


def test_what_would_be_derived_from_missing_figures_is_left_out():
    outcome = run_experiment(
        experiment({"a": counting("a", [])}, derived={"b twice": lambda figures: figures["b"]}),
        Settings(rounds=1),
    )
    assert outcome.failed == {"b twice": "needs the figures of 'b'"}


def test_a_quick_round_does_a_part_but_never_nothing():
    assert Settings(rounds=3, quick=True).count(80) == 10
    assert Settings(rounds=3, quick=True).count(2) == 1
    assert Settings(rounds=3).count(80) == 80
