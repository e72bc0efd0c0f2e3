"""The loop that drives ask and tell, for the simulator and for real executors alike.

`SearcherNotifier` keeps the searcher informed meanwhile.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import Protocol

from hbsim.core.scheduler import Scheduler
from hbsim.core.types import COMPLETE, CONTINUE, STOP, Job
from hbsim.runner.tables import DecisionTable
from hbsim.searchers import Searcher

__all__ = ["END", "FAILURE", "FREE", "MILESTONE", "NOTHING", "Event", "Executor", "SearcherNotifier", "drive"]


class Event(IntEnum):
    """What an executor waited for."""

    NOTHING = 0  # nothing is under way, or time is up
    FREE = 1  # a worker is free, and there is nothing to tell
    MILESTONE = 2  # a trial stands at its next milestone
    FAILURE = 3  # a trial has failed
    END = 4  # a trial's training came to an end of its own, below R


# As plain names: an attribute of an enum takes longer than what the loop does with it.
NOTHING, FREE, MILESTONE, FAILURE, END = Event


class Executor(Protocol):
    """Runs jobs on workers: in simulated time, or for real.

    Attributes
    ----------
    now : float
        Seconds since the study started.
    trial, at : int
        Whom the last event is about, and the index of the level of its milestone.
    value : float
        The metric at the milestone; NaN for none.
    kind : str
        Of the last failure, one of `FAILURE_KINDS`.
    """

    now: float
    trial: int
    at: int
    value: float
    kind: str

    def idle(self) -> int:
        """Return the lowest idle worker, or -1 while none is, or something else happens first."""
        ...

    def start(self, worker: int, job: Job) -> None:
        """Run a job on an idle worker."""
        ...

    def no_job(self, worker: int) -> None:
        """Take note that the scheduler had no job for an idle worker, until the next event."""
        ...

    def wait(self) -> Event:
        """Let time pass until the next event."""
        ...

    def answer(self, code: int) -> None:
        """Do what was decided about the trial of the last event; `code` is an index in VERDICTS."""
        ...


def drive(  # noqa: C901 - the loop stands here whole
    scheduler: Scheduler,
    executor: Executor,
    decisions: DecisionTable,
    notifier: SearcherNotifier | None = None,
    max_reward: float | None = None,
) -> bool:
    """Ask and tell until nothing is under way any more, or `max_reward` is reached: whether it was.

    Parameters
    ----------
    scheduler : Scheduler
        Decides.
    executor : Executor
        Runs the jobs.
    decisions : DecisionTable
        Gets a row a milestone.
    notifier : SearcherNotifier, optional
        Tells the searcher what is pending and observed, if it listens.
    max_reward : float, optional
        The study ends as soon as a value is at least as good.
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
    """Tells a searcher of a study, through all of it: its replay and what follows.

    Parameters
    ----------
    searcher : Searcher
        Told only if it listens.
    scheduler : Scheduler
        Its levels, the last of which is R.

    Attributes
    ----------
    searcher : Searcher
        The searcher.
    listens : bool
        Whether it is to be told of anything.
    """

    def __init__(self, searcher: Searcher, scheduler: Scheduler) -> None:
        self.searcher, self._scheduler = searcher, scheduler
        self.listens: bool = getattr(searcher, "listens", True)
        self._max_too = bool(getattr(searcher, "maxt_pending", False))
        self._at_max: set[int] = set()  # trials that are pending at R already
        self._waiting: set[int] = set()  # for a retry
        self._started = 0

    def started(self, job: Job) -> None:
        """Take note that a job starts."""
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
        """Take note that a trial has a value at level number `at`, and what was decided."""
        levels = self._scheduler.levels
        self.searcher.observe(trial, levels[at], None if value != value else value)
        if code != CONTINUE:
            self.ended(trial)
        elif at + 2 < len(levels) or trial not in self._at_max:
            self.searcher.register_pending(trial, levels[at + 1])

    def failed(self, trial: int, code: int) -> None:
        """Take note that a trial has failed, for good (STOP) or not."""
        if code == STOP:
            self.ended(trial)
        else:
            self._waiting.add(trial)

    def ended(self, trial: int) -> None:
        """Take note that a trial runs no more, for now."""
        self._at_max.discard(trial)
        self.searcher.forget(trial)
