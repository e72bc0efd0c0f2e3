"""The ASHA paper's workloads without the engine: one event loop, and everything drawn anew for each job."""

from __future__ import annotations

import heapq
import math
import random
from typing import Any

from hbsim.core import Failure, Report, Verdict


def trained(scheduler: Any, std: float, p: float, seed: int, workers: int = 25, limit: float = 2000) -> int:
    """Return how many trials were trained to R; each job trains from zero, and has its own z and failure."""
    rng = random.Random(seed)
    qualities: dict[int, float] = {}
    ends: list[tuple[float, int, int, float, bool]] = []  # time, number, trial, level, lost
    started, complete, idle = 0, 0, workers

    def start(now: float, trial: int, units: float, level: float) -> None:
        nonlocal started
        started += 1
        length = units * (1 + abs(rng.gauss(0, std)))
        life = rng.expovariate(-math.log1p(-p)) if p else math.inf
        heapq.heappush(ends, (now + min(length, life), started, trial, level, life < length))

    now = 0.0
    while now <= limit:
        while idle and (job := scheduler.ask()) is not None:
            idle -= 1
            start(now, job.trial, job.stop, job.stop)
        now, _, trial, level, lost = heapq.heappop(ends)
        if now > limit:
            break
        if lost:
            scheduler.tell(Failure(trial, level, "lost"))
            idle += 1
            continue
        decision = scheduler.tell(Report(trial, level, qualities.setdefault(trial, rng.random())))
        if decision.verdict is Verdict.CONTINUE:
            start(now, trial, decision.stop - level, decision.stop)
        else:
            idle += 1
        complete += decision.verdict is Verdict.COMPLETE
    return complete
