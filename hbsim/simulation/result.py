"""The result of a simulated study: its tables and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.core.types import LOSSES
from hbsim.errors import ParameterError
from hbsim.runner import summaries
from hbsim.runner.tables import DecisionTable, JobTable, numbers
from hbsim.simulation.availability import MachineAvailability
from hbsim.surrogates.wrapper import named_rows

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.runner.tables import FailureTable
    from hbsim.simulation.cluster import Cluster
    from hbsim.simulation.curves import TrialCurves
    from hbsim.simulation.disk import DiskUsage
    from hbsim.simulation.random_effects import RandomEffects

HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class SimulationData:
    """The record of a simulation: its cluster and its rows."""

    cluster: Cluster
    seed: int
    effects: RandomEffects
    jobs: JobTable
    decisions: DecisionTable
    failures: FailureTable
    lost_saves: Sequence[float]
    disk: DiskUsage | None


class Result:
    """The result of a simulated study: its jobs, trials, decisions and failures.

    Attributes
    ----------
    scheduler : Scheduler
        The scheduler at the end; `scheduler.explain(trial)` says why a trial was stopped.
    curves : TrialCurves
        The learning curves of the trials, and the surrogate that they come from.
    cluster : Cluster
        The cluster on which it ran.
    simulated : SimulationData
        The record of the simulation.
    replace : bool
        Whether rows of a table came more than once.
    interrupted : bool
        Whether Ctrl-C ended the study.
    no_worker_after : float or None
        The simulated time when the last worker left although there was work; None if none did.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        curves: TrialCurves,
        simulated: SimulationData,
        replace: bool = False,
        interrupted: bool = False,
    ) -> None:
        self.scheduler = scheduler
        self.curves = curves
        self.cluster = simulated.cluster
        self.simulated = simulated
        self.replace = replace
        self.interrupted = interrupted
        self.no_worker_after: float | None = None
        self._jobs = simulated.jobs
        self._decisions = simulated.decisions

    def __repr__(self) -> str:
        better = self.incumbent()
        metric = self.curves.surrogate.metric
        best = f"best {metric} {better['value'][-1]:g}" if len(better) else "nothing reported"
        what = f"{self.scheduler.type} on {self.curves.surrogate.name}"
        scale = f"{self.scheduler.started:,} trials, {self.cluster.workers:,} workers"
        return f"<Result of {what}: {scale}, {self.end_time:.6g} s, {best}>"

    @cached_property
    def end_time(self) -> float:
        """Simulated seconds at which the last job ended."""
        return float(self._jobs.ended()["end_time"].max(initial=0.0))

    @cached_property
    def jobs(self) -> pl.DataFrame:
        """A row for each job: one stay of a trial on a worker, in the order of starts.

        Columns: job, trial, attempt, bracket, worker (integers), start_resource, stop_resource
        (reached), start_time, train_start, end_time, value (floats; null where none), verdict (pause,
        stop, complete, failed or censored). A job that trains from zero has start_resource 0.
        """
        return self._jobs.frame(self.scheduler.trial_brackets())

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """A row for each milestone, in the order of time.

        Columns: time, trial, bracket, level, value, n_before, cutoff (null where none), verdict
        (continue, pause, stop or complete).
        """
        return self._decisions.frame(self.scheduler.levels, self.scheduler.trial_brackets())

    @cached_property
    def failures(self) -> pl.DataFrame:
        """A row for each job that was lost, in the order of time.

        Columns: time, trial, attempt, job, worker, resource (reached by then), kind (lost or preempted)
        and kept (the resource from which the trial can go on).
        """
        return self.simulated.failures.frame(self._jobs.rows())

    def disk(self) -> pl.DataFrame:
        """Return the space that checkpoints take over time, in GB: a row for each change.

        Columns: time, held (of all trials that may be needed) and collected (the same without paused
        trials that can never go on). Empty where checkpoints have no size.
        """
        return self._disk

    @cached_property
    def _disk(self) -> pl.DataFrame:
        disk = self.simulated.disk
        if disk is None:
            return pl.DataFrame(schema=dict.fromkeys(("time", "held", "collected"), pl.Float64))
        return disk.frame(self.end_time)

    @cached_property
    def trials(self) -> pl.DataFrame:
        """A row for each trial.

        Columns: trial, bracket, status (paused, stopped, completed, failed or running), resource (the
        last milestone counted), best and final (values at milestones; null where none),
        trained_seconds.
        """
        return summaries.trials(self.scheduler, self._jobs, self.decisions)

    @property
    def workers(self) -> int:
        """The number of workers."""
        return self.cluster.workers

    @cached_property
    def configurations(self) -> pl.DataFrame:
        """A row for each trial: trial, then a column for each parameter; null if it is not active.

        Of curves whose configurations have no names there are the coordinates x0, x1, ..., or the row of the
        table.
        """
        surrogate = self.curves.surrogate
        chosen = self.curves.configurations()[: self.scheduler.started]
        if surrogate.rows is None and surrogate.space is not None:
            points = np.asarray(chosen, dtype=np.float64)[:, : surrogate.space.dimension]
            return summaries.configurations(surrogate.space, points)
        trial = pl.Series("trial", range(len(chosen)), dtype=pl.Int64)
        if surrogate.rows is None:
            return pl.DataFrame([trial, *(pl.Series(f"x{i}", x) for i, x in enumerate(chosen.T))])
        named = named_rows(surrogate)
        if named is None:
            return pl.DataFrame([trial, pl.Series("row", chosen, dtype=pl.Int64)])
        return pl.DataFrame([trial, *named[chosen.tolist()].get_columns()])

    def configuration(self, trial: int) -> dict[str, object]:
        """Return a trial's configuration, without parameters that are not active."""
        surrogate, chosen = self.curves.surrogate, self.curves.configurations()
        count = self.scheduler.started
        if not 0 <= trial < count:
            raise ParameterError("trial", trial, f"must be one of the trials 0 ... {count - 1}")
        space = surrogate.space
        if surrogate.rows is None and space is not None:
            return space.mapping(np.asarray(chosen[trial][: space.dimension], dtype=np.float64))
        found: dict[str, object] = {}
        for name, value in self.configurations.row(trial, named=True).items():
            known = space is not None and name in space
            if name != "trial" and (not known or space.is_active(name, found)):  # type: ignore[union-attr]
                found[name] = value
        return found

    @property
    def best_config(self) -> dict[str, object] | None:
        """The incumbent's configuration; None if no trial has shown a number."""
        better = self.incumbent()["trial"]
        return self.configuration(better[-1]) if len(better) else None

    def incumbent(self, at: Literal["any", "max_t"] = "any") -> pl.DataFrame:
        """Return the strict improvements of the best value so far, in the order of reports.

        Parameters
        ----------
        at : "any" or "max_t"
            Values at any level, or of completed trials only.

        Returns
        -------
        polars.DataFrame
            Columns time, trial, resource, value.
        """
        if at not in ("any", "max_t"):
            raise ParameterError("at", at, "must be 'any' or 'max_t'")
        rows, scheduler = self._decisions.rows(), self.scheduler
        return summaries.incumbent(rows, scheduler.levels, scheduler.mode, at == "max_t")

    def values_at_max(self, trials: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return the values that trials have, or would have, at R; shape (n,), NaN for no number."""
        configurations = self.curves.configurations()[np.array(trials, dtype=np.int64)]
        values, _ = self.curves.surrogate.evaluate(configurations, self.curves.levels[-1:])
        return values[:, 0]

    def job_rows(self) -> NDArray[np.void]:
        """Return the jobs as a structured array, with what `jobs` leaves out; see `hbsim.runner.tables`."""
        return self._jobs.rows()

    def epochs(self, trials: Sequence[int] | None = None) -> pl.DataFrame:
        """Return a row for each unit of training, expanded from the jobs; by default of all trials.

        Columns: job, trial, worker, resource, time (when the worker was done with it), value (null
        where it is no number).
        """
        from hbsim.simulation.epochs import expand

        return expand(self, range(self.scheduler.started) if trials is None else trials)

    def rungs(self) -> pl.DataFrame:
        """Return counts by bracket and level.

        Columns: bracket, level, recorded, then how many of these went on at once (continue), paused,
        stopped, completed there, and went on later (promoted); and failed: how many more failed for good
        on their way there.
        """
        return summaries.rungs(self.scheduler, self._decisions.rows(), self._jobs.ended())

    def summary(self) -> dict[str, object]:
        """Return the figures of the study in plain types.

        Trials: trials, completed, stopped, paused, failed, running. Jobs: jobs, and of these lost and
        preempted; lost_saves: checkpoints not saved at a pause, since the worker went.

        Time: simulated_seconds; busy_share (worker seconds occupied over workers times the last end),
        training_share (seconds of training over the same: the rest of what is occupied is start-up,
        checkpoints and waits), absent_share (when workers were not there); no_worker_after (when the last
        worker left with work to do, null if none did so).

        Resource: trained_resource; of it wasted_resource (trained again, lost in failures, overrun) and
        failed_resource (up to the last milestones of trials that failed for good).

        Money: cost (of the hours that machines were there) and idle_cost (of those without a job), null
        where nothing has a price. Disks: disk_peak and disk_peak_collected (GB), null where checkpoints
        have no size.

        Value: best (the incumbent's value), regret (distance at R between the incumbent and the best of
        the surrogate's space, null where unknown), test (the incumbent's held-out value at R, null where
        there is none).

        How it was made: scheduler, surrogate, metric, mode, workers, replace, interrupted.
        """
        scheduler, cluster, simulated = self.scheduler, self.cluster, self.simulated
        surrogate = self.curves.surrogate
        capacity = cluster.workers * self.end_time
        return {
            **summaries.summary(scheduler, self._jobs, capacity, {"simulated_seconds": self.end_time}),
            "failed_resource": _failed_resource(scheduler),
            **_score(self),
            **_machines(self, simulated),
            **{kind: simulated.failures.count(kind) for kind in LOSSES},
            "lost_saves": sum(time <= self.end_time for time in simulated.lost_saves),
            **_disk_peaks(self),
            "scheduler": scheduler.options.as_dict(),
            "surrogate": surrogate.name,
            "metric": surrogate.metric,
            "mode": surrogate.mode,
            "workers": cluster.workers,
            "replace": self.replace,
            "interrupted": self.interrupted,
            "no_worker_after": self.no_worker_after,
        }


def _failed_resource(scheduler: Scheduler) -> float:
    """Return what trials that failed for good had reached: it was paid for, and came to nothing."""
    if not scheduler.status_counts()["failed"]:
        return 0.0
    trials = zip(scheduler.trial_statuses(), scheduler.trial_levels(), strict=True)
    return math.fsum(level for status, level in trials if status == "failed")


def _machines(result: Result, simulated: SimulationData) -> dict[str, object]:
    """Return what machines cost, and the share of the workers' time that they were not there."""
    cluster, end = result.cluster, result.end_time
    there = [end] * cluster.count_machines
    if cluster.has_absences:
        machines = MachineAvailability(cluster, simulated.seed)
        there = [machines.there(machine, end) for machine in range(cluster.count_machines)]
    paid = math.fsum(price * seconds for price, seconds in zip(cluster.prices, there, strict=True))
    worked = math.fsum(there[machine] for machine in cluster.machine_of)
    capacity = cluster.workers * end
    idle = max(0.0, paid - _occupied(cluster, simulated.jobs))
    return {
        "cost": paid / HOUR if cluster.is_priced else None,
        "idle_cost": idle / HOUR if cluster.is_priced else None,
        "absent_share": 1.0 - worked / capacity if capacity and cluster.has_absences else 0.0,
    }


def _occupied(cluster: Cluster, jobs: JobTable) -> float:
    """Return the money for the seconds in which jobs occupied workers: each has its share of its machine."""
    if not cluster.is_priced:
        return 0.0
    machines, rows = np.array(cluster.machine_of), jobs.ended()
    shares = np.array(cluster.prices)[machines] / np.bincount(machines)[machines]
    return math.fsum((rows["end_time"] - rows["start_time"]) * shares[rows["worker"]])


def _disk_peaks(result: Result) -> dict[str, object]:
    """Return the most that checkpoints held, in GB."""
    if result.simulated.disk is None:
        return {"disk_peak": None, "disk_peak_collected": None}
    rows = result.disk().max().row(0)
    return {"disk_peak": rows[1] or 0.0, "disk_peak_collected": rows[2] or 0.0}


def _score(result: Result) -> dict[str, object]:
    """Return best, regret and test of the final incumbent."""
    last = result.incumbent().tail(1)
    if last.is_empty():
        return {"best": None, "regret": None, "test": None}
    trial = int(last["trial"][0])
    surrogate, level = result.curves.surrogate, result.scheduler.levels[-1]
    value = float(result.values_at_max([trial])[0])
    optimum = surrogate.optimum(level)
    distance = None
    if optimum is not None and math.isfinite(value):
        signed = optimum - value if surrogate.mode == "max" else value - optimum
        distance = max(0.0, signed)
    configuration = result.curves.configurations()[trial : trial + 1]
    tests = surrogate.test_values(configuration, level)
    test = None if tests is None else numbers([float(tests[0])])[0]
    return {"best": float(last["value"][0]), "regret": distance, "test": test}
