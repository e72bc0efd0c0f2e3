"""A study on machines of which anything is killed or stopped at any time.

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
from tests.profile import thorough

from .machines import kill, processes, send
from .study import Study, check, studying

FIRST = int(os.environ.get("HBSIM_FAULT_FIRST", "0"))
SEEDS = int(os.environ.get("HBSIM_FAULT_SEEDS", "1"))
FAULTS = int(os.environ.get("HBSIM_FAULTS", "6"))  # of each seed
MACHINES = 3
KINDS = ("trial", "server", "agent", "machine", "carrier", "preempt", "stop", "controller", "scheduler")
OFTEN = (3, 2, 3, 2, 2, 2, 4, 1, 1)  # how often each comes


class Faults:
    """Does harm to a study, and puts right what would be put right where machines are looked after."""

    def __init__(self, study: Study, seed: int, carrier: str) -> None:
        self._study, self._kind = study, carrier
        self._random = random.Random(seed)
        self._stopped: list[tuple[float, psutil.Process]] = []
        self._killed: set[int] = set()
        self.done: list[str] = []

    def cause(self) -> None:
        """Do one kind of harm."""
        (kind,) = self._random.choices(KINDS, OFTEN)
        self._note(kind)
        with suppress(psutil.Error):
            getattr(self, f"_{kind}")()

    def mend(self, now: bool = False) -> None:
        """Let go on what was stopped for long enough, or all; start machines, and resume the study."""
        for until, process in list(self._stopped):
            if now or until < time.monotonic():
                self._stopped.remove((until, process))
                send(signal.SIGCONT, process)
        study = self._study
        if study.runs and study.runs[-1].poll() not in (None, 0):
            self._note(f"resume after {study.log[-300:]}")
            study.resume()
        for number in range(MACHINES):
            if number in self._killed or self._is_over(number):
                self._killed.discard(number)
                study.machines.start(number)

    def pause(self) -> float:
        """Return how many seconds all goes well."""
        return self._random.uniform(0.1, 1.2)

    def _is_over(self, number: int) -> bool:
        if self._kind == "ssh":
            return False
        dask = self._study.dask
        return dask.cluster.workers[dask.numbers[number]].poll() is not None

    def _note(self, what: str) -> None:
        self.done.append(f"{time.monotonic():.2f} {what}")

    def _one_of(self, found: Sequence[psutil.Process], number: int = signal.SIGKILL) -> None:
        if found:
            process = self._random.choice(found)
            self._note(f"{signal.Signals(number).name} {process.pid} {' '.join(process.cmdline())[-80:]}")
            send(number, process)
            if number == signal.SIGSTOP:
                self._stopped.append((time.monotonic() + self._random.choice((0.3, 1.0, 5.0)), process))

    def _trial(self) -> None:
        self._one_of(self._study.running("trial"))

    def _server(self) -> None:
        self._one_of(self._study.running("server"))

    def _agent(self) -> None:
        self._one_of(self._study.running("agent"))

    def _preempt(self) -> None:
        self._one_of(self._study.running("agent"), signal.SIGTERM)

    def _machine(self) -> None:
        number = self._random.randrange(MACHINES)
        self._study.machines.kill(number)
        self._killed.add(number)

    def _carrier_of(self, number: int) -> list[psutil.Process]:
        study = self._study
        return study.ssh.sessions(number) if self._kind == "ssh" else [study.dask.worker(number)]

    def _carrier(self) -> None:
        self._one_of(self._carrier_of(self._random.randrange(MACHINES)))

    def _stop(self) -> None:
        self._one_of(processes(self._study.folder), signal.SIGSTOP)

    def _controller(self) -> None:
        kill(self._study.controller())
        self._study.runs[-1].wait()

    def _scheduler(self) -> None:
        if self._kind == "dask":
            cluster = self._study.dask.cluster
            port = int(cluster.address.rpartition(":")[2])
            cluster.kill_scheduler()
            cluster.start_scheduler(port)


@thorough
@pytest.mark.parametrize("carrier", ["ssh", "dask"])
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_whatever_happens(seed: int, carrier: str, tmp_path: Path) -> None:
    pull = (seed + (carrier == "dask")) % 2 == 1  # what was killed with its machine is trained again
    with studying(tmp_path, carrier, MACHINES, lease=3.0, nanny=seed % 3 == 2) as study:
        faults = Faults(study, seed, carrier)
        options = ["--storage", "pull"] if pull else []
        study.start(trials=40, seconds=0.4, options=[*options, "--loss-retries", "100"])
        study.reach(1)
        for _ in range(FAULTS):
            time.sleep(faults.pause())
            faults.cause()
            faults.mend()
        faults.mend(now=True)
        (study.traces / "hurry").touch()
        eventually(lambda: faults.mend() or study.runs[-1].poll() == 0, "an end", 180.0)
        print("\n".join(faults.done))
        check(study, goes_on=not pull)
