"""Times and ages as people type them."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Final

_SECONDS: Final = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
    "w": 604800,
    "week": 604800,
}
_PART: Final = r"(\d+(?:\.\d+)?)\s*([a-z]+)"
_DURATION: Final = re.compile(rf"{_PART}(?:\s*{_PART})*", re.ASCII)
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d(?:\.\d{1,6})?))?", re.ASCII)

_TIME_FORMS: Final = (
    "expected a time such as 2026-11-30, 2026-11-30T14:30, 14:30, 2h, 30m, today or yesterday"
)


def parsed_time(text: str, now: datetime | None = None) -> float:
    """Read a time.

    A date begins at midnight; a time without a date is the latest one that has been; `2h` is two
    hours ago. Times are those of this computer's clock, unless they say otherwise (`Z`, `+01:00`).

    Args:
        text: what was typed.
        now: the time now, without a zone.

    Returns:
        Seconds since 1970.

    Raises:
        ValueError: it is no time, or one that computers do not know.
    """
    now = datetime.now() if now is None else now
    try:
        found = _time_of(" ".join(text.lower().split()), now)
        return found if isinstance(found, float) else found.timestamp()
    except (ValueError, OverflowError, OSError):
        pass  # there is no such day, hour, or year
    raise ValueError(f"{_TIME_FORMS}; got {text!r}")


def _time_of(text: str, now: datetime) -> datetime | float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "now":
        return now
    word, _, rest = text.partition(" ")
    if word in ("today", "yesterday"):
        day = midnight - timedelta(days=word == "yesterday")
        return _on_day(day, rest) if rest else day
    if text.startswith("@"):
        return _finite(text[1:])
    if _CLOCK.fullmatch(text):
        found = _on_day(midnight, text)
        # At three in the morning, 23:00 was yesterday.
        return _on_day(midnight - timedelta(days=1), text) if found > now else found
    seconds = _duration(text.removesuffix(" ago"))
    if seconds is not None:
        return now.timestamp() - seconds
    return datetime.fromisoformat(text.upper())


def _on_day(day: datetime, clock: str) -> datetime:
    found = _CLOCK.fullmatch(clock)
    if found is None:
        raise ValueError(clock)
    hour, minute, second = found.groups()
    seconds = float(second or 0)
    whole = int(seconds)
    microsecond = min(999_999, round((seconds - whole) * 1e6))
    return day.replace(hour=int(hour), minute=int(minute), second=whole, microsecond=microsecond)


def _finite(text: str) -> float:
    seconds = float(text)
    datetime.fromtimestamp(seconds)  # refuses what is no time
    return seconds


def _duration(text: str) -> float | None:
    """Read `2h`, `1h30m` or `3 days`, in seconds; None if it is something else."""
    if not _DURATION.fullmatch(text):
        return None
    total = 0.0
    for number, unit in re.findall(_PART, text):
        seconds = _SECONDS.get(unit) or _SECONDS.get(unit.removesuffix("s"))
        if seconds is None:
            return None
        total += float(number) * seconds
    return total if math.isfinite(total) else None


def parsed_age(text: str) -> float:
    """Read how long something is to be kept, such as `30d`; return seconds.

    Raises:
        ValueError: it is no such time.
    """
    seconds = _duration(" ".join(text.lower().split()))
    if not seconds:
        raise ValueError(f"expected how long, such as 30d, 12h or 8w, got {text!r}")
    return seconds
