"""What all tests share."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "hbsim", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("hbsim")
