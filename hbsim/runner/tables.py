"""The tables of a study: jobs, decisions and failures, as packed rows and as data frames."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import inf, nan
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hbsim.core.types import LOSSES, FailureKind

if TYPE_CHECKING:
    import polars as pl

# Further ends of jobs, after the indices in `hbsim.core.types.VERDICTS`.
FAILED: Final = 5
CENSORED: Final = 6
VERDICT_NAMES: Final = ("continue", "pause", "stop", "complete", "retry", "failed", "censored")


def numbers(column: NDArray[np.float64] | Sequence[float]) -> pl.Series:
    """Return floats with null for NaN and infinities."""
    import polars as pl

    values = np.array(column, dtype=np.float64)
    return pl.Series(np.where(np.isfinite(values), values, np.nan), nan_to_null=True)


def verdicts(column: NDArray[np.uint8]) -> pl.Series:
    """Return verdicts as strings."""
    import polars as pl

    return pl.Series(VERDICT_NAMES, dtype=pl.String).gather(column.astype(np.uint32))


JOB: Final = struct.Struct("<iiHidddddddddB")
JOB_NAMES: Final = (
    "job", "trial", "attempt", "worker", "stood", "start_resource", "stop_resource", "milestone",
    "start_time", "train_start", "trained", "end_time", "value", "verdict",
)  # fmt: skip
JOB_TYPES: Final = ("<i4", "<i4", "<u2", "<i4", *["<f8"] * 9, "u1")


class JobRow:
    """A running job.

    Attributes
    ----------
    job, trial, attempt, worker : int
        The job's number, its trial and attempt, and its worker.
    stood, milestone : float
        The trial's milestone at the start of the job, and its present one.
    start_resource : float
        The resource from which the job trains: 0 if it begins anew.
    start_time, train_start : float
        When the job started on its worker, and when its training started.
    trained : float
        The seconds of training so far.
    value : float
        The last value reported; NaN before the first.
    """

    __slots__ = (
        "attempt", "job", "milestone", "start_resource", "start_time", "stood", "train_start",
        "trained", "trial", "value", "worker",
    )  # fmt: skip

    job: int
    trial: int
    attempt: int
    worker: int
    stood: float
    milestone: float
    start_resource: float
    start_time: float
    train_start: float
    trained: float
    value: float


class JobTable:
    """The jobs that have ended, as packed rows of 87 bytes.

    Attributes
    ----------
    started : int
        How many jobs have started, which is the number of the next job.
    cut : float
        When the study was cut: no job ends later.
    """

    def __init__(self) -> None:
        self.started = 0
        self.cut = inf
        self._rows = bytearray()
        self._ended: NDArray[np.void] | None = None
        self._sorted: NDArray[np.void] | None = None

    def end(self, row: JobRow, resource: float, time: float, verdict: int) -> None:
        """Append a job that ended at `time`, having reached `resource`."""
        self._rows += JOB.pack(
            row.job,
            row.trial,
            row.attempt,
            row.worker,
            row.stood,
            row.start_resource,
            resource,
            row.milestone,
            row.start_time,
            row.train_start,
            row.trained,
            time,
            row.value,
            verdict,
        )

    def __len__(self) -> int:
        return len(self._rows) // JOB.size if self._sorted is None else len(self._sorted)

    def ended(self) -> NDArray[np.void]:
        """Return the jobs in the order of their ends, a structured array with the fields of `JOB_NAMES`.

        Call it once the study is over: no rows can be added afterwards.
        """
        if self._ended is None:
            rows = np.frombuffer(self._rows, dtype=list(zip(JOB_NAMES, JOB_TYPES, strict=True)))
            rows["end_time"] = np.minimum(rows["end_time"], self.cut)
            self._ended = rows
        return self._ended

    def rows(self) -> NDArray[np.void]:
        """Return the jobs in the order of their starts, as `ended` does."""
        if self._sorted is None:
            rows = self.ended()
            self._sorted = rows[np.argsort(rows["job"], kind="stable")]
            self._ended = self._sorted
            self._rows = bytearray()
        return self._sorted

    def frame(self, brackets: Sequence[int]) -> pl.DataFrame:
        """Return the rows in the order of their starts.

        The columns are job, trial, attempt, bracket, worker, start_resource, stop_resource (reached),
        start_time, train_start, end_time, value and verdict. `brackets` holds the bracket of each trial.
        """
        import polars as pl

        rows = self.rows()
        never_trained = rows["train_start"] > rows["end_time"]
        whole = {name: rows[name].astype(np.int64) for name in ("job", "trial", "attempt")}
        return pl.DataFrame(
            {
                **whole,
                "bracket": np.array(brackets, dtype=np.int64)[rows["trial"]],
                "worker": rows["worker"].astype(np.int64),
                "start_resource": rows["start_resource"],
                "stop_resource": rows["stop_resource"],
                "start_time": rows["start_time"],
                "train_start": numbers(np.where(never_trained, nan, rows["train_start"])),
                "end_time": rows["end_time"],
                "value": numbers(rows["value"]),
                "verdict": verdicts(rows["verdict"]),
            }
        )


# time, trial, index of the level, value, n_before, cutoff, index of the verdict
DECISION: Final = struct.Struct("<diHdidB")
DECISION_NAMES: Final = ("time", "trial", "at", "value", "n_before", "cutoff", "verdict")
DECISION_TYPES: Final = ("<f8", "<i4", "<u2", "<f8", "<i4", "<f8", "u1")


class DecisionTable:
    """The decisions of a study, as packed rows of 35 bytes: there may be millions."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def add(
        self, time: float, trial: int, at: int, value: float, n_before: int, cutoff: float | None, code: int
    ) -> None:
        """Append a row.

        Parameters
        ----------
        time : float
            The time of the decision.
        trial, at : int
            The trial, and the index of the level in the scheduler's levels.
        value : float
            The value at the milestone; NaN for none.
        n_before, cutoff : int, float or None
            As in `Milestone`.
        code : int
            The verdict's index in VERDICTS.
        """
        self._rows += DECISION.pack(time, trial, at, value, n_before, nan if cutoff is None else cutoff, code)

    def __len__(self) -> int:
        return len(self._rows) // DECISION.size

    def rows(self) -> NDArray[np.void]:
        """Return the rows in order, a structured array of `DECISION_NAMES`, without a copy."""
        return np.frombuffer(self._rows, dtype=list(zip(DECISION_NAMES, DECISION_TYPES, strict=True)))

    def frame(self, levels: Sequence[float], brackets: Sequence[int]) -> pl.DataFrame:
        """Return the rows in order: time, trial, bracket, level, value, n_before, cutoff, verdict.

        Parameters
        ----------
        levels : sequence of float
            The scheduler's.
        brackets : sequence of int
            The bracket of each trial.
        """
        import polars as pl

        rows = self.rows()
        return pl.DataFrame(
            {
                "time": rows["time"],
                "trial": rows["trial"].astype(np.int64),
                "bracket": np.array(brackets, dtype=np.int64)[rows["trial"]],
                "level": np.array(levels, dtype=np.float64)[rows["at"]],
                "value": numbers(rows["value"]),
                "n_before": rows["n_before"].astype(np.int64),
                "cutoff": numbers(rows["cutoff"]),
                "verdict": verdicts(rows["verdict"]),
            }
        )


FAILURE_ROW: Final = struct.Struct("<iddB")
FAILURE_FIELDS: Final = [("job", "<i4"), ("time", "<f8"), ("kept", "<f8"), ("kind", "u1")]


class FailureTable:
    """The failures of a study, as packed rows of 21 bytes."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def __len__(self) -> int:
        return len(self._rows) // FAILURE_ROW.size

    def add(self, job: int, time: float, kind: FailureKind, kept: float) -> None:
        """Append a failure, one of `LOSSES`; the trial can go on from the resource `kept`."""
        self._rows += FAILURE_ROW.pack(job, time, kept, LOSSES.index(kind))

    def count(self, kind: FailureKind) -> int:
        """Return how many failures of a kind there were."""
        return int((self._array()["kind"] == LOSSES.index(kind)).sum())

    def _array(self) -> NDArray[np.void]:
        return np.frombuffer(self._rows, dtype=FAILURE_FIELDS)

    def frame(self, jobs: NDArray[np.void]) -> pl.DataFrame:
        """Return time, trial, attempt, job, worker, resource, kind and kept, in the order of time.

        `jobs` are the jobs of the study, ordered by number.
        """
        import polars as pl

        rows = self._array()
        lost = jobs[rows["job"]]
        return pl.DataFrame(
            {
                "time": rows["time"],
                "trial": lost["trial"].astype(np.int64),
                "attempt": lost["attempt"].astype(np.int64),
                "job": rows["job"].astype(np.int64),
                "worker": lost["worker"].astype(np.int64),
                "resource": lost["stop_resource"],
                "kind": pl.Series(LOSSES, dtype=pl.String).gather(rows["kind"].astype(np.uint32)),
                "kept": rows["kept"],
            }
        )
