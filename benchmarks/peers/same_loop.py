"""Trials on workers in simulated time, for schedulers that bring no simulator."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from benchmarks.peers.same_log import RUNGS, Log

__all__ = ["simulate"]


def simulate(
    values: list[list[float]],
    seconds: list[list[float]],
    workers: int,
    goes_on: Callable[[int, int, float], bool],
    log: Log,
) -> None:
    """Train all trials, in order, each until it is stopped or has reached R.

    A result is told at the time at which it is there, and a worker starts the next trial at the time at
    which its last one ends; all results of one time are told before that.

    Parameters
    ----------
    values, seconds : lists of lists of float, shape (n, 5)
        At the rung levels; seconds since the trial began.
    workers : int
        How many.
    goes_on : callable
        From a trial, a level and a value to whether the trial goes on; not heeded at R.
    log : Log
        Every result is added to it.
    """
    running: list[tuple[float, int, int, float]] = []  # when due, trial, which rung, when it began
    now, started, idle = 0.0, 0, workers
    while running or started < len(values):
        while idle and started < len(values):
            heappush(running, (now + seconds[started][0], started, 0, now))
            started, idle = started + 1, idle - 1
        now = running[0][0]
        while running and running[0][0] == now:
            _, trial, rung, began = heappop(running)
            on = goes_on(trial, RUNGS[rung], values[trial][rung]) and rung + 1 < len(RUNGS)
            log.add(now, now, trial, RUNGS[rung], values[trial][rung], on)
            if on:
                heappush(running, (began + seconds[trial][rung + 1], trial, rung + 1, began))
            else:
                idle += 1
