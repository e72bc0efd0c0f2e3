"""Who is ahead at equal simulated time, and at equal resource."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from hbsim.bench.cells import Cell
from hbsim.bench.statistics import Interval, mean_interval
from hbsim.surrogates.protocol import Floats

__all__ = ["Axis", "Budget", "Call", "Score", "budgets", "measure", "score", "sign_of"]

Axis: TypeAlias = Literal["time", "resource"]
Call: TypeAlias = Literal["best", "worse", "too close to call", "no score"]


@dataclass(frozen=True)
class Budget:
    """Where the variants are held against each other.

    Attributes
    ----------
    axis : "time" or "resource"
        Simulated seconds, or resource trained in all jobs.
    value : float
        How much.
    cell : Cell or None
        The one that had the least, and so set it; None where the user did.
    """

    axis: Axis
    value: float
    cell: Cell | None


@dataclass(frozen=True)
class Score:
    """A variant's scores at one budget, over the seeds.

    Attributes
    ----------
    values : array, shape (seeds,)
        The incumbent's regret at R (its value at R, where the optimum is unknown), a seed each; NaN
        where there was no incumbent yet, or where it has no number at R.
    interval : Interval
        The mean over the seeds that have a score.
    missing : int
        Seeds without one.
    rank : int
        1 is the best. A variant with fewer missing seeds comes first, then the better mean: no score
        is worse than any.
    difference : Interval
        The mean over seeds of this score less the best variant's with the same seed, over the seeds
        where both have one.
    call : str
        "best" (rank 1), "too close to call" (the interval of the difference includes 0, or there is
        none), "worse", or "no score" (no seed has one, or a seed without one that the best has).
    """

    values: Floats
    interval: Interval
    missing: int
    rank: int
    difference: Interval
    call: Call


def budgets(cells: Sequence[Cell], max_time: float | None) -> tuple[Budget, Budget]:
    """Return the time and the resource that every study had.

    Parameters
    ----------
    cells : sequence of Cell
        At least one.
    max_time : float or None
        The time, where the user set it. A study that ended before keeps its last incumbent.
    """
    soonest = min(cells, key=lambda cell: cell.end_time)
    least = min(cells, key=lambda cell: cell.total_resource)
    time = Budget("time", soonest.end_time, soonest) if max_time is None else Budget("time", max_time, None)
    return time, Budget("resource", least.total_resource, least)


def measure(cells: Sequence[Cell]) -> Literal["regret", "value"]:
    """Return what is scored: the regret at R, or the value at R where the optimum is unknown."""
    known = any(np.isfinite(cell.regret).any() for cell in cells)
    return "regret" if known else "value"


def sign_of(what: str, mode: str) -> float:
    """Return 1 where less is better, -1 where more is."""
    return -1.0 if what == "value" and mode == "max" else 1.0


def score(variants: Sequence[Sequence[Cell]], budget: Budget, what: str, mode: str) -> list[Score]:
    """Score variants at a budget.

    Parameters
    ----------
    variants : sequence of sequences of Cell
        For each variant its cells, the seeds in the same order for all.
    budget : Budget
        Where.
    what : str
        The column of `Cell` that counts: ``"regret"`` or ``"value"``.
    mode : "max" or "min"
        Which values are better; less regret always is.

    Returns
    -------
    list of Score
        In the order of `variants`.
    """
    sign = sign_of(what, mode)
    values = [column(cells, budget, what) for cells in variants]
    intervals = [mean_interval(v[np.isfinite(v)]) for v in values]
    missing = [int(np.isnan(v).sum()) for v in values]
    keys = [(m, _last_if_nan(sign * i.mean)) for m, i in zip(missing, intervals, strict=True)]
    best = keys.index(min(keys))
    scores = []
    for index, key in enumerate(keys):
        rank = 1 + sum(other < key for other in keys)
        difference = _difference(values[index], values[best])
        call = _call(rank == 1, values[index], values[best], difference)
        scores.append(Score(values[index], intervals[index], missing[index], rank, difference, call))
    return scores


def column(cells: Sequence[Cell], budget: Budget, what: str) -> Floats:
    """Return a column of `Cell` at the incumbent of each cell at a budget, NaN where there is none yet."""
    places = [cell.at(budget.axis, budget.value) for cell in cells]
    found = [
        getattr(cell, what)[place] if place >= 0 else math.nan
        for cell, place in zip(cells, places, strict=True)
    ]
    return np.array(found, dtype=np.float64)


def _last_if_nan(key: float) -> float:
    return math.inf if math.isnan(key) else key


def _difference(values: Floats, best: Floats) -> Interval:
    both = np.isfinite(values) & np.isfinite(best)
    return mean_interval(values[both] - best[both])


def _call(is_best: bool, values: Floats, best: Floats, difference: Interval) -> Call:
    if is_best:
        return "no score" if np.isnan(values).all() else "best"
    if (np.isnan(values) & ~np.isnan(best)).any():
        return "no score"
    return "too close to call" if difference.includes(0.0) else "worse"
