"""A tiny event loop: workers that train for as long as the resource they train."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from hbsim.core import Job, Report, Verdict


def first_completion(
    scheduler: Any, workers: int, value: Callable[[int], float], *, resume: bool
) -> float | None:
    """Return the time at which the first trial reaches R, None if none does.

    Of simultaneous events ends come before starts, then the lower worker.
    """
    now = 0.0
    free = list(range(workers))
    ends: list[tuple[float, int, int, float]] = []  # time, worker, trial, level
    while True:
        for worker in sorted(free):
            job: Job | None = scheduler.ask()
            if job is not None:
                free.remove(worker)
                length = job.stop - job.start if resume else job.stop
                heapq.heappush(ends, (now + length, worker, job.trial, job.stop))
        if not ends:
            return None
        now = ends[0][0]
        while ends and ends[0][0] == now:
            _, worker, trial, level = heapq.heappop(ends)
            decision = scheduler.tell(Report(trial, level, value(trial)))
            if decision.verdict is Verdict.COMPLETE:
                return now
            if decision.verdict is Verdict.CONTINUE:
                heapq.heappush(ends, (now + decision.stop - level, worker, trial, decision.stop))
            else:
                free.append(worker)


def one_worker(scheduler: Any, value: Callable[[int, float], float], jobs: int = 10_000) -> list[Job]:
    """Return the jobs that one worker is given, each trained as far as the scheduler lets it."""
    handed: list[Job] = []
    while len(handed) < jobs and (job := scheduler.ask()) is not None:
        handed.append(job)
        level = job.stop
        decision = scheduler.tell(Report(job.trial, level, value(job.trial, level)))
        while decision.verdict is Verdict.CONTINUE:
            level = decision.stop
            decision = scheduler.tell(Report(job.trial, level, value(job.trial, level)))
    return handed
