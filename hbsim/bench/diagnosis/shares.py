"""What the workers' time went to, and what resuming from checkpoints saved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hbsim.history.columns import CENSORED, FAILED
from hbsim.simulation.presence import Presence
from hbsim.surrogates.protocol import Floats

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["worker_shares"]


def worker_shares(result: Result) -> dict[str, float]:
    """Return what the workers' time went to, and what resuming saved.

    Parameters
    ----------
    result : Result
        A study.

    Returns
    -------
    dict
        Shares of all worker seconds, workers times the last end; they sum to 1, and are NaN if no time went
        by:

        - training: what brought a trial further, or was still under way at the end.
        - retrained: trained again below where the trial stood, lost in a failure, or run on after the
          milestone at which the trial paused, stopped or completed (the seconds of `wasted_resource`).
        - overhead: the rest of what jobs occupied: start-up, checkpoints, waits.
        - idle, absent: workers without a job, and not there.

        And of the jobs that went on from a checkpoint:

        - saved_resource, saved_seconds: what they would have had to train again from zero. The seconds are
          those of the trials' own curves, stragglers' slowness included, on a worker of speed 1. A job that
          was lost before it brought its trial further, to a milestone or to what it saved upon a notice,
          saved nothing; nor did one that never trained.
        - saved: saved_resource over all that was trained; 0 if nothing was.
    """
    jobs = result.job_rows()
    clock = _Clock(result, jobs)
    capacity = result.cluster.workers * result.end_time
    occupied = math.fsum(jobs["end_time"] - jobs["start_time"])
    trained = math.fsum(jobs["trained"])
    again = math.fsum(_wasted_seconds(result, jobs, clock))
    absent = _absent_seconds(result)
    seconds = {
        "training": trained - again,
        "retrained": again,
        "overhead": max(0.0, occupied - trained),
        "idle": max(0.0, capacity - absent - occupied),
        "absent": absent,
    }
    shares = {name: part / capacity if capacity else math.nan for name, part in seconds.items()}
    return {**shares, **_saved(jobs, clock)}


class _Clock:
    """When each job's trial is where: seconds of its curve from zero to a resource."""

    def __init__(self, result: Result, jobs: NDArray[np.void]) -> None:
        curves, geometry = result.curves, result.scheduler.geometry
        self._levels = np.array(geometry.levels, dtype=np.float64)
        width, trial = len(geometry.levels), jobs["trial"]
        brackets = np.array(result.scheduler.trial_brackets(), dtype=np.int64)
        self._first = np.array(geometry.first)[brackets[trial]]
        steps = np.array(curves.seconds, dtype=np.float64).reshape(-1, width)[trial]
        from_zero = curves.from_zero if curves.high_brackets else curves.seconds
        rows = np.arange(len(jobs))
        # A trial's first stretch leads from zero to its bracket's first level.
        steps[rows, self._first] = np.array(from_zero, dtype=np.float64).reshape(-1, width)[
            trial, self._first
        ]
        steps[np.arange(width) < self._first[:, None]] = 0.0
        self._steps, self._ends, self._rows = steps, np.cumsum(steps, axis=1), rows

    def seconds(self, resource: Floats) -> Floats:
        """Return the seconds of training from zero to a resource of each job, linear between two levels."""
        at = np.maximum(np.searchsorted(self._levels, resource), self._first)
        below = np.where(at > self._first, self._levels[at - 1], 0.0)
        left = (self._levels[at] - resource) / (self._levels[at] - below)
        found = self._ends[self._rows, at] - left * self._steps[self._rows, at]
        return np.asarray(found, dtype=np.float64)


def _wasted_seconds(result: Result, jobs: NDArray[np.void], clock: _Clock) -> Floats:
    """Return the seconds of each job that brought its trial no further; see `hbsim.history.summaries`."""
    start, reached = jobs["start_resource"], jobs["stop_resource"]
    again = np.maximum(np.minimum(reached, jobs["stood"]), start)
    kept = np.where(jobs["verdict"] == CENSORED, reached, np.maximum(jobs["milestone"], start))
    kept = np.minimum(kept, reached)
    curve = clock.seconds(again) - clock.seconds(start) + clock.seconds(reached) - clock.seconds(kept)
    speeds = np.array(result.cluster.speeds, dtype=np.float64)[jobs["worker"]]
    return np.asarray(np.minimum(np.maximum(curve, 0.0) / speeds, jobs["trained"]), dtype=np.float64)


def _saved(jobs: NDArray[np.void], clock: _Clock) -> dict[str, float]:
    got_further = jobs["milestone"] > np.maximum(jobs["stood"], jobs["start_resource"])
    went_on = (jobs["train_start"] <= jobs["end_time"]) & ((jobs["verdict"] != FAILED) | got_further)
    start = np.where(went_on, jobs["start_resource"], 0.0)
    trained = math.fsum(jobs["stop_resource"] - jobs["start_resource"])
    resource = math.fsum(start)
    return {
        "saved": resource / trained if trained else 0.0,
        "saved_resource": resource,
        "saved_seconds": math.fsum(np.where(start > 0.0, clock.seconds(start), 0.0)),
    }


def _absent_seconds(result: Result) -> float:
    cluster, end = result.cluster, result.end_time
    if not cluster.has_absences:
        return 0.0
    presence = Presence(cluster, result.simulated.seed)
    there = [presence.there(machine, end) for machine in range(cluster.count_machines)]
    return math.fsum(end - there[machine] for machine in cluster.machine_of)
