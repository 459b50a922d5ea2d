"""Programs that tests start: their environment, and what their loops say of it.

Nothing of the library is needed here.
"""

from __future__ import annotations

import os
import re

# What asyncio says in development mode of a machine that is busy, in whatever format of records.
_SLOW = re.compile(r"Executing <.* took [0-9.]+ seconds$")

# What development adds to a program: it takes memory and time, which some tests are about.
_ADDED = ("PYTHONDEVMODE", "PYTHONWARNINGS")
_MEASUREMENT = ("COVERAGE_PROCESS_CONFIG",)


def as_installed(*, measured: bool = False) -> dict[str, str]:
    """Give the environment of a program that runs as it does in a laboratory.

    Args:
        measured: its coverage is measured all the same, if that of its parent is.
    """
    left_out = _ADDED if measured else _ADDED + _MEASUREMENT
    return {name: value for name, value in os.environ.items() if name not in left_out}


def without_durations(errors: str) -> str:
    """Leave out of standard error what is there on a busy machine only."""
    return "".join(line for line in errors.splitlines(True) if not _SLOW.search(line))
