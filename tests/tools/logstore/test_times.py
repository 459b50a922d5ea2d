"""Times, ages and sizes as people type them; whatever else is typed is refused with the forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_tools._cli.arguments import parsed_size
from sipyco_tools._logstore.times import parsed_age, parsed_time

NOW = datetime(2026, 11, 30, 3, 12, 44, 500_000)  # at three in the morning


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("today", datetime(2026, 11, 30)),
        ("Yesterday", datetime(2026, 11, 29)),
        ("yesterday 23:00", datetime(2026, 11, 29, 23)),
        ("today  02:30:05.25", datetime(2026, 11, 30, 2, 30, 5, 250_000)),
        ("2026-11-30", datetime(2026, 11, 30)),
        ("2026-11-30 14:30", datetime(2026, 11, 30, 14, 30)),
        ("2026-11-30t14:30:05.125", datetime(2026, 11, 30, 14, 30, 5, 125_000)),
        ("02:30", datetime(2026, 11, 30, 2, 30)),
        ("2:30", datetime(2026, 11, 30, 2, 30)),
        ("03:12:44.5", NOW),
        ("23:00", datetime(2026, 11, 29, 23)),  # not the one to come
        ("2h", NOW - timedelta(hours=2)),
        ("2 hours ago", NOW - timedelta(hours=2)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("1 day 12 h", NOW - timedelta(hours=36)),
        ("1.5d", NOW - timedelta(hours=36)),
        ("90s", NOW - timedelta(seconds=90)),
        ("2 weeks", NOW - timedelta(days=14)),
        ("10min", NOW - timedelta(minutes=10)),
    ],
)
def test_times_that_people_type(text: str, expected: datetime) -> None:
    assert parsed_time(text, NOW) == pytest.approx(expected.timestamp(), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-30T14:30Z", 1796049000.0),
        ("2026-11-30T14:30+01:00", 1796049000.0 - 3600),
        ("@1700000000.5", 1700000000.5),
    ],
)
def test_times_of_all_the_world(text: str, expected: float) -> None:
    assert parsed_time(text, NOW) == expected


def test_the_clock_is_that_of_the_wall() -> None:
    before = datetime.now().timestamp()
    assert before <= parsed_time("now") <= datetime.now().timestamp()


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "14", "25:00", "12:60", "2x", "h", "1h2", "yesterday noon", "2026-13-01"),
        *("nan", "@", "@nan", "@1e30", "9" * 400 + "d", "tomorrow", "-2h", "2h\0", "0001-01-01"),
    ],
)
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as 2026-11-30, ") as raised:
        parsed_time(text, NOW)
    assert str(raised.value).endswith(f"; got {text!r}")


def outcome(parse: Callable[[str], Any], text: str) -> Any:
    """Return the value, or the text of the error."""
    try:
        return parse(text)
    except ValueError as exc:
        return str(exc)


@pytest.mark.one_python
@given(st.text(alphabet="0123456789:.-+@TZ hmdwsagoy") | st.text())
def test_any_text_is_a_time_or_refused(text: str) -> None:
    found = outcome(parsed_time, text)
    if isinstance(found, str):
        assert found.endswith(f"; got {text!r}")
    else:
        assert isinstance(found, float)
        assert math.isfinite(found)


@pytest.mark.one_python
@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))
def test_iso_times_are_read_as_python_writes_them(when: datetime) -> None:
    assert parsed_time(when.isoformat(), NOW) == when.timestamp()
    assert parsed_time(str(when), NOW) == when.timestamp()


@pytest.mark.one_python
@given(st.integers(0, 10**6), st.sampled_from("smhdw"))
def test_durations_are_so_long_ago(number: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    expected = NOW.timestamp() - number * seconds
    assert parsed_time(f"{number}{unit}", NOW) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2592000), ("12 h", 43200), ("1w 2d", 777600)]
)
def test_ages(text: str, seconds: float) -> None:
    assert parsed_age(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "0d", "d", "2026-11-30", "x"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match="expected how long, such as 30d, 12h or 8w, got "):
        parsed_age(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("500M", 500 * 2**20), ("1.5k", 1536), ("2 GiB", 2**31), ("1TB", 2**40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parsed_size(text) == size


@pytest.mark.one_python
@given(st.text() | st.from_regex(r"[0-9]{0,30}(\.[0-9]*)?[kMGTiB]*", fullmatch=True))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    found = outcome(parsed_size, text)
    if isinstance(found, str):
        assert found == f"expected a size such as 65536, 64K or 2G, got {text!r}"
    else:
        assert 1 <= found < 2**63
