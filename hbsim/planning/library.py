"""The library of tasks that plans are made from: learning curves of many kinds, in groups of like kinds.

A forecast for a study whose curves nobody knows is a forecast over these tasks. The tasks of a group are
alike, so a group counts once: averages are over groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import as_file, files
from statistics import NormalDist
from typing import Final

import numpy as np
import polars as pl

from hbsim.core.types import Mode
from hbsim.surrogates.description import sample, spearman
from hbsim.surrogates.parquet import read_sealed
from hbsim.surrogates.protocol import Floats, Surrogate
from hbsim.surrogates.registry import load
from hbsim.surrogates.table import Table
from hbsim.surrogates.table_files import RecordedCurves

SECONDS: Final = "seconds"
CONFIGURATIONS: Final = 400  # of a surrogate with any number of them
# Recorded curves, each a group by itself: the name of the surrogate, and the unit of its resource.
RECORDED: Final = {"boosting": "round", "chars": "unit of 3 batches", "digits": "epoch", "sgd": "epoch"}
# Groups of synthetic curves, by how well ranks at level 1 foretell those at R. The tasks of a group differ in
# all else: options of `Synthetic`, the standard deviation of the logarithm of costs, and how many units more
# the first one takes, as where a run prepares its data in it.
SYNTHETIC: Final = {
    "early ranks good": (
        ("early_rank=0.9,noise=0.005,divergence=0.02", 0.0, 0.0),
        ("early_rank=0.8,noise=0.02,divergence=0.3,seed=1", 0.3, 2.0),
        ("early_rank=0.9,noise=0.05,divergence=0.1,family=exponential,seed=2", 0.5, 0.0),
    ),
    "early ranks middling": (
        ("early_rank=0.5,noise=0.005,divergence=0.1,seed=3", 0.2, 0.0),
        ("early_rank=0.4,noise=0.02,divergence=0,family=exponential,seed=4", 0.4, 1.0),
        ("early_rank=0.5,noise=0.05,divergence=0.5,seed=5", 0.0, 0.0),
    ),
    "early ranks misleading": (
        ("early_rank=0.1,noise=0.005,divergence=0.3,seed=6", 0.7, 0.0),
        ("early_rank=0,noise=0.02,divergence=0.05,seed=7", 0.15, 3.0),
        ("early_rank=0,noise=0.05,divergence=0.15,family=exponential,seed=8", 0.4, 0.5),
    ),
    "early ranks inverted": (
        ("early_rank=-0.4,noise=0.005,divergence=0.15,family=exponential,seed=9", 0.4, 1.0),
        ("early_rank=-0.6,noise=0.02,divergence=0.5,seed=10", 0.3, 0.0),
        ("early_rank=-0.5,noise=0.05,divergence=0,seed=11", 0.0, 0.0),
    ),
}


@dataclass(frozen=True, eq=False)
class Task:
    """Learning curves of n configurations of one task at T levels.

    Attributes
    ----------
    name, group : str
        The task, and the group of tasks of its kind.
    surrogate : str
        The text from which `hbsim.surrogates.load` makes the curves, for synthetic ones with other costs;
        empty where it knows none.
    unit : str
        The unit of the resource: ``epoch``, ``round``.
    metric : str
        The metric that decides.
    mode : "max" or "min"
        Whether it is maximised.
    levels : array, shape (T,)
        Ascending levels, in units; the last one is `max_resource`.
    values : array, shape (n, T)
        The metric; NaN where a run diverged.
    seconds : array, shape (n, T)
        Cumulative seconds of training.
    """

    name: str
    group: str
    surrogate: str
    unit: str
    metric: str
    mode: Mode
    levels: Floats
    values: Floats
    seconds: Floats

    @property
    def max_resource(self) -> float:
        """The last level, in units."""
        return float(self.levels[-1])

    @cached_property
    def unit_seconds(self) -> Floats:
        """Mean seconds a unit of each configuration over its whole run, shape (n,)."""
        return self.seconds[:, -1] / self.max_resource

    @cached_property
    def diverged(self) -> float:
        """The share of runs whose metric is no finite number at the last level."""
        return float(np.mean(~np.isfinite(self.values[:, -1])))

    def rank_correlation(self, fraction: float) -> float:
        """Return Spearman's correlation of ranks after a fraction of a run with those at its end.

        Diverged runs share the worst rank. NaN where all values are equal.
        """
        values, _ = self._at(np.array([fraction, 1.0]))
        scores = np.where(np.isfinite(values), values if self.mode == "max" else -values, -math.inf)
        return spearman(scores[:, 0], scores[:, 1])

    def table(self, levels: Sequence[float], unit_seconds: float | None = None) -> Table:
        """Return the curves at other levels: of a study whose runs are as long as the last of them.

        A level is a share of a run: level 27 of 81 is a third of it, whatever the task's own unit is. Between
        the task's levels the metric is interpolated; before the first one it is that of the first.

        Parameters
        ----------
        levels : sequence of float
            Ascending, above 0. The last one is the end of a run.
        unit_seconds : float, optional
            Mean seconds a unit of `levels` over all configurations. Unless given, a whole run takes what it
            takes in the task.
        """
        wanted = np.asarray(levels, dtype=np.float64)
        values, seconds = self._at(wanted / wanted[-1])
        if unit_seconds is not None:
            seconds = seconds * (unit_seconds * wanted[-1] / seconds[:, -1].mean())
        recorded = RecordedCurves(
            source=self.name,
            levels=wanted,
            columns={self.metric: values, SECONDS: seconds},
            configurations=pl.DataFrame({"config": np.arange(len(values))}),
            metadata={},
            space=None,
            time=SECONDS,
        )
        return Table(recorded, metric=self.metric, mode=self.mode)

    def _at(self, fractions: Floats) -> tuple[Floats, Floats]:
        """Return values and seconds after fractions of a run, shapes (n, m)."""
        places = fractions * self.max_resource
        above = np.minimum(np.searchsorted(self.levels, places), len(self.levels) - 1)
        below = np.where(above > 0, above - 1, 0)
        gap = np.where(above > 0, self.levels[above] - self.levels[below], 1.0)
        weight = np.where(above > 0, np.minimum((places - self.levels[below]) / gap, 1.0), 1.0)
        values = _between(self.values[:, below], self.values[:, above], weight)
        first = above == 0  # time runs from 0 there
        before = np.where(first, 0.0, self.seconds[:, below])
        part = np.where(first, np.minimum(places / self.levels[0], 1.0), weight)
        return values, before + (self.seconds[:, above] - before) * part


def _between(before: Floats, after: Floats, weight: Floats) -> Floats:
    """Return the values between two; exactly the later one where its weight is 1 (infinities stay)."""
    with np.errstate(invalid="ignore"):
        mixed: Floats = before * (1.0 - weight) + after * weight
    return np.where(weight == 1.0, after, mixed)


def task_of(surrogate: Surrogate, group: str, unit: str, text: str = "") -> Task:
    """Return the task of a surrogate: all its rows, or `CONFIGURATIONS` points that are always the same."""
    there = surrogate.resources
    levels = np.arange(1.0, surrogate.max_resource + 1.0) if there is None else np.array(there)
    chosen = sample(surrogate, CONFIGURATIONS if surrogate.rows is None else surrogate.rows, 0)
    values, seconds = surrogate.evaluate(chosen, levels)
    return Task(surrogate.name, group, text, unit, surrogate.metric, surrogate.mode, levels, values, seconds)


@cache
def library() -> tuple[Task, ...]:
    """Return all tasks, those of a group beside each other; loaded once."""
    tasks = [task_of(load(name), name, unit, name) for name, unit in RECORDED.items()]
    for group, varied in SYNTHETIC.items():
        for options, std, first in varied:
            text = f"synthetic:{options}"
            tasks.append(_with_costs(task_of(load(text), f"synthetic, {group}", "unit", text), std, first))
    return (*_lcbench(), *tasks)


def _with_costs(task: Task, std: float, first: float) -> Task:
    """Return a task with log-normal costs, ranked as its own are; its first unit takes `first` units more."""
    places = np.argsort(np.argsort(task.unit_seconds, kind="stable"))
    normal = np.array([NormalDist().inv_cdf((place + 0.5) / len(places)) for place in places.tolist()])
    return replace(task, seconds=np.exp(std * normal)[:, None] * (task.levels + first))


def _lcbench() -> list[Task]:
    """Return the packaged tasks of LCBench, one group; ``lcbench.md`` says how they were made."""
    with as_file(files("hbsim.planning") / "lcbench.parquet") as path:
        frame = read_sealed(path)
    tasks = []
    for (name,), rows in frame.group_by("task", maintain_order=True):
        levels = np.unique(rows["epoch"].to_numpy()).astype(np.float64)
        values, seconds = (
            rows[column].cast(pl.Float64).to_numpy().reshape(-1, len(levels))
            for column in ("val_accuracy", SECONDS)
        )
        tasks.append(
            Task(
                f"lcbench/{name}",
                "lcbench",
                "",
                "epoch",
                "val_accuracy",
                "max",
                levels,
                values / 100.0,
                seconds,
            )
        )
    return tasks
