"""A script written for the seed runs by changing the import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl

from hbsim.executors.devices import cpu_limit, cpus

# The example of the page: the seed's own. No `if __name__ == "__main__":` on purpose.
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "from-autotorch.md").read_text("utf-8")
SCRIPT = PAGE.split("```python\n")[1].split("```")[0]
SCRIPT += "print(scheduler.get_best_task_id(), scheduler.get_best_config()['lr'])\n"

cores = min(len(cpus()), int(cpu_limit() or 10**6))


def with_cores(count: int) -> str:
    assert '"num_cpus": 2' in SCRIPT
    return SCRIPT.replace('"num_cpus": 2', f'"num_cpus": {count}')


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    command = [sys.executable, "-W", "error", "script.py"]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=120)


def test_the_seeds_example_runs_and_can_be_run_again(tmp_path: Path) -> None:
    text = with_cores(min(cores, 2)).replace("num_trials=20", "num_trials=9")
    done = run_script(tmp_path, text)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    assert "set max_t to what train_fn trains" in done.stderr
    best, rate = done.stdout.split()
    exp = tmp_path / "exp"
    assert f"the training curves are in {exp / 'curves.png'}" in done.stderr
    assert (exp / "curves.png").read_bytes().startswith(b"\x89PNG")
    trials = pl.read_parquet(exp / "trials.parquet")
    assert len(trials) == 9
    # Those that no rung stopped have returned at epoch 9, far below max_t: they are complete.
    assert set(trials["status"]) <= {"completed", "stopped"}
    ended = trials.filter(pl.col("status") == "completed")
    assert len(ended)
    assert set(ended["reached"]) == {9.0}
    log = (exp / "trials" / f"{int(best):06d}" / "log.txt").read_text()
    assert f"lr: {rate}, wd: " in log
    text = text.replace("num_trials=9", "num_trials=2")
    text = text.replace("import hbsim as at", "import warnings\nimport hbsim as at")
    text = text.replace("scheduler.join_jobs()", "warnings.simplefilter('default'); scheduler.join_jobs()")
    done = run_script(tmp_path, text)
    assert done.returncode == 0, done.stderr
    assert f"the earlier study in {tmp_path / 'exp'} is in {tmp_path / 'exp.1'} now" in done.stderr
    assert (tmp_path / "exp.1" / "journal.jsonl").is_file()
    assert (tmp_path / "exp" / "journal.jsonl").is_file()
