"""How long a suggestion takes: the processor's time of one process, after so many observations."""

from __future__ import annotations

import time
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.searchers_sweep import SEARCHERS
from hbsim.searchers import Searcher, SearchTask, make_searcher
from hbsim.surrogates import load

__all__ = ["OBSERVATIONS", "costs", "told"]

OBSERVATIONS: Final = (50, 200, 1000)
ROUNDS: Final = 5
LEVELS: Final = (1.0, 3.0, 9.0, 27.0, 81.0)
ETA: Final = 3


def told(name: str, observations: int) -> Searcher:
    """Return a searcher that has heard of so many values, of a third as many trials at each next level.

    Parameters
    ----------
    name : str
        Of the searcher.
    observations : int
        How many values, about.
    """
    curves = load("synthetic")
    assert curves.space is not None
    searcher = make_searcher(name, SearchTask(curves.space, 0, max_t=LEVELS[-1]))
    shares = ETA ** -np.arange(len(LEVELS), dtype=float)
    points = np.random.default_rng(0).random((round(observations / shares.sum()), curves.space.dimension))
    values, _ = curves.evaluate(points, np.array(LEVELS))
    searcher.resume(points)
    for trial, row in enumerate(values):
        for place, level in enumerate(LEVELS):
            if trial % ETA**place == 0:
                value = float(row[place])
                searcher.observe(trial, level, value if np.isfinite(value) else None)
        searcher.forget(trial)
    return searcher


def costs(searchers: tuple[str, ...] = SEARCHERS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Return the seconds of the processor that a suggestion takes, the first and the median of those after.

    The first fits a model; later ones may find it made.
    """
    for name in searchers:
        told(name, OBSERVATIONS[0]).suggest(1)  # imports
    return [_cost(name, count, rounds) for name in searchers for count in OBSERVATIONS]


def _cost(name: str, observations: int, rounds: int) -> dict[str, Any]:
    searcher = told(name, observations)
    seconds = [_timed(searcher) for _ in range(1 + rounds)]
    return {"searcher": name, "observations": observations, "first": seconds[0], "next": median(seconds[1:])}


def _timed(searcher: Searcher) -> float:
    begin = time.process_time()
    searcher.suggest(1)
    return time.process_time() - begin
