"""SIGSTOP, and SIGCONT a while later: nobody answers, and then goes on as if nothing had been."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from tests.doubles.dask_processes import eventually

from .checks import check
from .processes import Study, is_over, send, studying

LOST = 2.0 + 2.5 + 0.7  # seconds after which a host with a lease of two seconds is lost


def stop(seconds: float, *processes: psutil.Process) -> float:
    """Stop them for so long; return when they went on."""
    send(signal.SIGSTOP, *processes)
    time.sleep(seconds)
    at = time.monotonic()
    send(signal.SIGCONT, *processes)
    return at


def all_over(processes: Sequence[psutil.Process]) -> Callable[[], bool]:
    return lambda: all(is_over(process) for process in processes)


def scheduler(study: Study) -> psutil.Process:
    assert study.cluster.scheduler is not None
    return psutil.Process(study.cluster.scheduler.pid)


def test_a_stop_that_is_shorter_than_the_lease_costs_nothing(tmp_path: Path) -> None:
    with studying(tmp_path, lease=20.0) as study:
        study.start(trials=40, seconds=0.5)
        study.reach(2)
        stop(1.0, *study.host(0))
        stop(1.0, study.worker(1))
        stop(1.0, study.agent_of(0))
        stop(1.0, scheduler(study))
        stop(1.0, study.controller())
        study.finish()
        assert not study.records("fail", "shut")
        check(study)


def test_a_longer_stop_ends_what_runs_there(tmp_path: Path) -> None:
    """A whole host, an agent alone, a Dask worker alone; the fourth takes over what was theirs."""
    with studying(tmp_path, workers=4, lease=2.0) as study:
        study.start(trials=50, seconds=0.5, options=["--workers", "4"])
        study.until(lambda: len(study.running("trial")) == 4, "a trial on each host")
        host, agent, worker = study.host(0), study.agent_of(1), study.worker(2)
        servers = [study.server_of(number) for number in range(3)]
        trials = [process for number in range(3) for process in study.trials_of(number)]
        woken = stop(LOST, *host, agent, worker)
        eventually(all_over([*trials, *servers, agent, *host[1:]]), "an end")
        assert study.trials_of(0)
        study.finish()
        lost = [record for record in study.records("fail") if "was lost" in record["reason"]]
        assert len(lost) >= 3
        check(study, woken={process.pid: woken for process in trials})


def test_a_controller_or_scheduler_that_is_stopped_for_longer(tmp_path: Path) -> None:
    """Hosts end their trials by themselves, nobody tells them to."""
    with studying(tmp_path, lease=2.0) as study:
        study.start(trials=40, seconds=0.5)
        study.reach(2)
        for process in (study.controller(), scheduler(study)):
            servers = study.until(lambda: study.running("server"), "a warm server")
            send(signal.SIGSTOP, process)
            eventually(all_over(servers), "an end of the servers")
            send(signal.SIGCONT, process)
            study.reach(2)
        study.finish()
        check(study)
