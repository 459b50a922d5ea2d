"""What each of these tests leaves open is an error; and a logger for forwarders."""

import logging
from collections.abc import Iterator

import pytest

from support.leaks import nothing_is_left

__all__ = ["logger", "nothing_is_left"]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("under.test")
    logger.setLevel(1)
    logger.propagate = False
    yield logger
    logger.propagate = True
    logger.handlers.clear()
