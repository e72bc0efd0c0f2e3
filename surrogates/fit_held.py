"""Predictions of rows by models that have not seen them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.surrogates import hashing
from hbsim.surrogates.fit_data import FitData
from hbsim.surrogates.fit_model import Expected, Model, fit_model
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["Held", "hold_out", "spearman"]

FOLDS: Final = 5
DRAWS: Final = 200  # curves a row, for intervals
CHOSEN: Final = 0.2  # where more of the rows end early, those that came further are a choice
POPULATIONS: Final = 20  # of those, for correlations within a population


@dataclass(frozen=True)
class Held:
    """n rows, each as it is and as it was predicted by a model of other rows.

    Attributes
    ----------
    levels : array, shape (m,)
        Where.
    folds : int
        In how many parts the rows were held out.
    given_curve : bool
        Whether predictions beyond the first level know the row's curve until the level before.
    values, median : array, shape (n, m)
        True (NaN where unknown) and predicted.
    drawn : array, shape (draws, n, m)
        Curves that were drawn, given the same.
    population : array, shape (populations, n, m)
        Curves that were drawn given the configuration only.
    log_seconds, log_seconds_error : array, shape (n,)
        The logarithm of seconds per unit at a row's end, and how far the predicted one is off; NaN where
        there is no time.
    divergence : array, shape (n,)
        The predicted probability.
    """

    levels: Floats
    folds: int
    given_curve: bool
    values: Floats
    median: Floats
    drawn: Floats
    population: Floats
    log_seconds: Floats
    log_seconds_error: Floats
    divergence: Floats


def hold_out(data: FitData, levels: Floats, seed: int) -> Held:
    """Fit a model to four fifths of the rows at a time, and predict the others.

    Parameters
    ----------
    data : FitData
        The rows.
    levels : array, shape (m,)
        Some of their levels; the last is their last.
    seed : int
        Of the parts, of chance, and of the models.
    """
    n, m = len(data.points), len(levels)
    places = np.searchsorted(data.levels, levels)
    median, drawn = np.empty((n, m)), np.empty((DRAWS, n, m))
    population = np.empty((POPULATIONS, n, m))
    log_seconds, late, divergence = np.empty(n), np.empty(n), np.empty(n)
    given_curve = data.ended_early > CHOSEN * n
    for rows, others in _parts(data, seed):
        model = fit_model(data.take(others), seed)
        held = data.take(rows)
        expected = model.expect(held.points)
        for draw in range(DRAWS):
            keys = hashing.float_keys(held.points, hashing.scalar_key(seed, 5, draw))
            drawn[draw, rows] = model.draw(expected, keys, levels)[0]
        population[:, rows] = drawn[:POPULATIONS, rows]
        median[rows] = model.median(expected, levels)
        if given_curve:
            for place in range(1, m):
                found = _given(model, expected, held, levels[place - 1 : place + 1], seed)
                median[rows, place], drawn[:, rows, place] = found
        log_seconds[rows], late[rows] = _time(model, expected, held)
        divergence[rows] = expected.divergence
    values = data.values[:, places]
    return Held(levels, FOLDS, given_curve, values, median, drawn, population, log_seconds, late, divergence)


def _parts(data: FitData, seed: int) -> list[tuple[Ints, Ints]]:
    """Return the rows of each part, and the others; complete rows are spread over the parts."""
    chance = hashing.uniform(hashing.float_keys(data.points, hashing.scalar_key(seed, 6)))
    order = np.lexsort((chance, ~np.isfinite(data.values[:, -1])))
    part = np.empty(len(order), dtype=np.int64)
    part[order] = np.arange(len(order)) % FOLDS
    return [(np.flatnonzero(part == fold), np.flatnonzero(part != fold)) for fold in range(FOLDS)]


def _given(model: Model, expected: Expected, held: FitData, span: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return median (n,) and draws (draws, n) at the second level of a span, given curves until the first."""
    places = np.searchsorted(held.levels, model.fitted)
    scores = model.warp.to_scores(held.values[:, places])
    found = model.posterior(expected, np.where(model.fitted <= span[0], scores, np.nan))
    known = Expected(found.mean, expected.rate, expected.divergence)
    roots, drawn = found.roots, np.empty((DRAWS, len(scores)))
    for draw in range(DRAWS):
        keys = hashing.float_keys(held.points, hashing.scalar_key(seed, 7, draw))
        drawn[draw] = model.draw_around(known, roots, keys, span[1:])[:, 0]
    return model.median(known, span[1:])[:, 0], drawn


def _time(model: Model, expected: Expected, held: FitData) -> tuple[Floats, Floats]:
    """Return the logarithm of seconds per unit at each row's end, and the prediction's error."""
    with np.errstate(invalid="ignore"):
        per_unit = np.log(held.seconds / model.clock.shape)
    there = np.isfinite(per_unit)
    last = there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
    true = np.take_along_axis(per_unit, last[:, None], axis=1)[:, 0]
    return true, true - expected.rate


def spearman(a: Floats, b: Floats) -> float:
    """Return Spearman's rank correlation; NaN where all values of one are equal, or there are none."""
    from scipy.stats import rankdata

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    first, second = (rankdata(column) - (len(column) + 1) / 2.0 for column in (a, b))
    return float(first @ second) / math.sqrt(float(first @ first) * float(second @ second))
