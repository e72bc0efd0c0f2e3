"""Plans without a pilot and with one, for pytest-benchmark: `make bench`. Nothing asserts on a time."""

from __future__ import annotations

import subprocess
import sys

import pytest

WORDS = ("plan", "--max-t", "81", "--workers", "8")


@pytest.mark.benchmark(group="hbsim plan: 8 workers, max_t 81, a whole command")
@pytest.mark.parametrize(
    "words",
    [
        ("--budget", "4h", "--unit-seconds", "60"),
        ("--budget", "24h", "--unit-seconds", "60"),
        ("--budget", "10min", "--pilot", "digits"),
    ],
    ids=["4 h", "24 h", "a pilot"],
)
def test_plan(benchmark, words):
    command = [sys.executable, "-m", "hbsim", *WORDS, *words]
    benchmark.pedantic(subprocess.run, (command,), {"check": True, "capture_output": True}, rounds=1)
