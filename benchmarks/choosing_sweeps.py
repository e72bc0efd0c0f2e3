"""The sweeps behind the pictures of docs/explanation/choosing.md: its studies, at more places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

import hbsim
from hbsim.bench.conclusions import Interval, mean_intervals
from hbsim.simulation import Cluster

__all__ = ["early_ranks", "pauses", "workers"]

Row: TypeAlias = dict[str, Any]

SEEDS: Final = range(20)  # as on the page
MORE_SEEDS: Final = range(50)  # where differences are small
COUNTS: Final = (
    "trials",
    "jobs",
    "completed",
    "simulated_seconds",
    "busy_share",
    "trained_resource",
    "wasted_resource",
)
WORKERS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
KINDS: Final = (
    "promotion",
    "stopping",
    "sha,n=81",
    "sha,n=81,overlap=true",
    "hyperband",
    "hyperband,overlap=true",
)
STARTUPS: Final = (0, 30, 60, 120, 300, 600)
PAUSING: Final = ("promotion", "promotion,straight_on=false", "stopping")
EARLY: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
STARTS: Final = (
    "promotion",
    "promotion,grace_period=3",
    "promotion,grace_period=9",
    "promotion,brackets=3",
    "promotion,brackets=5",
)


def _compare(
    variants: Sequence[str],
    surrogate: str,
    cluster: Cluster,
    max_time: float | None = None,
    trials: int | None = None,
    seeds: range = SEEDS,
) -> hbsim.Sweep:
    return hbsim.compare(
        variants,
        surrogate=surrogate,
        cluster=cluster,
        max_time=max_time,
        max_t=81,
        trials=trials,
        seeds=seeds,
        jobs=1,
    )


def _rows(compared: hbsim.Sweep) -> Iterator[Row]:
    """Give a row a variant, in their order: means of the counts, and regret at equal time."""
    [task] = compared.report.tasks
    regrets = {row.variant: row.regret for row in task.rows}
    means = compared.cells.group_by("variant", maintain_order=True).agg(pl.col(COUNTS).mean())
    for row in means.iter_rows(named=True):
        yield {**row, "regret": _plain(regrets[row["variant"]])}


def _plain(found: Interval) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high}


def workers() -> list[Row]:
    """Return how busy workers are, and how long 400 trials take, by how many workers there are."""
    return [
        {"workers": count, **row}
        for count in WORKERS
        for row in _rows(_compare(KINDS, "synthetic", Cluster(workers=count), trials=400))
    ]


def pauses() -> list[Row]:
    """Return what studies of four hours train and find, by what a start costs."""
    return [
        {"startup": startup, **row}
        for startup in STARTUPS
        for row in _rows(_compare(PAUSING, "synthetic:seconds=60", _costly(startup), max_time=14_400))
    ]


def _costly(startup: float) -> Cluster:
    return Cluster(workers=16, startup=startup, save=startup / 5, load=startup / 5)


def early_ranks() -> list[Row]:
    """Return by how much later starts differ from r = 1 in one bracket, by what early ranks say."""
    rows = []
    for family in ("power", "exponential"):
        for early in EARLY:
            surrogate = f"synthetic:family={family},early_rank={early:g}"
            cells = _compare(STARTS, surrogate, Cluster(workers=16), max_time=300, seeds=MORE_SEEDS).cells
            scores = [cells.filter(variant=label)["regret"].to_numpy() for label in STARTS]
            for label, score in zip(STARTS, scores, strict=True):
                rows.append(
                    {"family": family, "early_rank": early, "variant": label, **_beside(score, scores[0])}
                )
    return rows


def _beside(score: NDArray[np.float64], base: NDArray[np.float64]) -> Row:
    return {
        "regret": float(score.mean()),
        "difference": _plain(Interval(*map(float, mean_intervals(score - base)))),
    }
