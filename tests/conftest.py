"""Settings of the property tests: no test depends on a duration."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "sipyco", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("sipyco")
