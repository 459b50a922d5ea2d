"""Settings of the property tests, of asyncio's debug mode, and of processes that run tests."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dev.fuzz.standard_types import types_restored

settings.register_profile(
    "sipyco", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("sipyco")


def _tells_more_than_time(record: logging.LogRecord) -> bool:
    """Leave out what asyncio's debug mode says of how long things took, and of its own doings."""
    return record.levelno > logging.INFO and record.msg != "Executing %s took %.3f seconds"


logging.getLogger("asyncio").addFilter(_tells_more_than_time)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may not be there
def pytest_xdist_auto_num_workers() -> int | None:
    """Run more tests at once than there are processors: they wait as much as they compute."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # pytest-xdist knows what that means
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True, scope="session")
def warnings_are_errors_in_programs_too() -> Iterator[None]:
    """Have the programs that tests start treat warnings as the tests do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONWARNINGS", "error")
        yield


@pytest.fixture(autouse=True)
def no_types_stay_registered() -> Iterator[None]:
    """Commands, for one, switch the standard types on for all of their process."""
    with types_restored():
        yield


@given(st.none())
def _draw(value: None) -> None:
    """Use Hypothesis: at first it counts who refers to its generator of random numbers."""


@pytest.fixture(autouse=True, scope="session")
def hypothesis_has_counted() -> None:
    """Let it count before a test of leaks freezes what the garbage collector would find."""
    _draw()
