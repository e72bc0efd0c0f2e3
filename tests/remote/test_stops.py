"""SIGSTOP, and SIGCONT a while later: nobody answers, and then goes on as if nothing had been."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from tests.doubles.dask_processes import eventually
from tests.profile import THOROUGH, thorough

from .machines import is_over, processes, send
from .study import check, studying

CARRIERS = ["ssh", pytest.param("dask", marks=thorough)]
LOST = 2.0 + 2.5 + 0.7  # seconds after which a host with a lease of two seconds is lost


def stop(seconds: float, *found: psutil.Process) -> float:
    """Stop them for so long; return when they went on."""
    send(signal.SIGSTOP, *found)
    time.sleep(seconds)
    at = time.monotonic()
    send(signal.SIGCONT, *found)
    return at


def all_over(found: Sequence[psutil.Process]) -> Callable[[], bool]:
    return lambda: all(is_over(process) for process in found)


@thorough
@pytest.mark.parametrize("carrier", ["ssh", "dask"])
def test_a_stop_that_is_shorter_than_the_lease_costs_nothing(carrier: str, tmp_path: Path) -> None:
    with studying(tmp_path, carrier, lease=20.0) as study:
        study.start(trials=40, seconds=0.5)
        study.reach(2)
        stop(1.0, *processes(tmp_path, 0))
        stop(1.0, study.agent(0))
        if carrier == "ssh":
            stop(1.0, *study.ssh.sessions(1))
        else:
            stop(1.0, study.dask.worker(1))
            stop(1.0, study.dask.scheduler())
        stop(1.0, study.controller())
        study.finish()
        assert not study.records("fail")
        check(study)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_longer_stop_ends_what_runs_there(carrier: str, tmp_path: Path) -> None:
    """A whole host, what carries its lines alone, an agent alone; the last one takes over what was theirs."""
    count = 4 if THOROUGH else 3  # the agent alone is the third
    with studying(tmp_path, carrier, machines=count, lease=2.0) as study:
        study.start(trials=30, seconds=0.5, options=["--workers", str(count)])
        study.until(lambda: len(study.running("trial")) == count, "a trial on each host")
        carries = study.ssh.sessions(1) if carrier == "ssh" else [study.dask.worker(1)]
        agents = [study.agent(number) for number in range(count - 1)]
        servers = [study.server(number) for number in range(count - 1)]
        trials = [process for number in range(count - 1) for process in study.trials(number)]
        host = [*processes(tmp_path, 0), *(study.ssh.sessions(0) if carrier == "ssh" else ())]
        woken = stop(LOST, *host, *carries, *agents[2:])
        eventually(all_over([*trials, *servers, *agents]), "an end")
        assert study.trials(0)
        study.finish()
        assert len([record for record in study.records("fail") if record["kind"] == "lost"]) >= count - 1
        check(study, woken={process.pid: woken for process in trials}, cut_off=True)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_controller_that_is_stopped_for_longer(carrier: str, tmp_path: Path) -> None:
    """Hosts end their trials by themselves, nobody tells them to."""
    with studying(tmp_path, carrier, lease=2.0) as study:
        study.start(trials=20, seconds=0.5)
        study.reach(1)
        stopped = [study.controller(), *([] if carrier == "ssh" else [study.dask.scheduler()])]
        for process in stopped:
            servers = study.until(lambda: study.running("server"), "a warm server")
            send(signal.SIGSTOP, process)
            eventually(all_over(servers), "an end of the servers")
            send(signal.SIGCONT, process)
            study.reach(1)
        study.finish()
        check(study)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_silent_host_is_named(carrier: str, tmp_path: Path) -> None:
    """As the user calls it, and its trials are no longer said to run."""
    with studying(tmp_path, carrier, lease=30.0) as study:
        study.start(trials=12, seconds=0.5)
        assert study.trials(0)
        host = [*processes(tmp_path, 0), *(study.ssh.sessions(0) if carrier == "ssh" else ())]
        name = study.ssh.name(0) if carrier == "ssh" else "host-0"
        send(signal.SIGSTOP, *host)
        found = study.until(lambda: study.records("shut"), "a word of it")
        send(signal.SIGCONT, *host)
        assert name in found[0]["reason"]
        assert "does not answer" in found[0]["reason"]
        study.until(
            lambda: any(
                name in line for line in study.log.splitlines() if "does not answer" in line or "gone" in line
            ),
            "a note",
        )
        assert study.trials(0)
        study.finish()
        assert not study.records("fail")
        check(study)
