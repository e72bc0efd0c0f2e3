"""kill -9 of anything that a study on other machines consists of: nothing is lost, twice, or left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.doubles.dask_processes import eventually
from tests.profile import thorough

from .machines import is_over, kill, processes
from .study import check, left, studying


@pytest.mark.parametrize(
    ("carrier", "storage"), [("ssh", "pull"), pytest.param("dask", "shared", marks=thorough)]
)
def test_what_runs_on_machines_is_replaced(carrier: str, storage: str, tmp_path: Path) -> None:
    """A trial, a warm server, an agent, and a machine that comes back."""
    with studying(tmp_path, carrier, lease=2.0) as study:
        study.start(trials=20, seconds=0.4, options=["--storage", storage])
        study.reach(2)
        kill(study.trials(0)[0])
        study.reach(1)
        server = study.server(0)
        kill(server)
        server = study.server(0, before=server)
        assert study.trials(0, server)
        agent = study.agent(0)
        kill(agent)
        agent = study.agent(0, before=agent)
        assert study.trials(0)
        study.machines.kill(0)  # with SSH that is the first one
        study.reach(1)
        study.machines.start(0)
        study.agent(0)
        assert study.trials(0)
        study.finish()
        assert study.records("fail")
        check(study, goes_on=storage == "shared")


@thorough
def test_a_connection_that_is_killed(tmp_path: Path) -> None:
    """The process of sshd that carries the lines: what runs there ends, and another one is opened."""
    with studying(tmp_path, "ssh", lease=2.0) as study:
        study.start(trials=20, seconds=0.5)
        study.reach(2)
        agent = study.agent(0)
        kill(*study.ssh.sessions(0))
        eventually(lambda: is_over(agent), "an end of the agent")
        study.agent(0, before=agent)
        assert study.trials(0)
        study.finish()
        check(study)


@thorough
def test_a_worker_with_a_nanny_is_replaced(tmp_path: Path) -> None:
    with studying(tmp_path, "dask", nanny=True, lease=2.0) as study:
        study.start(trials=40, seconds=0.5)
        study.reach(2)
        worker = study.dask.worker(0)
        kill(worker)
        study.until(lambda: study.dask.worker(0) not in (worker, study.dask.started(0)), "another worker")
        assert study.trials(0)
        worker = study.dask.worker(1)
        kill(study.dask.started(1))
        eventually(lambda: is_over(worker), "an end of the worker")
        study.finish()
        check(study)


@thorough
@pytest.mark.parametrize("carrier", ["ssh", "dask"])
def test_nothing_is_left_of_a_study_that_is_killed(carrier: str, tmp_path: Path) -> None:
    with studying(tmp_path, carrier, lease=2.0) as study:
        study.start(trials=20, seconds=0.3)
        study.reach(2)
        kill(study.controller())
        study.runs[-1].wait()
        eventually(lambda: not left(tmp_path), "an end of what it had started", 30.0)
        study.resume()
        study.finish()
        check(study)


@thorough
@pytest.mark.parametrize("executor", ["dask", "local"])
def test_a_study_that_goes_on_at_once_waits_for_what_was_left(executor: str, tmp_path: Path) -> None:
    """The trials of the process that was killed may run on for as long as the lease: not beside others."""
    with studying(tmp_path, "dask", machines=1, lease=2.0) as study:
        study.start(type_="fifo", seconds=0.4, trials=1)
        study.until(lambda: study.records("rows"), "a report")
        kill(study.controller())
        study.runs[-1].wait()
        assert left(tmp_path)
        for probe in study.exp.glob("trials/.probe-*"):
            os.utime(probe, (soon := time.time() + 60, soon))  # it may be long until Python has started
        if executor == "dask":
            study.resume()
        else:
            study.resume_locally()
        study.until(lambda: "waiting" in study.log, "a word of it")
        study.until(lambda: study.records("restart"), "the trial again")
        study.finish()
        check(study)


@thorough
def test_a_scheduler_that_is_back_in_time(tmp_path: Path) -> None:
    """One outage costs a trial one failure at most."""
    with studying(tmp_path, "dask", lease=20.0) as study:
        study.start(trials=20, seconds=0.5)
        study.reach(2)
        port = int(study.dask.cluster.address.rpartition(":")[2])
        study.dask.cluster.kill_scheduler()
        study.dask.cluster.start_scheduler(port)
        for number in range(2):
            eventually(
                lambda number=number: not processes(tmp_path, number), "an end of the old workers", 60.0
            )
            study.machines.start(number)
        assert study.trials(0)
        study.finish()
        assert len(study.runs) == 1
        check(study)
        trials = {record["job"]: record["trial"] for record in study.records("start", "restart")}
        failed = [trials[record["job"]] for record in study.records("fail")]
        assert len(failed) == len(set(failed))


@thorough
def test_a_scheduler_that_is_lost(tmp_path: Path) -> None:
    with studying(tmp_path, "dask", lease=2.0) as study:
        study.start(trials=20, seconds=0.5)
        study.reach(2)
        study.dask.cluster.kill_scheduler()
        assert study.wait() == 1
        assert "cannot be reached any more" in study.log
        assert "hbsim run --resume" in study.log
        study.resume_locally()
        study.finish()
        check(study)


@thorough
def test_all_hosts_are_lost_and_come_back(tmp_path: Path) -> None:
    """The study waits for them, as long as it takes."""
    with studying(tmp_path, "ssh", lease=2.0) as study:
        study.start(trials=20, seconds=0.3, options=["--storage", "pull"])
        study.reach(4)
        for number in range(2):
            study.machines.kill(number)
        study.until(lambda: len(study.records("shut")) >= 2, "a word of it")
        time.sleep(study.lease + 4.0)
        assert study.runs[-1].poll() is None
        for number in range(2):
            study.machines.start(number)
        study.finish()
        check(study, goes_on=False)
