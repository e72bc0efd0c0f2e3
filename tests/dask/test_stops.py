"""SIGSTOP, and SIGCONT a while later: nobody answers, and then goes on as if nothing had been."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil

from tests.doubles.dask_processes import eventually

from .checks import check
from .processes import Study, send, studying

LOST = 2.0 + 2.5 + 0.7  # seconds after which a host with a lease of two seconds is lost


def stop(seconds: float, *processes: psutil.Process) -> float:
    """Stop them for so long; return when they went on."""
    send(signal.SIGSTOP, *processes)
    time.sleep(seconds)
    at = time.monotonic()
    send(signal.SIGCONT, *processes)
    return at


def scheduler(study: Study) -> psutil.Process:
    assert study.cluster.scheduler is not None
    return psutil.Process(study.cluster.scheduler.pid)


def test_a_stop_that_is_shorter_than_the_lease_costs_nothing(tmp_path: Path) -> None:
    with studying(tmp_path, lease=8.0) as study:
        study.start(trials=36, seconds=0.1)
        study.reach(3)
        stop(1.0, *study.host(0))
        stop(1.0, study.worker(1))
        stop(1.0, study.agent_of(0))
        stop(1.0, scheduler(study))
        stop(1.0, study.controller())
        assert study.processes[-1].poll() is None
        study.done()
        assert not study.records("fail", "shut")
        check(study)


def test_a_longer_stop_ends_what_runs_there(tmp_path: Path) -> None:
    """A whole host, an agent alone, a Dask worker alone; the fourth takes over what was theirs."""
    with studying(tmp_path, workers=4, lease=2.0) as study:
        study.start(trials=50, seconds=0.1, options=["--workers", "4"])
        study.reach(4)
        host = study.host(0)
        servers = [study.server_of(number) for number in range(3)]
        old = [process for server in servers for process in server.children()]
        assert old
        woken = stop(LOST, *host, study.agent_of(1), study.worker(2))
        eventually(lambda: not any(p.is_running() for p in [*old, *servers, *host[1:]]), "an end")
        assert study.processes[-1].poll() is None
        assert study.trials_of(0)
        study.done()
        assert study.records("fail")
        check(study, woken={process.pid: woken for process in old})


def test_a_controller_or_scheduler_that_is_stopped_for_longer(tmp_path: Path) -> None:
    with studying(tmp_path, lease=2.0) as study:
        study.start(trials=18, seconds=0.1)
        study.reach(3)
        for process in (study.controller(), scheduler(study)):
            servers = study.running("server")
            assert servers
            stop(LOST, process)
            assert not any(server.is_running() for server in servers)
            study.reach(2)
        study.done()
        check(study)
