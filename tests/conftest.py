"""What all tests share."""

import os
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

# Set before numpy and torch are loaded, for the tests' processes too. With several tests at once, the threads
# of one matrix product wait for each other: a hundredfold of its time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shell ignores Ctrl-C for what it runs in the background, and nohup a hang-up; children would inherit that.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)
