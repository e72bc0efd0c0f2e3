"""What all tests share."""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "hbsim", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("hbsim")

# A shell ignores Ctrl-C for what it runs in the background, and children would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
