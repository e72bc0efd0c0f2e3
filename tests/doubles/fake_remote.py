"""A stand-in for `RemoteWorkers`: two hosts that are this machine, and keep checkpoints elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from hbsim.errors import ExecutorError
from hbsim.executors import checkpoint
from hbsim.executors.local import LocalWorkers, trial_folder
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.slots import Slot
from hbsim.executors.training_function import FunctionDescription
from hbsim.runner.workers import Assignment, Message, Reported, WorkerClosed, WorkerOpened
from tests.doubles.checkpoints import describe_newest

PLACE = "hbsim.executors.remote.workers"


class FakeRemote:
    """The interface of `RemoteWorkers`; `made` are those that were, `lose` and `refuse` what goes wrong.

    Attributes
    ----------
    lose : int or None
        After so many messages the hosts are gone.
    shut : int or None
        After so many messages worker 1 is shut.
    refuse : Exception or None
        What `prepare` raises.
    away : Path
        Where hosts keep trials.
    """

    made: ClassVar[list[FakeRemote]] = []
    lose: ClassVar[int | None] = None
    shut: ClassVar[int | None] = None
    refuse: ClassVar[Exception | None] = None
    away: ClassVar[Path]
    count = 0

    def __init__(
        self,
        options: Hosts | Dask,
        target: Mapping[str, Any],
        workers: int | None,
        resource: Mapping[str, object] | None,
        trials: Path,
        setup: Mapping[str, object],
        start: str | None,
        grace: float,
        study: str,
        say: Callable[[str], None],
    ) -> None:
        self.options, self.study, self.start_method = options, study, start
        self.asked = (workers, resource)
        self.gathered: list[int] | None = None
        self.pruned: list[int] = []
        self.closed = self.discarded = False
        self.slots: tuple[Slot, ...] = ()
        self._trials, self._heard = trials, 0
        slots = [Slot(worker, None, 1, (), {}) for worker in range(2)]
        self._made = slots
        self._local = LocalWorkers(target, slots, self.away, setup, start or "fork", grace)
        say("starting a cluster")
        self.made.append(self)

    def launch(self) -> None:
        self._local.launch()

    def prepare(self) -> None:
        if self.refuse is not None:
            raise self.refuse
        self._local.prepare()
        self.slots = tuple(self._made)
        self._news: list[Message] = [WorkerOpened(0, "a", 1), WorkerOpened(1, "b", 1)]

    def describe(self) -> FunctionDescription:
        return self._local.describe()

    def hosts(self) -> str:
        return "2 hosts: a, b"

    def start(self, worker: int, task: Assignment) -> None:
        self._copy(task.trial, self._trials, self.away)
        self._local.start(worker, task)

    def wait(self, timeout: float | None) -> Sequence[Message]:
        if self._news:
            news, self._news = self._news, []
            return news
        messages = self._local.wait(timeout)
        for message in messages:
            self._heard += isinstance(message, Reported)
        if self.lose is not None and self._heard >= self.lose:
            raise ExecutorError("the way to a, b", "cannot be reached any more")
        if self.shut is not None and self._heard >= self.shut:
            self.shut = None
            return [*messages, WorkerClosed(1, "b does not answer")]
        return messages

    def wake(self) -> None:
        self._local.wake()

    def go_on(self, job: int, stop: float) -> None:
        self._local.go_on(job, stop)

    def cut(self, reason: str) -> None:
        self._local.cut(reason)

    def leave(self, job: int, save: bool) -> None:
        self._local.leave(job, save)

    def kill(self, job: int, reason: str = "") -> None:
        self._local.kill(job, reason)

    def gather(self, trials: Sequence[int]) -> bool:
        assert not self.closed
        self.gathered = list(trials)
        for trial in trials:
            self._copy(trial, self.away, self._trials)
        return True

    def prune(self, trial: int) -> None:
        self.pruned.append(trial)
        shutil.rmtree(trial_folder(self.away, trial) / checkpoint.NAME, ignore_errors=True)

    def discard(self) -> None:
        assert not self.closed
        self.discarded = True

    def close(self) -> None:
        self.closed = True
        self._local.close()

    def _copy(self, trial: int, source: Path, to: Path) -> None:
        """Copy a checkpoint, unless there is a later one."""
        theirs, ours = (trial_folder(folder, trial) / checkpoint.NAME for folder in (source, to))
        jobs = [(describe_newest(path) or {"job": -1})["job"] for path in (theirs, ours)]
        if jobs[0] > jobs[1]:
            shutil.rmtree(ours, ignore_errors=True)
            shutil.copytree(theirs, ours)


@contextmanager
def standing_in(monkeypatch: pytest.MonkeyPatch, away: Path) -> Iterator[type[FakeRemote]]:
    """Let `hbsim.run` take a `FakeRemote` for other machines, which keep trials in `away`."""

    class Made(FakeRemote):
        made: ClassVar[list[FakeRemote]] = []

    Made.away = away
    monkeypatch.setitem(sys.modules, PLACE, SimpleNamespace(RemoteWorkers=Made))
    monkeypatch.setattr("hbsim.study.workers.find_spec", lambda name: True)
    yield Made
    assert all(made.closed for made in Made.made)
