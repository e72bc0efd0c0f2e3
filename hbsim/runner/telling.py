"""What a searcher is told: each pending evaluation is registered once, and ends once."""

from __future__ import annotations

from hbsim.core.scheduler import Scheduler
from hbsim.core.types import CONTINUE, STOP, Job
from hbsim.searchers import Searcher

__all__ = ["Telling"]


class Telling:
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
