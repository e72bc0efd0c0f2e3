"""One study in a few numbers: what it cost, and how good its incumbent was when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from hbsim.bench.plan import Plan
from hbsim.simulation import Result
from hbsim.surrogates import Surrogate
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["SUMMARY", "Cell", "cell_of", "resource_at", "run_cell"]

SUMMARY: Final = (
    "trials",
    "jobs",
    "completed",
    "stopped",
    "paused",
    "failed",
    "running",
    "simulated_seconds",
    "busy_share",
    "trained_resource",
    "wasted_resource",
    "cost",
)


@dataclass(frozen=True)
class Cell:
    """One variant with one seed.

    The incumbent is the trial with the best value so far, at any level: that is what a user sees. Its
    score is what it shows at R, also where it never trained that far.

    Attributes
    ----------
    variant : int
        Its index in the plan.
    seed : int
        Of the study and of its scheduler.
    summary : dict
        The numbers of `Result.summary` that `SUMMARY` names; NaN for none.
    time, resource : array, shape (k,)
        When each of the k incumbents was reported: simulated seconds, and the resource that all jobs
        had trained until then. Both ascend.
    trial : array of int, shape (k,)
        The incumbents.
    value : array, shape (k,)
        Their values at R, NaN where they are no numbers.
    regret : array, shape (k,)
        How much worse that is than the best of the surrogate's space; NaN where unknown.
    test : array, shape (k,)
        Their held-out values at R; NaN where there are none.
    is_deserted : bool
        Whether all workers went before the work was done.
    """

    variant: int
    seed: int
    summary: dict[str, float]
    time: Floats
    resource: Floats
    trial: Ints
    value: Floats
    regret: Floats
    test: Floats
    is_deserted: bool = False

    @property
    def total_resource(self) -> float:
        """The resource that all jobs trained."""
        return self.summary["trained_resource"]

    @property
    def end_time(self) -> float:
        """Simulated seconds at which the last job ended."""
        return self.summary["simulated_seconds"]

    def at(self, axis: str, where: float) -> int:
        """Return the index of the incumbent at a time or resource (included), -1 if there is none yet."""
        return int(np.searchsorted(getattr(self, axis), where, side="right")) - 1


def run_cell(plan: Plan, surrogate: Surrogate, variant: int, seed: int) -> Cell:
    """Simulate one study, and keep a few numbers of it."""
    return cell_of(plan.run(surrogate, variant, seed), variant, seed)


def cell_of(result: Result, variant: int, seed: int) -> Cell:
    """Return a few numbers of a study."""
    incumbents = result.incumbent()
    trials = incumbents["trial"].to_numpy()
    time = incumbents["time"].to_numpy()
    trained = resource_at(result.jobs, np.append(time, result.end_time))
    summary = result.summary()
    numbers: dict[str, Any] = {name: summary[name] for name in SUMMARY}
    if numbers["cost"] is None:
        numbers["cost"] = math.nan
    numbers["trained_resource"] = float(trained[-1])
    value, regret, test = _scores(result, trials)
    is_deserted = result.no_worker_after is not None
    return Cell(variant, seed, numbers, time, trained[:-1], trials, value, regret, test, is_deserted)


def _scores(result: Result, trials: Ints) -> tuple[Floats, Floats, Floats]:
    """Return value, regret and test value of trials at R, each of shape (n,)."""
    unknown = np.full(len(trials), np.nan)
    if not len(trials):
        return unknown, unknown, unknown
    surrogate, level = result.curves.surrogate, result.scheduler.levels[-1]
    value = result.values_at_max(trials.tolist())
    value = np.where(np.isfinite(value), value, np.nan)
    optimum = surrogate.optimum(level)
    regret = unknown
    if optimum is not None:
        regret = np.maximum(optimum - value if surrogate.mode == "max" else value - optimum, 0.0)
    tests = surrogate.test_values(result.curves.configurations()[trials], level)
    return value, regret, unknown if tests is None else tests


def resource_at(jobs: pl.DataFrame, times: Floats) -> Floats:
    """Return the resource that all jobs had trained by each time; shape of `times`.

    Within a job it grows linearly from `train_start` to `end_time`.

    Parameters
    ----------
    jobs : polars.DataFrame
        As `Result.jobs`.
    times : array, shape (n,)
        Simulated seconds.
    """
    trained = jobs.drop_nulls("train_start")
    start, end = trained["train_start"].to_numpy(), trained["end_time"].to_numpy()
    amount = (trained["stop_resource"] - trained["start_resource"]).to_numpy()
    order = np.argsort(end, kind="stable")
    start, end, amount = start[order], end[order], amount[order]
    ended = np.searchsorted(end, times, side="right")
    # Added up in order: the same last bits on every machine.
    whole = np.concatenate(([0.0], np.cumsum(amount)))[ended]
    for place, (time, first) in enumerate(zip(times, ended, strict=True)):
        begun = start[first:] < time
        s, e, a = start[first:][begun], end[first:][begun], amount[first:][begun]
        whole[place] += np.cumsum(np.append(0.0, a * ((time - s) / (e - s))))[-1]
    return whole
