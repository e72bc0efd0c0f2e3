"""Which jobs are under way, and what they say: who is silent for too long, or does not leave, is killed."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from hbsim.runner.workers import Workers

__all__ = ["Watch"]


class Watch:
    """Watches over the jobs that have begun and have not ended.

    Parameters
    ----------
    workers : Workers
        Who runs them.
    clock : callable
        Seconds.
    hang_timeout : float
        Seconds without a word after which a job has hung.

    Attributes
    ----------
    heard : dict of int to float
        By job under way: when it last said something.
    cut : set of int
        Jobs that were killed since they did not leave.
    """

    def __init__(self, workers: Workers, clock: Callable[[], float], hang_timeout: float) -> None:
        self.heard: dict[int, float] = {}
        self.cut: set[int] = set()
        self._workers, self._clock, self._limit = workers, clock, hang_timeout
        self._leaving: dict[int, float] = {}  # by job: when it is killed
        self._until = inf  # when all are

    def hear(self, job: int) -> None:
        """Take note that a job begins, or has said something."""
        self.heard[job] = self._clock()

    def leave(self, job: int, save: bool, seconds: float) -> None:
        """Have a job leave; it is killed if it has not after so many seconds."""
        self._leaving[job] = self._clock() + seconds
        self._workers.leave(job, save=save)

    def hurry(self, seconds: float) -> None:
        """Have every job be killed that is not gone in so many seconds, whatever else was said."""
        self._until = self._clock() + seconds

    def forget(self, job: int) -> None:
        """Take note that a job is gone."""
        self._leaving.pop(job, None)
        self.heard.pop(job, None)

    def look(self) -> None:
        """Kill who has hung, and who does not leave."""
        clock, limit = self._clock(), self._limit
        for job, heard in list(self.heard.items()):
            if clock - heard > limit:
                self.heard[job] = clock
                self._workers.kill(job, f"nothing was reported for {limit:g} s (hang_timeout)")
            elif job not in self.cut and min(self._leaving.get(job, inf), self._until) <= clock:
                self.cut.add(job)
                self._workers.kill(job, "it was told to leave and did not")
