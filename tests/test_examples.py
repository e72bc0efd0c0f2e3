"""The examples run, and print what they promise."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == ""
    return done.stdout


def test_a_loop_of_ones_own():
    lines = run("examples/own_loop.py").splitlines()
    completed = [line for line in lines if "completed" in line]
    gone = {int(line.split()[1]) for line in lines if "checkpoint can go" in line}
    assert completed
    assert len(gone) == 27 - len(completed)
    assert lines[-1].startswith("Trial 0 (bracket 0) came to level")


def test_a_surrogate_of_ones_own():
    study = ["--scheduler", "stopping", "--trials", "200", "--max-t", "27"]
    surrogate = "examples/own_surrogate.py:Sine"
    summary = json.loads(run("-m", "hbsim", "simulate", *study, "--surrogate", surrogate, "--json"))[
        "summary"
    ]
    assert summary["surrogate"] == "sine"
    assert 0 <= summary["regret"] < 0.01
