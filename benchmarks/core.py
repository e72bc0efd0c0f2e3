"""The core alone: no clock, no cluster, values that are at hand."""

from __future__ import annotations

import gc
import time

import numpy as np

from hbsim.core import Report, Scheduler, make_scheduler

__all__ = ["drive_engine", "drive_people", "loaded", "pending", "tell_all", "timed_tells", "uniforms"]

LEVELS = 5  # of R = 81, eta = 3


def scheduler(kind: str, num_trials: int | None = None) -> Scheduler:
    """Make a scheduler of R = 81, eta = 3, one bracket."""
    return make_scheduler(kind, max_t=81, reduction_factor=3, num_trials=num_trials)


def uniforms(count: int, seed: int = 0) -> list[float]:
    """Return random values."""
    return np.random.default_rng(seed).random(count).tolist()


def drive_engine(kind: str, values: list[float]) -> int:
    """Ask and reach, as the simulator does, one job after the other; return how many milestones."""
    core = scheduler(kind, len(values) // LEVELS)
    ask, reach = core.ask, core.reach
    milestones = 0
    while (job := ask()) is not None:
        trial = job.trial
        while not reach(trial, values[milestones]):
            milestones += 1
        milestones += 1
    return milestones


def drive_people(kind: str, values: list[float]) -> int:
    """Ask and tell, as people do; return how many milestones."""
    core = scheduler(kind, len(values) // LEVELS)
    milestones = 0
    while (job := core.ask()) is not None:
        stop: float | None = job.stop
        while stop is not None:
            stop = core.tell(Report(job.trial, stop, values[milestones])).stop
            milestones += 1
    return milestones


def loaded(kind: str, recorded: int) -> Scheduler:
    """Return a scheduler whose lowest rung has `recorded` values."""
    core = scheduler(kind)
    for value in uniforms(recorded):
        job = core.ask()
        assert job is not None
        while job.start:  # a promotion: it goes on, so that a new trial comes next
            core.reach(job.trial, value)
            job = core.ask()
            assert job is not None
        core.reach(job.trial, value)
    return core


def pending(core: Scheduler, count: int) -> list[Report]:
    """Start `count` trials, and return what they will report at their first milestones."""
    reports = []
    for value in uniforms(count, seed=1):
        job = core.ask()
        assert job is not None
        reports.append(Report(job.trial, job.stop, value))
    return reports


def tell_all(core: Scheduler, reports: list[Report]) -> None:
    """Tell of all of them."""
    tell = core.tell
    for report in reports:
        tell(report)


def timed_tells(kind: str, recorded: int, count: int) -> float:
    """Return the cpu seconds of one `tell` when `recorded` values are recorded at the lowest rung.

    The garbage collector is off, as in a simulation.
    """
    core = loaded(kind, recorded)
    reports = pending(core, count)
    gc.disable()
    start = time.process_time()
    tell_all(core, reports)
    cpu = time.process_time() - start
    gc.enable()
    return cpu / count
