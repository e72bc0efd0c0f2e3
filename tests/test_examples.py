"""The examples run, and print what they promise."""

import csv
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


def test_a_callback_of_ones_own(tmp_path):
    words = (
        "run examples/train.py:train_fn --scheduler promotion --max-t 27 --trials 9 --workers 2 --json"
        f" --progress none --callback examples/callback.py:Table --folder {tmp_path}/exp"
    )
    command = [sys.executable, "-m", "hbsim", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    summary = json.loads(done.stdout)["summary"]  # what the callback prints is not there
    last = [line for line in done.stderr.splitlines() if line.startswith("new best: ")][-1]
    assert last.startswith(f"new best: trial {summary['best_trial']} has {summary['best']:.4f} at epoch ")
    rows = list(csv.DictReader((tmp_path / "exp" / "table.csv").read_text().splitlines()))
    assert len(rows) == summary["jobs"]
    assert {int(row["trial"]) for row in rows} == {*range(9)}
    assert sum(row["status"] == "completed" for row in rows) == summary["completed"]


def test_a_function_that_halves_its_batch_size(tmp_path):
    study = ["--scheduler", "promotion", "--max-t", "9", "--num-trials", "9", "--workers", "2", "--seed", "3"]
    how = [
        "--metric",
        "loss",
        "--mode",
        "min",
        "--retries",
        "2",
        "--folder",
        str(tmp_path),
        "--progress",
        "none",
    ]
    run("-m", "hbsim", "run", "examples/out_of_memory.py:train", *study, *how, "--json")
    shown = json.loads(run("-m", "hbsim", "show", str(tmp_path), "--json"))
    assert not shown["failures"]
    sizes = {one["configuration"]["batch_size"]: one["changed"] for one in shown["top"]}
    assert sizes == {16: {}, 64: {"batch_size": 32}, 256: {"batch_size": 32}}
    table = run("-m", "hbsim", "show", str(tmp_path))
    assert "256 -> 32" in table
