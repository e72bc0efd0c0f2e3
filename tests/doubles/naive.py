"""`make_naive`: the naive double of `hbsim.core.make_scheduler`, with the same options."""

from __future__ import annotations

from collections.abc import Iterator

from .naive_async import NaiveFifo, NaivePromotion, NaiveStopping
from .naive_base import NaiveScheduler
from .naive_levels import Grid, hyperband_size
from .naive_median import NaiveMedian, even_levels
from .naive_pasha import NaivePasha
from .naive_sync import NaiveSync


def make_naive(
    type: str,
    *,
    max_t: float,
    grace_period: float = 1,
    reduction_factor: float = 3,
    brackets: int = 1,
    mode: str = "max",
    num_trials: int | None = None,
    retries: int = 0,
    seed: int = 0,
    resource_type: str = "int",
    bracket_sampling: str = "softmax",
    shared_rungs: bool = False,
    rule: str = "quantile",
    straight_on: bool = True,
    keep_size_ratios: bool = False,
    failed_places: str = "passed-on",
    n: int = 0,
    quota: str = "actual",
    overlap: bool = False,
    n_formula: str = "ceil",
    epsilon: float | None = None,
    interval: float | None = None,
    among: str = "completed",
    min_samples: int = 1,
) -> NaiveScheduler:
    """Return the naive scheduler of that type; options of other types are ignored."""
    if type == "fifo":
        return NaiveFifo(max_t, mode=mode, num_trials=num_trials, retries=retries)
    if type == "median":
        levels = even_levels(grace_period, interval, max_t, resource_type)
        return NaiveMedian(levels, among, min_samples, mode, num_trials, retries)
    grid = Grid(grace_period, max_t, reduction_factor, resource_type)
    if type in ("sha", "hyperband"):
        plan = sha_plan(grid, n) if type == "sha" else hyperband_plan(grid, n_formula)
        return NaiveSync(
            grid.eta, plan, quota=quota, overlap=overlap, mode=mode, num_trials=num_trials, retries=retries
        )
    kind = {"stopping": NaiveStopping, "promotion": NaivePromotion, "pasha": NaivePasha}[type]
    scheduler = kind(
        grid,
        brackets=brackets,
        bracket_sampling=bracket_sampling,
        shared_rungs=shared_rungs,
        seed=seed,
        mode=mode,
        num_trials=num_trials,
        retries=retries,
    )
    if isinstance(scheduler, NaiveStopping):
        scheduler.rule = rule
    else:
        scheduler.straight_on = straight_on
        scheduler.keep_size_ratios = keep_size_ratios
        scheduler.failed_places = failed_places
    if isinstance(scheduler, NaivePasha):
        scheduler.given = epsilon
    return scheduler


def sha_plan(grid: Grid, n: int) -> Iterator[tuple[int, int, list[float]]]:
    while True:
        yield 0, n, grid.levels(0, synchronous=True)


def hyperband_plan(grid: Grid, n_formula: str) -> Iterator[tuple[int, int, list[float]]]:
    while True:
        for b in range(grid.K + 1):
            size = hyperband_size(grid.K, grid.eta, b, n_formula)
            yield b, size, grid.levels(b, synchronous=True)
