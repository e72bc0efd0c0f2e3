"""A study on a cluster in which anything is killed or stopped at any time.

``HBSIM_FAULT_SEEDS=20`` tries so many seeds, from ``HBSIM_FAULT_FIRST`` on, with ``HBSIM_FAULTS`` each.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.doubles.dask_processes import eventually

from .checks import check
from .processes import Study, kill, marked, send, studying

FIRST = int(os.environ.get("HBSIM_FAULT_FIRST", "0"))
SEEDS = int(os.environ.get("HBSIM_FAULT_SEEDS", "2"))
WORKERS = 3
FAULTS = int(os.environ.get("HBSIM_FAULTS", "6"))  # of each seed
KINDS = ("trial", "server", "agent", "worker", "nanny", "stop", "controller", "scheduler")  # of harm
OFTEN = (3, 2, 3, 2, 1, 4, 1, 1)  # how often each comes


class Trouble:
    """Does harm to a study, and puts right what would be put right where clusters are looked after."""

    def __init__(self, study: Study, seed: int, nanny: bool, hosts: bool) -> None:
        self._study, self._nanny, self._hosts = study, nanny, hosts
        self._random = random.Random(seed)
        self._stopped: list[tuple[float, psutil.Process]] = []
        self.told: list[str] = []

    def cause(self) -> None:
        """Do one kind of harm."""
        (kind,) = self._random.choices(KINDS, OFTEN)
        self._tell(kind)
        with suppress(psutil.Error):
            getattr(self, f"_kill_{kind}" if kind != "stop" else "_stop")()

    def mend(self, now: bool = False) -> None:
        """Let go on what was stopped for long enough, or all; replace workers, and resume the study."""
        for until, process in list(self._stopped):
            if now or until < time.monotonic():
                self._stopped.remove((until, process))
                send(signal.SIGCONT, process)
        study = self._study
        if study.processes and study.processes[-1].poll() not in (None, 0):
            self._tell(f"resume after {study.log[-300:]}")
            study.resume()
        alive = [process for process in study.cluster.workers if process.poll() is None]
        for _ in range(WORKERS - len(alive)):
            host = {"HBSIM_WORK": str(study.folder / f"host-{len(study.cluster.workers) % WORKERS}")}
            study.cluster.start_worker(nanny=self._nanny, **(host if self._hosts else {}))

    def pause(self) -> float:
        """Return how many seconds all goes well."""
        return self._random.uniform(0.1, 1.2)

    def _tell(self, what: str) -> None:
        self.told.append(f"{time.monotonic():.2f} {what}")

    def _one_of(self, processes: Sequence[psutil.Process], number: int = signal.SIGKILL) -> None:
        if processes:
            process = self._random.choice(processes)
            self._tell(f"{signal.Signals(number).name} {process.pid} {' '.join(process.cmdline())[-80:]}")
            send(number, process)
            if number == signal.SIGSTOP:
                self._stopped.append((time.monotonic() + self._random.choice((0.3, 1.0, 5.0)), process))

    def _kill_trial(self) -> None:
        self._one_of(self._study.running("trial"))

    def _kill_server(self) -> None:
        self._one_of(self._study.running("server"))

    def _kill_agent(self) -> None:
        self._one_of(self._study.running("agent"))

    def _kill_worker(self) -> None:
        workers = range(len(self._study.cluster.workers))
        self._one_of([self._study.worker(number) for number in workers if self._is_there(number)])

    def _kill_nanny(self) -> None:
        workers = range(len(self._study.cluster.workers))
        self._one_of([self._study.started(number) for number in workers if self._is_there(number)])

    def _is_there(self, number: int) -> bool:
        return self._study.cluster.workers[number].poll() is None

    def _stop(self) -> None:
        self._one_of(marked(self._study.folder), signal.SIGSTOP)

    def _kill_controller(self) -> None:
        kill(self._study.controller())
        self._study.processes[-1].wait()

    def _kill_scheduler(self) -> None:
        port = int(self._study.cluster.address.rpartition(":")[2])
        self._study.cluster.kill_scheduler()
        self._study.cluster.start_scheduler(port)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_whatever_happens(seed: int, tmp_path: Path) -> None:
    hosts = seed % 3 == 1  # each with a folder of its own: what is killed with its host is trained again
    with studying(tmp_path, 0, lease=3.0) as study:
        trouble = Trouble(study, seed, nanny=seed % 3 == 2, hosts=hosts)
        trouble.mend()
        study.start(trials=40, seconds=0.4, options=["--storage", "pull"] if hosts else [])
        study.reach(1)
        for _ in range(FAULTS):
            time.sleep(trouble.pause())
            trouble.cause()
            trouble.mend()
        trouble.mend(now=True)
        study.hurry()
        eventually(lambda: trouble.mend() or study.processes[-1].poll() == 0, "an end", 120.0)
        print("\n".join(trouble.told))
        check(study, goes_on=not hosts)
