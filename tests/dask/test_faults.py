"""kill -9 of anything that a study on a Dask cluster consists of: nothing is lost, twice, or left."""

from __future__ import annotations

from pathlib import Path

import pytest

from .checks import check
from .processes import kill, left, studying


def test_what_runs_on_hosts_is_replaced(tmp_path: Path) -> None:
    with studying(tmp_path, lease=2.0) as study:
        study.start(trials=30, seconds=0.1)
        study.reach(3)
        kill(study.trials_of(0)[0])
        study.reach(1)
        server = study.server_of(0)
        kill(server)
        assert study.trials_of(0)[0].parent() != server
        agent = study.agent_of(0)
        kill(agent)
        study.until(lambda: study.agent_of(0) != agent and study.trials_of(0), "another agent with a trial")
        kill(study.worker(1))
        number = study.cluster.start_worker()
        assert study.trials_of(number)
        study.done()
        check(study)


def test_nannies_replace_workers(tmp_path: Path) -> None:
    with studying(tmp_path, nanny=True, lease=2.0) as study:
        study.start(trials=24, seconds=0.1)
        study.reach(3)
        worker = study.worker(0)
        kill(worker)
        study.until(lambda: study.worker(0) != worker and study.trials_of(0), "another worker with a trial")
        nanny, worker = study.cluster.workers[1], study.worker(1)
        nanny.kill()
        nanny.wait()
        study.done()
        assert not worker.is_running()
        check(study)


@pytest.mark.parametrize("executor", ["dask", "local"])
def test_a_study_that_goes_on_at_once_waits_for_what_was_left(executor: str, tmp_path: Path) -> None:
    """The trials of the process that was killed may run on for as long as the lease: not beside others."""
    with studying(tmp_path, lease=3.0) as study:
        study.start(type_="fifo", seconds=0.4, trials=2)
        study.until(lambda: study.records("rows"), "a report")
        kill(study.controller())
        study.processes[-1].wait()
        assert left(tmp_path)
        if executor == "dask":
            study.resume()
        else:
            study.resume_here()
        study.done()
        assert "waiting" in study.log
        check(study)


def test_a_scheduler_that_is_back_in_time(tmp_path: Path) -> None:
    with studying(tmp_path, lease=4.0) as study:
        study.start(seconds=0.1, trials=14)
        study.reach(3)
        port = int(study.cluster.address.rpartition(":")[2])
        study.cluster.kill_scheduler()
        study.cluster.start_scheduler(port)
        study.cluster.start_worker()
        study.done()
        check(study)


def test_a_scheduler_that_is_lost(tmp_path: Path) -> None:
    with studying(tmp_path, lease=2.0) as study:
        study.start(seconds=0.1, trials=14)
        study.reach(3)
        study.cluster.kill_scheduler()
        assert study.wait() == 1
        assert "cannot be reached any more" in study.log
        assert "hbsim run --resume" in study.log
        study.cluster.start_scheduler()
        study.cluster.start_worker()
        study.resume()
        study.done()
        check(study)
