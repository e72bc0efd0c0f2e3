"""The stretches of time of each worker of a study: training, overhead, and absence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.simulation.availability import MachineAvailability

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation import Result

OVERHEAD: Final = -1
IDLE: Final = -2
ABSENT: Final = -3


@dataclass(frozen=True)
class Segments:
    """Stretches of time on workers, in columns of n, ordered by worker and start.

    Attributes
    ----------
    worker : int array, shape (n,)
        The worker of each stretch.
    start, end : float array, shape (n,)
        When each stretch starts and ends, simulated seconds.
    level : int array, shape (n,)
        The index of the level that was trained towards; `OVERHEAD` for start-up, loading and saving.
    job : int array, shape (n,)
        The job that each stretch is part of.
    levels : tuple of float
        The scheduler's levels.
    lost : array, shape (k, 2)
        Worker and time of the k failures.
    cut : array, shape (c, 2)
        Worker and time of the c jobs cut at the end of the study.
    workers : int
        How many workers there were.
    end_time : float
        When the last job ended.
    absent : array, shape (m, 3)
        Worker, start and end of each time at which a worker was not there; ordered by worker and start.
    """

    worker: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    level: NDArray[np.int64]
    job: NDArray[np.int64]
    levels: tuple[float, ...]
    lost: NDArray[np.float64]
    cut: NDArray[np.float64]
    workers: int
    end_time: float
    absent: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))

    def in_units(self, seconds: float) -> Segments:
        """Convert all times to units of `seconds` seconds."""
        return replace(
            self,
            start=self.start / seconds,
            end=self.end / seconds,
            lost=self.lost / (1.0, seconds),
            cut=self.cut / (1.0, seconds),
            end_time=self.end_time / seconds,
            absent=self.absent / (1.0, seconds, seconds),
        )


def segments(result: Result) -> Segments:
    """Split the jobs of a simulated study at their milestones."""
    workers, absent = result.cluster.workers, absences(result)
    return job_segments(result.jobs, result.decisions, result.scheduler, workers, result.end_time, absent)


def job_segments(
    jobs: pl.DataFrame,
    decisions: pl.DataFrame,
    scheduler: Scheduler,
    workers: int,
    end_time: float,
    absent: NDArray[np.float64] | None = None,
) -> Segments:
    """Split jobs at their milestones.

    Parameters
    ----------
    jobs, decisions : polars.DataFrame
        Columns as `hbsim.Result.jobs` and `hbsim.Result.decisions`.
    scheduler : Scheduler
        The study's.
    workers : int
        How many workers there were.
    end_time : float
        When the last job ended.
    absent : array, shape (m, 3), optional
        As in `Segments`.
    """
    levels = tuple(scheduler.levels)
    jobs = jobs.with_columns(pl.col("train_start").fill_null(pl.col("end_time")))
    reached = _reached(jobs, decisions, levels)
    parts = pl.concat([_before(jobs), _stretches(jobs, reached), _after(jobs, reached, scheduler)])
    parts = parts.filter(pl.col("end") > pl.col("start")).sort("worker", "start")
    return Segments(
        worker=parts["worker"].to_numpy(),
        start=parts["start"].to_numpy(),
        end=parts["end"].to_numpy(),
        level=parts["level"].to_numpy(),
        job=parts["job"].to_numpy(),
        levels=levels,
        lost=_ends(jobs, "failed"),
        cut=_ends(jobs, "censored"),
        workers=workers,
        end_time=end_time,
        absent=np.empty((0, 3)) if absent is None else absent,
    )


def _reached(jobs: pl.DataFrame, decisions: pl.DataFrame, levels: tuple[float, ...]) -> pl.DataFrame:
    """Return the milestones with their jobs: job, time, level; in order of trial and time.

    A milestone belongs to the first job of its trial that ends then or later.
    """
    index = pl.col("level").replace_strict(list(levels), list(range(len(levels))), return_dtype=pl.Int64)
    milestones = decisions.select("trial", "time", level=index, job=pl.lit(None, pl.Int64))
    ends = jobs.select("trial", time="end_time", level=pl.lit(None, pl.Int64), job="job")
    both = pl.concat([milestones, ends]).sort("trial", "time", "job", nulls_last=False, maintain_order=True)
    return both.with_columns(pl.col("job").backward_fill()).filter(pl.col("level").is_not_null())


def _before(jobs: pl.DataFrame) -> pl.DataFrame:
    """Return the start-up and loading of jobs: from a job's start until it trains."""
    overhead = pl.lit(OVERHEAD, pl.Int64)
    return jobs.select("worker", "job", start="start_time", end="train_start", level=overhead)


def _stretches(jobs: pl.DataFrame, reached: pl.DataFrame) -> pl.DataFrame:
    """Return the training that ended at a milestone."""
    rows = reached.join(jobs.select("job", "worker", "train_start"), on="job", maintain_order="left")
    same = pl.col("job") == pl.col("job").shift(1)
    start = pl.when(same).then(pl.col("time").shift(1)).otherwise(pl.col("train_start"))
    return rows.select("worker", "job", start=start, end="time", level="level")


def _after(jobs: pl.DataFrame, reached: pl.DataFrame, scheduler: Scheduler) -> pl.DataFrame:
    """Return the saving or training of jobs after their last milestone."""
    levels, first = np.array(scheduler.levels), np.array(scheduler.geometry.first)
    last = reached.group_by("job").agg(pl.col("time").last(), pl.col("level").last())
    rows = jobs.join(last, on="job", how="left", maintain_order="left")
    above = np.searchsorted(levels, rows["stop_resource"].to_numpy(), side="right")
    target = np.clip(above, first[rows["bracket"].to_numpy()], len(levels) - 1)
    target = np.where(rows["verdict"].to_numpy() == "pause", OVERHEAD, target)
    start = pl.col("time").fill_null(pl.col("train_start"))
    level = pl.Series(target, dtype=pl.Int64)
    return rows.select("worker", "job", start=start, end="end_time", level=level)


def _ends(jobs: pl.DataFrame, verdict: str) -> NDArray[np.float64]:
    return (
        jobs.filter(pl.col("verdict") == verdict).select("worker", "end_time").to_numpy().astype(np.float64)
    )


def absences(result: Result) -> NDArray[np.float64]:
    """Return when each worker was not there, until the last job's end.

    Returns
    -------
    absent : array, shape (k, 3)
        Worker, start and end; ordered by worker and time.
    """
    cluster, end = result.cluster, result.end_time
    if not cluster.has_absences:
        return np.empty((0, 3))
    presence = MachineAvailability(cluster, result.simulated.seed)
    machines = [_of_machine(presence, machine, end) for machine in range(cluster.count_machines)]
    rows = [
        (worker, start, stop)
        for worker, machine in enumerate(cluster.machine_of)
        for start, stop in machines[machine]
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _of_machine(presence: MachineAvailability, machine: int, end: float) -> list[tuple[float, float]]:
    found = []
    for absence in presence.absences(machine):
        if absence.start >= end:
            break
        found.append((absence.start, min(absence.end, end)))
    return found


def raster(segments: Segments, columns: int) -> NDArray[np.int64]:
    """Return the activity of each worker in the middle of each column of time, shape (workers, columns).

    Indices of levels; `OVERHEAD`, `IDLE` or `ABSENT`. One moment stands for a column, so
    that where columns hold many jobs, colours are as frequent as their shares of time.
    """
    middles = (np.arange(columns) + 0.5) * segments.end_time / columns
    picture = np.full((segments.workers, columns), IDLE, dtype=np.int64)
    worker, start, end = segments.absent.T
    absent = np.full(len(worker), ABSENT)
    _fill(picture, middles, worker.astype(np.int64), start, end, absent)
    _fill(picture, middles, segments.worker, segments.start, segments.end, segments.level)
    return picture


def _fill(
    picture: NDArray[np.int64],
    middles: NDArray[np.float64],
    worker: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    value: NDArray[np.int64],
) -> None:
    firsts = np.searchsorted(worker, np.arange(len(picture) + 1))
    for row, (first, last) in enumerate(pairwise(firsts)):
        if first < last:
            at = first + np.searchsorted(start[first:last], middles, side="right") - 1
            within = (at >= first) & (middles < end[np.maximum(at, first)])
            picture[row, within] = value[at[within]]


def busy_shares(segments: Segments, columns: int) -> NDArray[np.float64]:
    """Return the share of workers' time spent on each level in each column of time.

    Returns
    -------
    shares : array, shape (levels + 1, columns)
        The last row is start-up, loading and saving.
    """
    scale = columns / segments.end_time if segments.end_time else 0.0
    shares = np.zeros((len(segments.levels) + 1, columns))
    for level in range(OVERHEAD, len(segments.levels)):
        mine = segments.level == level
        busy = _until(segments.end[mine] * scale, columns) - _until(segments.start[mine] * scale, columns)
        shares[level] = busy / segments.workers
    return shares


def absent_shares(absent: NDArray[np.float64], workers: int, end: float, columns: int) -> NDArray[np.float64]:
    """Return the share of the workers that are not there in each column of time, shape (columns,)."""
    scale = columns / end if end else 0.0
    return (_until(absent[:, 2] * scale, columns) - _until(absent[:, 1] * scale, columns)) / workers


def _until(times: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Return the part of each column that lies before a time, summed over times; in columns."""
    whole = np.minimum(times.astype(np.int64), columns)
    counts = np.bincount(whole, minlength=columns + 1)
    parts = np.bincount(whole, weights=times - whole, minlength=columns + 1)
    beyond = np.cumsum(counts[::-1])[::-1] - counts  # the number of times in later columns
    return np.asarray(beyond + parts, dtype=np.float64)[:columns]
