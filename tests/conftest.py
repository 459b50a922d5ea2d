"""Settings of the property tests, and of asyncio's debug mode: no test depends on a duration."""

import logging

from hypothesis import HealthCheck, settings

settings.register_profile(
    "sipyco", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("sipyco")


def _tells_more_than_time(record: logging.LogRecord) -> bool:
    """Leave out what asyncio's debug mode says of how long things took, and of its own doings."""
    return record.levelno > logging.INFO and record.msg != "Executing %s took %.3f seconds"


logging.getLogger("asyncio").addFilter(_tells_more_than_time)
