"""kill -9 of anything that a study on a Dask cluster consists of: nothing is lost, twice, or left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.doubles.dask_processes import eventually

from .checks import check
from .processes import is_over, kill, left, studying


def test_what_runs_on_hosts_is_replaced(tmp_path: Path) -> None:
    with studying(tmp_path, lease=2.0) as study:
        study.start(trials=40, seconds=0.5)
        study.reach(2)
        kill(study.trials_of(0)[0])
        study.reach(1)
        server = study.server_of(0)
        kill(server)
        assert study.trials_of(0)  # of another server: that one is dead
        assert study.server_of(0) != server
        agent = study.agent_of(0)
        kill(agent)
        assert study.trials_of(0)
        assert study.agent_of(0) != agent
        kill(study.worker(1))
        number = study.cluster.start_worker()
        assert study.trials_of(number)
        study.finish()
        assert study.records("fail")
        check(study)


def test_nannies_replace_workers(tmp_path: Path) -> None:
    with studying(tmp_path, nanny=True, lease=2.0) as study:
        study.start(trials=40, seconds=0.5)
        study.reach(2)
        worker = study.worker(0)
        kill(worker)
        study.until(lambda: study.worker(0) not in (worker, study.started(0)), "another worker")
        assert study.trials_of(0)
        worker = study.worker(1)
        kill(study.started(1))
        eventually(lambda: is_over(worker), "an end of the worker")
        study.finish()
        check(study)


@pytest.mark.parametrize("executor", ["dask", "local"])
def test_a_study_that_goes_on_at_once_waits_for_what_was_left(executor: str, tmp_path: Path) -> None:
    """The trials of the process that was killed may run on for as long as the lease: not beside others."""
    with studying(tmp_path, lease=2.0) as study:
        study.start(type_="fifo", seconds=0.4, trials=2)
        study.until(lambda: study.records("rows"), "a report")
        kill(study.controller())
        study.processes[-1].wait()
        assert left(tmp_path)
        for mark in study.exp.glob("trials/.probe-*"):
            os.utime(mark, (soon := time.time() + 60, soon))  # it may be long until Python has started
        if executor == "dask":
            study.resume()
        else:
            study.resume_here()
        study.until(lambda: "waiting" in study.log, "a word of it")
        study.until(lambda: len(study.records("restart")) >= 2, "both trials again")
        study.finish()
        check(study)


def test_a_scheduler_that_is_back_in_time(tmp_path: Path) -> None:
    with studying(tmp_path, lease=5.0) as study:
        study.start(trials=20, seconds=0.5)
        study.reach(2)
        port = int(study.cluster.address.rpartition(":")[2])
        study.cluster.kill_scheduler()
        study.cluster.start_scheduler(port)
        number = study.cluster.start_worker()
        assert study.trials_of(number)
        study.finish()
        assert len(study.processes) == 1
        check(study)


def test_a_scheduler_that_is_lost(tmp_path: Path) -> None:
    with studying(tmp_path, lease=2.0) as study:
        study.start(trials=20, seconds=0.5)
        study.reach(2)
        study.cluster.kill_scheduler()
        assert study.wait() == 1
        assert "cannot be reached any more" in study.log
        assert "hbsim run --resume" in study.log
        study.cluster.start_scheduler()
        study.cluster.start_worker()
        study.resume()
        study.reach(1)
        study.finish()
        check(study)
