"""Medians, quartiles and ratios, on figures whose answers are known."""

from __future__ import annotations

import pytest

from dev.benchmarks.stats import Summary, geometric_mean, ratios, summarize

pytestmark = pytest.mark.one_python


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([3.0], Summary(3.0, 3.0, 3.0)),
        ([1.0, 3.0], Summary(2.0, 1.5, 2.5)),
        ([5.0, 1.0, 2.0, 4.0, 3.0], Summary(3.0, 2.0, 4.0)),
        ([1.0, 1.0, 1.0, 100.0, 1.0], Summary(1.0, 1.0, 1.0)),
    ],
)
def test_the_median_and_its_quartiles(samples, expected):
    assert summarize(samples) == expected


def test_ratios_are_those_of_the_same_round():
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_rounds_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one():
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1.0)
