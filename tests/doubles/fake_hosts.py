"""Workers on pretended hosts that join, vanish and come back; what ran there is lost some time later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

from hbsim.runner.worker_pool import PAUSE
from hbsim.runner.workers import Assignment, JobEnded, Message, WorkerClosed, WorkerOpened
from tests.doubles.fake_trials import Curve, Fault
from tests.doubles.fake_workers import FakeWorkers, Process


@dataclass(frozen=True)
class Absence:
    """A host that nothing is heard of for a while.

    Attributes
    ----------
    after : float
        Seconds since it joined, or was back.
    seconds : float
        How long; infinite if for good.
    lease : float
        Seconds until its jobs are lost.
    told : float
        Seconds until its workers are shut; never more than the others.
    lives : bool
        Whether its jobs live on, if it is back before they are lost: what they said comes then.
    twice : bool
        Whether everything about its workers is said twice.
    """

    after: float
    seconds: float = 2.0
    lease: float = 5.0
    told: float = 0.0
    lives: bool = False
    twice: bool = False

    @property
    def kills(self) -> bool:
        """Whether what runs there is lost."""
        return not self.lives or self.seconds >= self.lease


@dataclass(frozen=True)
class Host:
    """A host with so many workers, which joins after so many seconds."""

    workers: int = 1
    joins: float = 0.0
    absences: tuple[Absence, ...] = ()


class FakeHosts(FakeWorkers):
    """`FakeWorkers` that come and go; it holds that nothing starts on a worker that is shut.

    Attributes
    ----------
    open : set of int
        The workers that are open, as far as the runner has been told.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        curve: Curve,
        faults: Sequence[Fault] = (),
        now: float = 0.0,
        latency: float = 0.0,
        saved: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(0, curve, faults, now, latency, saved)
        self.open: set[int] = set()
        self._away: dict[int, tuple[float, Absence]] = {}  # by worker: since when
        self._lost: set[int] = set()  # jobs that nobody hears of any more
        self._idle_since: float | None = None
        first = 0
        for number, host in enumerate(hosts):
            workers = range(first, first := first + host.workers)
            join = partial(self._join, f"host{number}", workers, list(host.absences), False)
            self.at(now + host.joins, join)

    def wait(self, timeout: float | None) -> Sequence[Message]:
        idle = not (self._queue or self.processes or self._inbox)
        self._idle_since = (self.now if self._idle_since is None else self._idle_since) if idle else None
        # A retry that is postponed, since memory ran out, starts after a pause of a second.
        assert not idle or self.now - self._idle_since <= 2 * PAUSE, "nothing is ever going to happen"
        return super().wait(timeout)

    def takes(self, worker: int) -> bool:
        return worker in self.open

    def start(self, worker: int, task: Assignment) -> None:
        super().start(worker, task)
        if worker in self._away:
            self._cut(self.processes[task.job], *self._away[worker])

    # Hosts

    def _join(self, name: str, workers: Sequence[int], absences: list[Absence], twice: bool) -> None:
        for worker in workers:
            self._away.pop(worker, None)
            if worker not in self.open:
                self.open.add(worker)
                self._tell(WorkerOpened(worker, name, 1, [f"gpu{worker}"]), twice)
        if absences:
            self.at(self.now + absences[0].after, partial(self._vanish, name, workers, absences))

    def _vanish(self, name: str, workers: Sequence[int], absences: list[Absence]) -> None:
        absence, *rest = absences
        self._away.update((worker, (self.now, absence)) for worker in workers)
        for process in list(self.processes.values()):
            if process.worker in workers:
                self._cut(process, self.now, absence)
        shut = partial(self._shut, workers, absence)
        self.at(self.now + absence.told, shut)
        if absence.seconds < inf:
            if absence.kills:  # it is another one that comes back
                self.at(self.now + absence.seconds, shut)
            self.at(self.now + absence.seconds, partial(self._join, name, workers, rest, absence.twice))

    def _shut(self, workers: Sequence[int], absence: Absence) -> None:
        for worker in workers:
            if worker in self.open and worker in self._away:
                self.open.remove(worker)
                self._tell(WorkerClosed(worker, "its host does not answer"), absence.twice)

    def _tell(self, message: WorkerOpened | WorkerClosed, twice: bool) -> None:
        self._inbox += [message] * (2 if twice else 1)

    # Their processes

    def _cut(self, process: Process, since: float, absence: Absence) -> None:
        if absence.kills and process.task.job not in self._lost:
            self._lost.add(process.task.job)
            self.at(max(self.now, since + absence.lease), partial(self._lose, process))

    def _lose(self, process: Process) -> None:
        del self.processes[process.task.job]
        self._lost.remove(process.task.job)
        self._send(process, JobEnded(process.task.job, kind="lost", reason="its host was lost"))

    def _lives(self, process: Process) -> bool:
        return super()._lives(process) and process.task.job not in self._lost

    def go_on(self, job: int, stop: float) -> None:
        if job not in self._lost:
            super().go_on(job, stop)

    def _send(self, process: Process, message: Message) -> None:
        if process.task.job in self._lost:
            return
        since, absence = self._away.get(process.worker, (0.0, None))
        if absence is None or absence.kills:
            super()._send(process, message)
        else:
            back = since + absence.seconds
            self.at(back, partial(super()._send, process, message))

    def close(self) -> None:
        super().close()
        self._lost.clear()
