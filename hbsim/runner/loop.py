"""The loop that connects a scheduler and an executor, for simulated and real studies alike.

`SearcherNotifier` informs the searcher of jobs, values and failures.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import Protocol

from hbsim.core.scheduler import Scheduler
from hbsim.core.types import COMPLETE, CONTINUE, STOP, Job
from hbsim.runner.tables import DecisionTable
from hbsim.searchers import Searcher


class Event(IntEnum):
    """The kind of event that `Executor.wait` returns."""

    NOTHING = 0  # no job is running, or the study's time is over
    FREE = 1  # a worker is free, and no trial needs a decision
    MILESTONE = 2  # a trial has reached its next milestone
    FAILURE = 3  # a trial has failed
    END = 4  # a trial's training function returned below R


# Module constants: the loop is hot, and access to a member of an enum is slow.
NOTHING, FREE, MILESTONE, FAILURE, END = Event


class Executor(Protocol):
    """Runs jobs on workers: in simulated time, or for real.

    Attributes
    ----------
    now : float
        Seconds since the study started.
    trial, at : int
        The trial of the last event, and the index of its milestone in the levels.
    value : float
        The metric at the milestone; NaN for none.
    kind : str
        The kind of the last failure, one of `FAILURE_KINDS`.
    """

    now: float
    trial: int
    at: int
    value: float
    kind: str

    def idle(self) -> int:
        """Return the lowest idle worker, or -1 if none is idle or another event comes first."""
        ...

    def start(self, worker: int, job: Job) -> None:
        """Run a job on an idle worker."""
        ...

    def no_job(self, worker: int) -> None:
        """Leave a worker idle until the next event: the scheduler had no job for it."""
        ...

    def wait(self) -> Event:
        """Wait for the next event, and return its kind."""
        ...

    def answer(self, code: int) -> None:
        """Carry out the decision about the trial of the last event; `code` is an index in VERDICTS."""
        ...


def drive(  # noqa: C901 - the whole loop in one function
    scheduler: Scheduler,
    executor: Executor,
    decisions: DecisionTable,
    notifier: SearcherNotifier | None = None,
    max_reward: float | None = None,
) -> bool:
    """Run the study until no job is left or `max_reward` is reached; return whether it was reached.

    Parameters
    ----------
    scheduler : Scheduler
        Decides which jobs run and what happens to trials.
    executor : Executor
        Runs the jobs.
    decisions : DecisionTable
        The table that gets a row for each milestone.
    notifier : SearcherNotifier, optional
        Informs the searcher of pending jobs and observed values, if it asks for that.
    max_reward : float, optional
        The study ends as soon as a value is at least as good as this.
    """
    ask, reach = scheduler.ask, scheduler.reach
    idle, wait, answer, add = executor.idle, executor.wait, executor.answer, decisions.add
    sign = 1.0 if scheduler.mode == "max" else -1.0
    target = None if max_reward is None else sign * max_reward
    asked_in_vain = False
    listener = notifier if notifier is not None and notifier.listens else None
    while True:
        worker = -1 if asked_in_vain else idle()
        if worker >= 0:
            job = ask()
            if job is None:
                executor.no_job(worker)
                asked_in_vain = True
                continue
            executor.start(worker, job)
            if listener is not None:
                listener.started(job)
            continue
        event = wait()
        if event is MILESTONE:
            trial, value = executor.trial, executor.value
            at = executor.at
            code = reach(trial, value)
            add(executor.now, trial, at, value, scheduler.n_before, scheduler.cutoff, code)
            answer(code)
            asked_in_vain = False
            if listener is not None:
                listener.reached(trial, at, value, code)
            if target is not None and target <= sign * value < inf:
                return True
        elif event is FAILURE:
            code = scheduler.fail(executor.trial, executor.kind)
            answer(code)
            asked_in_vain = False
            if listener is not None:
                listener.failed(executor.trial, code)
        elif event is END:
            scheduler.end(executor.trial)
            answer(COMPLETE)
            asked_in_vain = False
            if listener is not None:
                listener.ended(executor.trial)
        elif event is NOTHING:
            return False


class SearcherNotifier:
    """Informs a searcher of a study's jobs, values and failures, in its replay and afterwards.

    Parameters
    ----------
    searcher : Searcher
        Informed only if it asks for it (`listens`).
    scheduler : Scheduler
        The study's scheduler, for its levels; the last is R.

    Attributes
    ----------
    searcher : Searcher
        The searcher.
    listens : bool
        Whether the searcher is informed.
    """

    def __init__(self, searcher: Searcher, scheduler: Scheduler) -> None:
        self.searcher, self._scheduler = searcher, scheduler
        self.listens: bool = getattr(searcher, "listens", True)
        self._max_too = bool(getattr(searcher, "maxt_pending", False))
        self._at_max: set[int] = set()  # trials that are pending at R already
        self._waiting: set[int] = set()  # trials that wait for a retry
        self._started = 0

    def started(self, job: Job) -> None:
        """Inform the searcher that a job starts."""
        trial, stop = job.trial, job.stop
        if trial in self._waiting:
            self._waiting.discard(trial)
            return
        self.searcher.register_pending(trial, stop)
        if trial < self._started:
            return
        self._started += 1
        last = self._scheduler.levels[-1]
        if self._max_too and stop != last:
            self._at_max.add(trial)
            self.searcher.register_pending(trial, last)

    def reached(self, trial: int, at: int, value: float, code: int) -> None:
        """Inform the searcher of a trial's value at level index `at`, and of the decision."""
        levels = self._scheduler.levels
        self.searcher.observe(trial, levels[at], None if value != value else value)
        if code != CONTINUE:
            self.ended(trial)
        elif at + 2 < len(levels) or trial not in self._at_max:
            self.searcher.register_pending(trial, levels[at + 1])

    def failed(self, trial: int, code: int) -> None:
        """Inform the searcher that a trial has failed, for good (STOP) or not."""
        if code == STOP:
            self.ended(trial)
        else:
            self._waiting.add(trial)

    def ended(self, trial: int) -> None:
        """Inform the searcher that a trial no longer runs, for good or until it is promoted."""
        self._at_max.discard(trial)
        self.searcher.forget(trial)
