"""Sweeps in processes of their own: killed, interrupted, in parallel, failing; and how long they take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.bench import pool
from hbsim.bench.sweep.folder import read_results
from hbsim.bench.sweep.run import Estimate, _places, estimate, run_plan
from hbsim.bench.sweep.store import SweepStore
from tests.bench.sweep.made import SMALL, left, read, run
from tests.profile import THOROUGH, thorough

COMMAND = "hbsim sweep study.toml"
SLOW = """\
seeds = 3
workers = [1, 4]
defaults = {num_trials = 60}
variants = [{type = "stopping"}, {type = "promotion"}]
surrogates = [{surrogate = "slow.py:Slow", name = "slow"}]
"""
# Each evaluation takes a while, so that there is something to be killed. While there is a file "hold", each
# process stops after some cells, of three evaluations each, and says so in another file.
CURVES = """
import os, time
import numpy as np
from hbsim import Real, Space

class Slow:
    metric, mode, max_resource = "loss", "min", 9.0
    space = Space({"x": Real(0, 1)})

    calls = 0

    def evaluate(self, points, levels):
        Slow.calls += 1
        time.sleep(0.04)
        while Slow.calls > 8 and os.path.exists("hold"):
            open(f"held-{os.getpid()}", "w").close()
            time.sleep(0.02)
        return np.repeat(points, len(levels), 1), np.repeat(levels[None, :], len(points), 0)
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder with the file of a sweep that takes some seconds."""
    (tmp_path / "slow.py").write_text(CURVES)
    (tmp_path / "study.toml").write_text(SLOW)
    return tmp_path


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hbsim", "sweep", "study.toml", "--out", "out", *options]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finished(out: Path) -> int:
    """Return how many parts there are."""
    return len(list((out / "parts").glob("[0-9]*"))) if (out / "parts").is_dir() else 0


def wait_for_parts(process: subprocess.Popen[str], out: Path, more: int) -> None:
    before = finished(out)
    while process.poll() is None and finished(out) < before + more:
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_again_and_again_it_comes_to_the_same_bytes(slow):
    """Kill it at moments drawn at random, early ones among them; each round goes on from the last one."""
    random = np.random.default_rng(0)
    rounds = 0
    for rounds in range(1, 5 if THOROUGH else 3):
        process = start(slow, "--jobs", "2")
        children: list[psutil.Process] = []
        if rounds > 1:
            wait_for_parts(process, slow / "out", int(random.integers(1, 4)))
        time.sleep(float(random.uniform(0, 0.4)))
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, "processes outlive the sweep"
        if process.returncode == 0:
            break
    process = start(slow, "--jobs", "2")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert "12 of 12 cells are done" in out
    run(read(slow, SLOW), slow / "fresh")
    one, other = left(slow / "out"), left(slow / "fresh")
    del one["sweep.json"], other["sweep.json"]  # they hold the command
    assert one == other


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=thorough), "2"])
def test_a_second_sweep_is_turned_away_and_ctrl_c_is_one_line_and_the_same_command_goes_on(jobs, slow):
    (slow / "hold").touch()
    process = start(slow, "--jobs", jobs)
    wait_for_parts(process, slow / "out", 1)
    while process.poll() is None and len(list(slow.glob("held-*"))) < int(jobs):
        time.sleep(0.01)
    second = start(slow, "--jobs", "1")
    _, err = second.communicate(timeout=120)
    assert second.returncode == 1
    assert err.count("\n") == 1
    assert f"process {process.pid}" in err
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    (slow / "hold").unlink()
    assert process.returncode == 75, err
    assert out == ""
    assert err.startswith("hbsim: error: interrupted: ")
    assert "of 12 cells are finished; the same command goes on" in err
    assert err.count("\n") == 1
    there = read_results(slow / "out").done.height
    assert 0 < there < 12
    assert f"interrupted: {there} of" in err
    found = run(read(slow, SLOW), slow / "out")
    assert (found.cells, found.done, found.before) == (12, 12, there)


def test_any_number_of_processes_gives_the_same_bytes(tmp_path):
    sweep = read(tmp_path, SLOW.replace("slow.py:Slow", "synthetic:mode=min,max_resource=9"))
    for jobs in (1, 2):
        found = run(sweep, tmp_path / f"jobs-{jobs}", jobs)
        assert (found.cells, found.done) == (12, 12)
    assert left(tmp_path / "jobs-1") == left(tmp_path / "jobs-2")


# Fails for a configuration that only one seed draws, and for another's kills its process.
PICKY = """
import os, signal
import numpy as np
from hbsim import Real, Space

class Picky:
    metric, mode, max_resource = "loss", "min", 9.0
    space = Space({"x": Real(0, 1)})
    raises, kills = np.array([RAISES]), np.array([KILLS])

    def evaluate(self, points, levels):
        if np.isin(points[:, 0], self.raises).any():
            raise RuntimeError("no curve here")
        if np.isin(points[:, 0], self.kills).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return np.repeat(points, len(levels), 1), np.repeat(levels[None, :], len(points), 0)
"""


def first_points(folder: Path, seed: int) -> str:
    """Return where the first trial of a seed is, to the last digit."""
    import hbsim
    from hbsim.core import make_scheduler

    scheduler = make_scheduler("fifo", max_t=9, mode="min", num_trials=1, seed=seed)
    result = hbsim.simulate(scheduler, f"{folder / 'picky.py'}:Picky", workers=1, seed=seed)
    return repr(float(result.curves.configurations()[0, 0]))


def test_cells_that_fail_are_kept_and_cost_the_others_nothing(tmp_path, monkeypatch):
    picky = tmp_path / "picky.py"
    picky.write_text(PICKY.replace("RAISES", "").replace("KILLS", ""))
    raises, kills = first_points(tmp_path, 3), first_points(tmp_path, 6)
    picky.write_text(PICKY.replace("RAISES", raises).replace("KILLS", kills))
    text = SLOW.replace("slow.py:Slow", "picky.py:Picky").replace("num_trials = 60", "num_trials = 5")
    text = text.replace("[1, 4]", "2").replace("seeds = 3", "seeds = 7")
    (tmp_path / "study.toml").write_text(text)
    process = start(tmp_path, "--jobs", "2")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1, err
    assert "10 of 14 cells are done" in out
    assert err.count("\n") == 1
    assert err.startswith("hbsim: error: 4 of 14 cells failed: stopping on slow, seed 3: ")
    assert "no curve here" in err
    cells = pl.read_parquet(tmp_path / "out" / "cells.parquet")
    failed = cells.filter(pl.col("status") == "failed")
    assert sorted(failed["seed"]) == [3, 3, 6, 6]
    errors = dict(failed.group_by("seed").agg(pl.col("error").unique()).iter_rows())
    assert len(errors[3]) == len(errors[6]) == 1
    assert "no curve here" in errors[3][0]
    killed = "its process ended without a result (signal 9, SIGKILL): too little memory, perhaps"
    assert errors[6] == [killed]
    assert failed["trials"].null_count() == 4

    before, sweep = left(tmp_path / "out"), read(tmp_path, text)
    again = run(sweep, tmp_path / "out", 2)
    assert (again.done, again.failed, again.before) == (10, 4, 14)
    # One job is a process of its own, too; all four go there together, and then one by one.
    monkeypatch.setattr(pool, "CHUNKS", 1)
    retried = run_plan(sweep, tmp_path / "out", COMMAND, jobs=1, is_retrying=True, isolated=True)
    assert (retried.done, retried.failed, retried.before) == (10, 4, 10)
    assert left(tmp_path / "out") == before


@given(st.integers(1, 300))
def test_what_is_tried_is_spread(count):
    places = _places(count)
    assert len(places) == len(set(places)) <= 12
    assert all(0 <= place < count for place in places)
    if count >= 60:
        assert len(places) == 12
        assert {place * 4 // count for place in places} == {0, 1, 2, 3}


def test_cells_that_were_run_tell_where_there_are_enough(tmp_path):
    small = read(tmp_path, SMALL)
    tried = estimate(small)
    assert (tried.studies, tried.known) == (18, 12)
    assert 0 < tried.least <= tried.seconds / 18 <= tried.most
    run(read(tmp_path, SMALL.replace("seeds = 3", "seeds = 4")), tmp_path / "out")
    grown = read(tmp_path, SMALL.replace("seeds = 3", "seeds = 6"))
    store = SweepStore(tmp_path / "out")
    found = estimate(grown, store)
    seconds = store.tables(store.status)["timings"]["seconds"]
    assert (found.studies, found.known) == (12, 24)
    assert found.seconds == 12 * sum(seconds) / 24
    done = estimate(small, store)
    assert (done.studies, done.seconds) == (0, 0.0)


def test_more_processes_than_studies_are_of_no_use():
    assert Estimate(3, 12.0, 3, 4.0, 4.0).on(2) == 6.0
    assert Estimate(3, 12.0, 3, 4.0, 4.0).on(8) == 4.0
    assert Estimate(0, 0.0, 0, 0.0, 0.0).on(8) == 0.0
