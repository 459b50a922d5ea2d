"""Numbers as people read them."""

from __future__ import annotations

from dev.benchmarks.model import Target
from dev.benchmarks.stats import Summary

__all__ = ["factor", "number", "size", "spread", "target"]


def number(value: float) -> str:
    """Write three digits, or all of a large integer."""
    if value >= 1000:
        return f"{round(value, -1 if value < 10_000 else -2):,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def spread(summary: Summary) -> str:
    """Write the median and the quartiles."""
    return f"{number(summary.median)} [{number(summary.low)}-{number(summary.high)}]"


def factor(summary: Summary) -> str:
    """Write a ratio and its quartiles."""
    return f"{number(summary.median)}× [{number(summary.low)}-{number(summary.high)}]"


def target(wanted: Target, unit: str, compiled: bool) -> str:
    """Write what should be reached."""
    sign = "≤" if wanted.sense == "at most" else "≥"
    what = "×" if wanted.of == "limit" else f" {unit}"
    return f"{sign} {wanted.applying(compiled):g}{what}"


def size(x: float) -> str:
    """Write a place on a curve: a number with its thousands as `k` or `M`."""
    for factor_of, suffix in ((1e6, " M"), (1e3, " k")):
        if x >= factor_of:
            return f"{x / factor_of:g}{suffix}"
    return f"{x:g}"
