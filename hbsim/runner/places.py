"""Which workers there are, and who is on them: puts jobs on workers, and takes them off."""

from __future__ import annotations

import warnings
from collections import deque
from dataclasses import replace

from hbsim.core.streams import trial_seed
from hbsim.core.types import Job
from hbsim.errors import HbsimWarning
from hbsim.runner.ledger import Stay
from hbsim.runner.watch import Watch
from hbsim.runner.workers import NEVER, Ended, Opened, Shut, Task, Workers
from hbsim.runner.writer import STEP, Writer

__all__ = ["Places"]


class Places:
    """Workers, which may come and go, and the jobs on them.

    A job of a trial whose last process is still there, since it saves, has a worker and is held there until
    that process is gone.

    Parameters
    ----------
    workers : Workers
        Who runs the jobs.
    writer : Writer
        Writes down what starts and what is gone.
    watch : Watch
        Told of what begins and of what is gone.
    seed : int
        Of the study.
    until_return : bool
        Whether no milestones are waited for.

    Attributes
    ----------
    free : list of int
        The open workers without a job, in order.
    restarts : deque of (Stay or None, Job)
        What is to start again as soon as there is a worker, each with its last stay.
    stranded : set of int
        Jobs on workers that were shut while they ran.
    """

    def __init__(self, workers: Workers, writer: Writer, watch: Watch, seed: int, until_return: bool) -> None:
        self.free = list(range(workers.count))
        self.restarts: deque[tuple[Stay | None, Job]] = deque()
        self.stranded: set[int] = set()
        self._workers, self._writer, self._watch = workers, writer, watch
        self._ledger = writer.ledger
        self._seed, self._until_return = seed, until_return
        self._open = set(self.free)
        self._held: dict[int, Task] = {}  # by worker

    # Jobs

    def start(self, worker: int, job: Job, point: list[float] | None) -> None:
        """Start a job on a free worker; `point` is the configuration if the trial is new."""
        record = {"e": "start", "worker": worker, **self._described(job)}
        if point is not None:
            record["point"] = point
        self._launch(worker, job, record)

    def start_again(self) -> None:
        """Let free workers have what is to start again, each where it was if it can."""
        while self.restarts and self.free:
            before, job = self.restarts.popleft()
            worker = before.worker if before is not None and before.worker in self.free else self.free[0]
            was = -1 if before is None else before.job
            record = {"e": "restart", "worker": worker, "was": was, **self._described(job)}
            self._launch(worker, job, record)

    def gone(self, ended: Ended) -> None:
        """Write down that a job's process is gone; the worker and the trial are free."""
        begun = None if ended.begun is None else self._writer.since(ended.begun)
        seconds = {name: round(value, STEP) for name, value in ended.seconds.items()}
        stay = self._ledger.stays[ended.job]
        record = {"e": "gone", "job": ended.job, "begun": begun, "seconds": seconds}
        if ended.kind is None and ended.reason:
            record["note"] = ended.reason
            text = f"trial {stay.trial} left with an error, and may have no checkpoint: {ended.reason}"
            warnings.warn(HbsimWarning(text), stacklevel=2)
        self._writer.write(record)
        self._watch.forget(ended.job)
        self.stranded.discard(ended.job)
        self._held.pop(stay.worker, None)
        self._release(stay.worker)
        for worker, task in list(self._held.items()):
            if task.trial == stay.trial:
                del self._held[worker]
                self._begin(worker, task)

    def withdraw(self) -> None:
        """Take back every job that is held: it has not begun."""
        for task in list(self._held.values()):
            self.gone(Ended(task.job))

    def _described(self, job: Job) -> dict[str, object]:
        stop = None if self._until_return else job.stop
        fields = {"trial": job.trial, "bracket": job.bracket, "start": job.start, "stop": stop}
        return {"job": self._ledger.jobs.started, **fields, "attempt": job.attempt}

    def _launch(self, worker: int, job: Job, record: dict[str, object]) -> None:
        self.free.remove(worker)
        ledger = self._ledger
        number = ledger.jobs.started
        self._writer.write(record)
        point, seed = ledger.points[job.trial], trial_seed(self._seed, job.trial)
        stop = NEVER if self._until_return else job.stop
        key = (ledger.study, ledger.stays[number].start_time)
        task = Task(number, job.trial, job.attempt, job.start, stop, point, seed, *key)
        if any(stay.trial == job.trial and stay.job != number for stay in ledger.stays.values()):
            self._held[worker] = task
        else:
            self._begin(worker, task)

    def _begin(self, worker: int, task: Task) -> None:
        self._watch.hear(task.job)
        earlier = list(self._ledger.earlier.get(task.trial, ()))
        self._workers.start(worker, replace(task, earlier=earlier))

    # Workers

    def open(self, message: Opened) -> bool:
        """Take note that a worker takes jobs: whether it is free, and was not before."""
        worker = message.worker
        about = {"host": message.host, "cpus": message.cpus, "gpus": message.gpus}
        if self._ledger.machines.get(worker) == about:
            return False
        self._writer.write({"e": "open", "worker": worker, **about})
        if worker in self._open:
            return False
        self._open.add(worker)
        busy = worker in self._ledger.workers
        if not busy:
            self._release(worker)
        return not busy

    def shut(self, message: Shut) -> None:
        """Take note that a worker takes no jobs any more. What runs there ends by a message of its own."""
        worker = message.worker
        if worker not in self._open:
            return
        self._writer.write({"e": "shut", "worker": worker, "reason": message.reason})
        self._open.remove(worker)
        if worker in self.free:
            self.free.remove(worker)
        elif worker in self._held:
            self._take_back(self._held[worker])
        else:
            self.stranded.add(self._ledger.workers[worker].job)

    def _take_back(self, task: Task) -> None:
        """Have a job that was held start again elsewhere, as it is: nothing has failed."""
        stay = self._ledger.stays[task.job]
        self.gone(Ended(task.job))
        self.restarts.append((stay, Job(task.trial, stay.bracket, task.start, task.stop, task.attempt)))

    def _release(self, worker: int) -> None:
        if worker in self._open:
            self.free.append(worker)
            self.free.sort()
