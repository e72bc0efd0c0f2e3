"""What all tests share."""

import signal

from hypothesis import HealthCheck, settings

from tests.profile import examples

settings.register_profile(
    "hbsim",
    deadline=None,
    max_examples=examples(100),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("hbsim")

# A shell ignores Ctrl-C for what it runs in the background, and nohup a hang-up; children would inherit that.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)
