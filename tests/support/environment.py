"""The environment of programs that tests start. Nothing of the library is needed here."""

from __future__ import annotations

import os

# What development adds to a program: it takes memory and time, which some tests are about.
_ADDED = ("PYTHONDEVMODE", "PYTHONWARNINGS", "COVERAGE_PROCESS_CONFIG")


def as_installed() -> dict[str, str]:
    """Give the environment of a program that runs as it does in a laboratory."""
    return {name: value for name, value in os.environ.items() if name not in _ADDED}
