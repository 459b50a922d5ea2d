"""What the options of `sipyco_logserver` and `sipyco_logs` take; anything else is refused."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipyco_tools._logstore import options


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        (options.database_size, "1M", 1024 * 1024),
        (options.rotation, "day", None),
        (options.rotation, "100M", 100 * 1024 * 1024),
        (options.level, "warning", 30),
        (options.level, "TRACE", 5),
        (options.level, "35", 35),
        (options.limit, "all", None),
        (options.limit, "0", 0),
        (options.path, "logs.db", Path.cwd() / "logs.db"),
    ],
)
def test_what_is_meant_is_taken(option: Callable[[str], Any], text: str, value: object) -> None:
    assert option(text) == value


@pytest.mark.parametrize(
    ("option", "text", "error"),
    [
        (options.database_size, "1023K", "expected at least 1M, got '1023K'"),
        (options.rotation, "week", "expected `day` or a size such as 100M, got 'week'"),
        (options.level, "loud", "or a number, got 'loud'"),
        (options.level, "-1", "or a number, got '-1'"),
        (options.limit, "some", "expected `all` or a number, got 'some'"),
        (options.path, "", "expected a file, got an empty name"),
    ],
)
def test_anything_else_is_refused(option: Callable[[str], Any], text: str, error: str) -> None:
    with pytest.raises(ArgumentTypeError) as raised:
        option(text)
    assert str(raised.value).endswith(error)
