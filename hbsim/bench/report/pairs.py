"""The scores of one task in arrays: seeds that all its variants have, a column a variant."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import polars as pl

from hbsim.bench.statistics import area_under, at, first_time
from hbsim.bench.sweep.results import SweepResults
from hbsim.bench.sweep.scored import Budget, Scale, Steps, TaskKey
from hbsim.surrogates.protocol import Floats

__all__ = ["TaskScores", "task_scores"]

_NONE = Steps(np.empty(0), np.empty(0))


@dataclass(frozen=True)
class TaskScores:
    """What variants did on a task, paired by seed.

    Attributes
    ----------
    key : TaskKey
        The task.
    variants : tuple of str
        The k variants that are compared here, in the sweep's order.
    absent : tuple of str
        Those that were to run here, and have fewer than half of the seeds of others: none, as a rule.
    seeds : tuple of int
        The n seeds that all of these have.
    keys : tuple of tuples of str, (n, k)
        The studies.
    scale, budget
        What scores are held against, and where.
    score, area, reach : arrays, shape (n, k)
        Normalised regret at the budget, NaN where there is none; its mean over the time until then; and when
        the target was reached, infinite where it was not by then.
    """

    key: TaskKey
    variants: tuple[str, ...]
    absent: tuple[str, ...]
    seeds: tuple[int, ...]
    keys: tuple[tuple[str, ...], ...]
    scale: Scale
    budget: Budget
    score: Floats
    area: Floats
    reach: Floats

    @property
    def is_complete(self) -> bool:
        """Whether all variants that were to run here have seeds in common, and scores can be given."""
        return bool(self.seeds) and not self.absent and math.isfinite(self.scale.unit)

    def studies(self, results: SweepResults, variant: int) -> list[Steps]:
        """Return the incumbents of a variant's studies, by seed."""
        return [results.steps.get(row[variant], _NONE) for row in self.keys]


def task_scores(
    results: SweepResults, key: TaskKey, cells: pl.DataFrame, planned: Collection[str]
) -> TaskScores:
    """Score a task.

    Parameters
    ----------
    results : SweepResults
        Of the sweep.
    key : TaskKey
        The task.
    cells : polars.DataFrame
        Its finished cells; at least one.
    planned : collection of str
        The variants that were to run here.
    """
    order = [variant["name"] for variant in results.manifest["variants"]]
    counts = dict(cells.group_by("variant").len().iter_rows())
    there = {name for name, count in counts.items() if 2 * count >= max(counts.values())}
    variants = tuple(name for name in order if name in there)
    found = {(row["variant"], row["seed"]): row["key"] for row in cells.iter_rows(named=True)}
    seeds = tuple(
        seed
        for seed in cells["seed"].unique(maintain_order=True)
        if all((v, seed) in found for v in variants)
    )
    keys = tuple(tuple(found[variant, seed] for variant in variants) for seed in seeds)
    scale, budget, target = results.scales[key], results.budgets[key], results.manifest["target"]

    if not budget.value > 0:
        seeds, keys = (), ()  # nothing took any time

    def measured(measure: Callable[[Floats, Floats], float]) -> Floats:
        numbers = [[_of(results, key_, scale, measure) for key_ in row] for row in keys]
        if math.isnan(scale.unit):
            numbers = [[math.nan] * len(row) for row in keys]
        return np.array(numbers, dtype=np.float64).reshape(len(seeds), len(variants))

    def reach(time: Floats, score: Floats) -> float:
        first = first_time(time, score, target)
        return first if first <= budget.value else math.inf

    return TaskScores(
        key,
        variants,
        tuple(name for name in order if name in planned and name not in there),
        seeds,
        keys,
        scale,
        budget,
        measured(lambda time, score: at(time, score, budget.value)),
        measured(lambda time, score: area_under(time, score, budget.value)),
        measured(reach),
    )


def _of(results: SweepResults, key: str, scale: Scale, measure: Callable[[Floats, Floats], float]) -> float:
    found = results.steps.get(key, _NONE)
    return measure(found.time, scale.score(found.value))
