"""The jobs of a study, a row an uninterrupted stay on a worker."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING

from hbsim.core.types import Job
from hbsim.history.columns import CENSORED

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Jobs"]


class Jobs:
    """Columns that grow by a row a job, at its start; what is known at its end is filled in then."""

    def __init__(self) -> None:
        self.trial = array("i")
        self.attempt = array("H")
        self.worker = array("i")
        self.stands = array("d")  # the milestone where the trial stood
        self.start_resource = array("d")
        self.stop_resource = array("d")
        self.milestone = array("d")  # the milestone where it stands at the end
        self.start_time = array("d")
        self.train_start = array("d")
        self.trained = array("d")  # seconds of training
        self.end_time = array("d")
        self.value = array("d")
        self.verdict = array("B")

    def start(self, job: Job, worker: int, from_resource: float, time: float, train_start: float) -> int:
        """Append a job that starts now; return its number."""
        self.trial.append(job.trial)
        self.attempt.append(job.attempt)
        self.worker.append(worker)
        self.stands.append(job.start)
        self.start_resource.append(from_resource)
        self.stop_resource.append(from_resource)
        self.milestone.append(job.start)
        self.start_time.append(time)
        self.train_start.append(train_start)
        self.trained.append(0.0)
        self.end_time.append(nan)
        self.value.append(nan)
        self.verdict.append(CENSORED)
        return len(self.trial) - 1

    def end(self, job: int, resource: float, time: float, verdict: int) -> None:
        """Fill in how a job ended: the resource that it reached, and when."""
        self.stop_resource[job] = resource
        self.end_time[job] = time
        self.verdict[job] = verdict

    def __len__(self) -> int:
        return len(self.trial)

    def frame(self, brackets: Sequence[int]) -> pl.DataFrame:
        """Return the rows in the order of their starts.

        The columns are job, trial, attempt, bracket, worker, start_resource, stop_resource (reached),
        start_time, train_start, end_time, value and verdict. `brackets` holds each trial's.
        """
        import numpy as np
        import polars as pl

        from hbsim.history.columns import numbers, verdicts

        trial = np.array(self.trial)
        trained = np.array(self.train_start)
        trained[trained > np.array(self.end_time)] = nan
        return pl.DataFrame(
            {
                "job": np.arange(len(trial)),
                "trial": trial.astype(np.int64),
                "attempt": np.array(self.attempt).astype(np.int64),
                "bracket": np.array(brackets, dtype=np.int64)[trial],
                "worker": np.array(self.worker).astype(np.int64),
                "start_resource": np.array(self.start_resource),
                "stop_resource": np.array(self.stop_resource),
                "start_time": np.array(self.start_time),
                "train_start": numbers(trained),
                "end_time": np.array(self.end_time),
                "value": numbers(self.value),
                "verdict": verdicts(self.verdict),
            }
        )
