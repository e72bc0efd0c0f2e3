"""Pools of simulated studies for `benchmarks.conclusions`: arrays of scores, shape (variants, studies)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

import hbsim
from hbsim.surrogates import Half, Surrogate, Synthetic, load

Array: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Variant: TypeAlias = Mapping[str, object]

VARIANTS: Final[Mapping[str, Variant]] = {
    "stopping": {"type": "stopping"},
    "stopping,brackets=3": {"type": "stopping", "brackets": 3},
    "stopping,brackets=5": {"type": "stopping", "brackets": 5},
    "promotion": {"type": "promotion"},
    "promotion,brackets=3": {"type": "promotion", "brackets": 3},
    "promotion,brackets=5": {"type": "promotion", "brackets": 5},
    "hyperband": {"type": "hyperband"},
    "fifo": {"type": "fifo"},
}
EQUAL: Final = {"type": "promotion", "brackets": 5}  # whose brackets are drawn by other seeds
FULL_RUNS: Final = 2.0  # that a worker has time for
ROWS_PER_WORKER: Final = 32
SPLITS: Final = 10


class Rows:
    """Curves as arrays: a population of configurations, or a table that is cut out of it."""

    metric, space = "score", None

    def __init__(self, name: str, levels: Array, values: Array, seconds: Array, best: float) -> None:
        self.name, self.mode = name, "max"
        self.levels, self.values, self.seconds, self.best = levels, values, seconds, best
        self.resources, self.max_resource = tuple(levels.tolist()), float(levels[-1])
        self.rows = len(values)

    def evaluate(self, configurations: Ints, levels: Array) -> tuple[Array, Array]:
        """Return values and seconds of rows at levels."""
        rows, places = np.asarray(configurations)[:, np.newaxis], np.searchsorted(self.levels, levels)
        return self.values[rows, places], self.seconds[rows, places]

    def optimum(self, level: float) -> float | None:
        """Return what regrets are measured from; the same for all tables of a population."""
        return self.best if level == self.max_resource else None

    def cut(self, number: int, rows: int) -> Rows:
        """Return a table of rows that no other number has."""
        part = slice(number * rows, (number + 1) * rows)
        return Rows(self.name, self.levels, self.values[part], self.seconds[part], self.best)


def synthetic() -> Rows:
    """Return a population of the synthetic surrogate."""
    return _population("synthetic", Synthetic(), 60_000, np.array([1.0, 3.0, 9.0, 27.0, 81.0]))


def lcbench(folder: Path) -> Rows:
    """Return a population of YAHPO's network of LCBench: real tasks, as many configurations as wanted."""
    surrogate = load("yahpo:lcbench/167168", yahpo_data=folder)
    return _population("lcbench/167168", surrogate, 10_000, np.array([1.0, 3.0, 9.0, 27.0, 52.0]))


def _population(name: str, surrogate: Surrogate, rows: int, levels: Array) -> Rows:
    assert surrogate.space is not None
    points = surrogate.space.sample(rows, np.random.default_rng(1))
    values, seconds = surrogate.evaluate(points, levels)
    sign = 1.0 if surrogate.mode == "max" else -1.0
    return Rows(name, levels, sign * values, seconds, float(np.nanmax(sign * values[:, -1])))


def halves(studies: int) -> tuple[Ints, Ints]:
    """Return the split and the part of each study, as `compare` and `sweep` give them to seeds."""
    seeds = np.arange(studies)
    return seeds // 2 % SPLITS, seeds % 2


def regret(
    surrogate: Surrogate,
    variant: Variant,
    seed: int,
    trials: int,
    workers: int,
    full_run: float,
    own: int = 0,
) -> float:
    """Return the regret of a study at its budget; `own` is added to the seed of its scheduler only."""
    options = dict(variant)
    kind = str(options.pop("type"))
    if kind != "fifo":
        options["reduction_factor"] = 3
    scheduler = hbsim.make_scheduler(
        kind,
        max_t=int(surrogate.max_resource),
        num_trials=trials,
        mode=surrogate.mode,
        seed=seed + 1_000_000 * own,
        **options,
    )
    budget = FULL_RUNS * full_run
    result = hbsim.simulate(scheduler, surrogate=surrogate, workers=workers, seed=seed, max_time=budget)
    found = result.summary()["regret"]
    return np.nan if found is None else float(found)


def tables(population: Rows, rows: int, count: int, studies: int) -> Array:
    """Return scores on tables that share no row, shape (count, variants, studies), in halves of the rows."""
    full_run = float(np.median(population.seconds[:, -1]))
    scores = np.empty((count, len(VARIANTS), studies))
    for number in range(count):
        table = population.cut(number, rows)
        sides = {at: Half(table, split=at[0], part=at[1]) for at in np.ndindex(SPLITS, 2)}
        for study, at in enumerate(zip(*(one.tolist() for one in halves(studies)), strict=True)):
            for place, variant in enumerate(VARIANTS.values()):
                seed = number * studies + study
                scores[number, place, study] = regret(
                    sides[at], variant, seed, rows // 2, rows // ROWS_PER_WORKER, full_run
                )
    return scores


def digits_pool(studies: int) -> Array:
    """Return scores on the digits curves, all rows, shape (variants, studies)."""
    digits = load("digits")
    full_run = _full_run(digits)
    scores = np.empty((len(VARIANTS), studies))
    for place, variant in enumerate(VARIANTS.values()):
        for seed in range(studies):
            scores[place, seed] = regret(digits, variant, seed, 500, 16, full_run)
    return scores


def equal_pool(count: int, studies: int) -> Array:
    """Return scores of variants that differ in the seed of their brackets only, shape (count, studies)."""
    digits = load("digits")
    full_run = _full_run(digits)
    scores = np.empty((count, studies))
    for seed, split, part in zip(range(studies), *(one.tolist() for one in halves(studies)), strict=True):
        half = Half(digits, split=split, part=part)
        for place in range(count):
            scores[place, seed] = regret(half, EQUAL, seed, 500, 16, full_run, own=place)
    return scores


def _full_run(digits: Surrogate) -> float:
    return float(np.median(digits.evaluate(np.arange(1000), np.array([81.0]))[1]))
