"""Medians, quartiles and ratios of rounds. Nothing is measured here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Summary", "geometric_mean", "ratios", "summarize"]


class Summary(NamedTuple):
    """The median of some rounds, and the quartiles around it."""

    median: float
    low: float
    high: float


def summarize(samples: Sequence[float]) -> Summary:
    """Summarize rounds.

    Args:
        samples: at least one figure; one alone is its own quartiles.
    """
    if len(samples) == 1:
        return Summary(samples[0], samples[0], samples[0])
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Summary(median, low, high)


def ratios(subject: Sequence[float], other: Sequence[float]) -> list[float]:
    """Divide figures of the same round, which the same neighbours on the machine have disturbed.

    Raises:
        ValueError: the numbers of rounds differ.
    """
    return [ours / theirs for ours, theirs in zip(subject, other, strict=True)]


def geometric_mean(values: Iterable[float]) -> float:
    """Return the mean that is the same for ratios and for their inverses."""
    logarithms = [math.log(value) for value in values]
    return math.exp(math.fsum(logarithms) / len(logarithms))
