"""A script written for the seed runs by changing the import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from hbsim.executors.devices import cpu_limit, cpus

# No `if __name__ == "__main__":` on purpose.
SCRIPT = """
import numpy as np
import hbsim as at

@at.args(
    lr=at.Real(1e-3, 1e-2, log=True),
    wd=at.Real(1e-3, 1e-2))
def train_fn(args, reporter):
    print('lr: {}, wd: {}'.format(args.lr, args.wd))
    for e in range(10):
        dummy_accuracy = 1 - np.power(1.8, -np.random.uniform(e, 2*e))
        reporter(epoch=e, accuracy=dummy_accuracy, lr=args.lr, wd=args.wd)

scheduler = at.HyperbandScheduler(train_fn,
                                  resource={'num_cpus': CORES, 'num_gpus': 0},
                                  num_trials=20,
                                  reward_attr='accuracy',
                                  time_attr='epoch',
                                  grace_period=1)

scheduler.join_jobs()
scheduler.get_training_curves(plot=True)
print(scheduler.get_best_task_id(), scheduler.get_best_config()['lr'])
"""

cores = min(len(cpus()), int(cpu_limit() or 10**6))


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    command = [sys.executable, "-W", "error", "script.py"]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("count", [1, 2])
def test_the_seeds_example(count: int, tmp_path: Path) -> None:
    if count > cores:
        pytest.skip(f"this machine has {cores} CPU core")
    done = run_script(tmp_path, SCRIPT.replace("CORES", str(count)))
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    assert "set max_t to what train_fn trains" in done.stderr
    best, rate = done.stdout.split()
    exp = tmp_path / "exp"
    assert f"the training curves are in {exp / 'curves.png'}" in done.stderr
    assert (exp / "curves.png").read_bytes().startswith(b"\x89PNG")
    trials = pl.read_parquet(exp / "trials.parquet")
    assert len(trials) == 20
    # Those that no rung stopped have returned at epoch 9, far below max_t: they are complete.
    assert set(trials["status"]) <= {"completed", "stopped"}
    ended = trials.filter(pl.col("status") == "completed")
    assert len(ended)
    assert set(ended["reached"]) == {9.0}
    log = (exp / "trials" / f"{int(best):06d}" / "log.txt").read_text()
    assert f"lr: {rate}, wd: " in log


def test_it_can_be_run_again(tmp_path: Path) -> None:
    text = SCRIPT.replace("CORES", "1").replace("num_trials=20", "num_trials=2")
    text = text.replace("import hbsim as at", "import warnings\nimport hbsim as at")
    text = text.replace("scheduler.join_jobs()", "warnings.simplefilter('default'); scheduler.join_jobs()")
    for _ in range(2):
        done = run_script(tmp_path, text)
        assert done.returncode == 0, done.stderr
    assert f"the earlier study in {tmp_path / 'exp'} is in {tmp_path / 'exp.1'} now" in done.stderr
    assert (tmp_path / "exp.1" / "journal.jsonl").is_file()
    assert (tmp_path / "exp" / "journal.jsonl").is_file()
