"""Speed: suites for pytest-benchmark, whole commands, and other simulators beside hbsim."""
