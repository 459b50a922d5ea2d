"""The units of figures, and what turns seconds into them."""

from __future__ import annotations

from typing import Final

from dev.benchmarks.model import Unit

__all__ = ["CALLS_PER_SECOND", "MB", "MEGABYTES", "MEGABYTES_PER_SECOND", "MICROSECONDS"]
__all__ += ["MILLISECONDS"]

MB: Final = 1_000_000  # bytes, as in all figures

MICROSECONDS: Final = Unit("µs", "less")
MILLISECONDS: Final = Unit("ms", "less")
MEGABYTES: Final = Unit("MB", "less")
MEGABYTES_PER_SECOND: Final = Unit("MB/s", "more")
CALLS_PER_SECOND: Final = Unit("calls/s", "more")
