"""The report on a fit: cross-validation over configurations, and a verdict on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.core.types import Mode
from hbsim.surrogates import hashing
from hbsim.surrogates.description import spearman
from hbsim.surrogates.fit_data import FitData
from hbsim.surrogates.fit_model import CurveModel, Expectation, fit_model
from hbsim.surrogates.fit_outcomes import DivergenceKind
from hbsim.surrogates.fit_regression import RegressionKind
from hbsim.surrogates.protocol import Floats, Ints

FOLDS: Final = 5
DRAWS: Final = 200  # curves drawn for each row, for intervals
CHOSEN: Final = 0.2  # with a greater share of rows that end early, rows that went further are selected ones
POPULATIONS: Final = 20  # how many of these curves are used for correlations within a population


@dataclass(frozen=True)
class HeldOut:
    """True and predicted curves of n held-out rows; the model of each prediction has not seen the row.

    Attributes
    ----------
    levels : array, shape (m,)
        The levels of the predictions.
    folds : int
        The number of parts in which the rows were held out.
    given_curve : bool
        Whether predictions beyond the first level know the row's curve until the level before.
    values, median : array, shape (n, m)
        True (NaN where unknown) and predicted.
    drawn : array, shape (draws, n, m)
        Curves that were drawn from the same information.
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
    curves: Floats
    population: Floats
    log_seconds: Floats
    log_seconds_error: Floats
    divergence: Floats


def hold_out(data: FitData, levels: Floats, seed: int) -> HeldOut:
    """Fit a model to four fifths of the rows at a time, and predict the others.

    Parameters
    ----------
    data : FitData
        The data with the rows.
    levels : array, shape (m,)
        Some levels of the data, the last included.
    seed : int
        The seed of the parts, the draws, and the models.
    """
    n, m = len(data.points), len(levels)
    places = np.searchsorted(data.levels, levels)
    median, curves = np.empty((n, m)), np.empty((DRAWS, n, m))
    population = np.empty((POPULATIONS, n, m))
    log_seconds, late, divergence = np.empty(n), np.empty(n), np.empty(n)
    given_curve = data.ended_early > CHOSEN * n
    for rows, others in _parts(data, seed):
        model = fit_model(data.take(others), seed)
        held = data.take(rows)
        expected = model.expect(held.points)
        for draw in range(DRAWS):
            keys = hashing.float_keys(held.points, hashing.scalar_key(seed, 5, draw))
            curves[draw, rows] = model.draw(expected, keys, levels)[0]
        population[:, rows] = curves[:POPULATIONS, rows]
        median[rows] = model.median(expected, levels)
        if given_curve:
            for place in range(1, m):
                found = _given(model, expected, held, levels[place - 1 : place + 1], seed)
                median[rows, place], curves[:, rows, place] = found
        log_seconds[rows], late[rows] = _time(model, expected, held)
        divergence[rows] = expected.divergence
    values = data.values[:, places]
    return HeldOut(
        levels, FOLDS, given_curve, values, median, curves, population, log_seconds, late, divergence
    )


def _parts(data: FitData, seed: int) -> list[tuple[Ints, Ints]]:
    """Return the rows of each part, and the others; complete rows are spread over the parts."""
    chance = hashing.uniform(hashing.float_keys(data.points, hashing.scalar_key(seed, 6)))
    order = np.lexsort((chance, ~np.isfinite(data.values[:, -1])))
    part = np.empty(len(order), dtype=np.int64)
    part[order] = np.arange(len(order)) % FOLDS
    return [(np.flatnonzero(part == fold), np.flatnonzero(part != fold)) for fold in range(FOLDS)]


def _given(
    model: CurveModel, expected: Expectation, held: FitData, span: Floats, seed: int
) -> tuple[Floats, Floats]:
    """Return median (n,) and draws (draws, n) at the second level of a span, given curves until the first."""
    places = np.searchsorted(held.levels, model.fitted)
    scores = model.scale.to_scores(held.values[:, places])
    found = model.posterior(expected, np.where(model.fitted <= span[0], scores, np.nan))
    known = Expectation(found.mean, expected.rate, expected.divergence)
    roots, curves = found.roots, np.empty((DRAWS, len(scores)))
    for draw in range(DRAWS):
        keys = hashing.float_keys(held.points, hashing.scalar_key(seed, 7, draw))
        curves[draw] = model.draw_around(known, roots, keys, span[1:])[:, 0]
    return model.median(known, span[1:])[:, 0], curves


def _time(model: CurveModel, expected: Expectation, held: FitData) -> tuple[Floats, Floats]:
    """Return the logarithm of seconds per unit at each row's end, and the prediction's error."""
    with np.errstate(invalid="ignore"):
        per_unit = np.log(held.seconds / model.clock.shape)
    there = np.isfinite(per_unit)
    last = there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
    true = np.take_along_axis(per_unit, last[:, None], axis=1)[:, 0]
    return true, true - expected.rate


INTERVALS: Final = (0.5, 0.8, 0.95)
WORST: Final = 0.05  # this share of the worst values is clipped to the best of them: only ranks matter there
USELESS: Final = 0.95  # with more than this share of a constant's error, a fit is useless
TOO_FEW: Final = 20  # complete rows
NARROW: Final = 0.65  # an 80 % interval that covers a smaller share of values is narrow
WIDE: Final = 0.92


@dataclass(frozen=True)
class LevelReport:
    """Predictions of held-out rows at a level, compared with the true values.

    Attributes
    ----------
    level : float
        The level.
    rows : int
        How many rows have a number there.
    error : float
        Mean absolute error of the prediction, in units of the metric. The worst 5 % of the values count
        as the best of them, here and in `spread`.
    spread : float
        The mean absolute error of the best constant, the median of these rows.
    relative : float
        `error` over `spread`: 0 is perfect, 1 no better than that constant.
    rank_correlation : float
        Spearman's, of predicted with true values.
    early_table, early_fit : float
        Spearman's rank correlation of the values at this level with those at the last, in the table, and
        in curves that models draw for its configurations without having seen them.
    coverage : tuple of float
        The share of true values in the central 50, 80 and 95 % of the drawn values.
    """

    level: float
    rows: int
    error: float
    spread: float
    relative: float
    rank_correlation: float
    early_table: float
    early_fit: float
    coverage: tuple[float, ...]


@dataclass(frozen=True)
class FitReport:
    """The report on a fit: the results of cross-validation over configurations.

    Attributes
    ----------
    rows, complete, ended_early, diverged : int
        Of the table: rows, those with a number at the last level, those that were not recorded there, and
        those without numbers from some level on.
    folds : int
        How many times a part of the rows was predicted from the others.
    regression : tuple of "mean", "process" or "trees"
        The model of each shape of the curves, the most important one first: the mean, a Gaussian process,
        or extremely randomised trees.
    given_curve : bool
        Whether predictions at a level know the row's own curve until the level before, since rows ended
        early: rows that went further were selected by their curves. Else they know the configuration only.
    levels : tuple of LevelReport
        Ascending.
    log_seconds_error, log_seconds_spread : float
        Root mean square error of the logarithm of seconds per unit, and its standard deviation.
    divergence : "rate", "logistic" or "trees"
        The model of divergence.
    divergence_rate, divergence_error, divergence_spread : float
        The share of rows that diverge by the last level; the mean squared error of its held-out
        probability (Brier score), and that of the share itself.
    best_table, best_drawn : float
        The best value at the last level, in the table and of 1,000 new configurations.
    verdict : tuple of str
        What these numbers mean, in sentences.
    notes : tuple of str
        Remarks on how the table was treated.
    """

    rows: int
    complete: int
    ended_early: int
    diverged: int
    folds: int
    regression: tuple[RegressionKind, ...]
    given_curve: bool
    levels: tuple[LevelReport, ...]
    log_seconds_error: float
    log_seconds_spread: float
    divergence: DivergenceKind
    divergence_rate: float
    divergence_error: float
    divergence_spread: float
    best_table: float
    best_drawn: float
    verdict: tuple[str, ...]
    notes: tuple[str, ...]


def cross_validate(
    model: CurveModel, mode: Mode, levels: Sequence[float], best_drawn: float, seed: int, notes: Sequence[str]
) -> FitReport:
    """Cross-validate a model, and return the report.

    Parameters
    ----------
    model : CurveModel
        Fitted to all rows.
    mode : "max" or "min"
        Whether high or low values are good.
    levels : sequence of float
        Levels of the table, ascending; the last is its last.
    best_drawn : float
        The best value at the last level of 1,000 new configurations.
    seed : int
        The seed of the folds, and of `fit_model`.
    notes : sequence of str
        Remarks on how the table was treated.
    """
    data = model.data
    held = hold_out(data, np.array(levels, dtype=np.float64), seed)
    found = tuple(_level(held, place, mode) for place in range(len(levels)))
    last = data.values[np.isfinite(data.values[:, -1]), -1]
    rate, failed = model.failures.rate, data.diverged < len(data.levels)
    return FitReport(
        rows=len(data.points),
        complete=data.complete,
        ended_early=data.ended_early,
        diverged=int(failed.sum()),
        folds=held.folds,
        regression=model.regression.kinds,
        given_curve=held.given_curve,
        levels=found,
        log_seconds_error=_root_mean_square(held.log_seconds_error),
        log_seconds_spread=_root_mean_square(held.log_seconds - np.nanmean(held.log_seconds)),
        divergence=model.failures.kind,
        divergence_rate=rate,
        divergence_error=float(((held.divergence - failed) ** 2).mean()),
        divergence_spread=float(((rate - failed) ** 2).mean()),
        best_table=float(last.max() if mode == "max" else last.min()),
        best_drawn=best_drawn,
        verdict=tuple(_verdict(data, held, found)),
        notes=tuple(notes),
    )


def _level(held: HeldOut, place: int, mode: Mode) -> LevelReport:
    there = np.isfinite(held.values[:, place])
    true, median, curves = held.values[there, place], held.median[there, place], held.curves[:, there, place]
    worst = np.quantile(true, WORST if mode == "max" else 1.0 - WORST)
    cut = np.maximum if mode == "max" else np.minimum
    kept = cut(true, worst)
    error = float(np.abs(cut(median, worst) - kept).mean())
    spread = float(np.abs(kept - np.median(kept)).mean())
    both = there & np.isfinite(held.values[:, -1])
    return LevelReport(
        level=float(held.levels[place]),
        rows=int(there.sum()),
        error=error,
        spread=spread,
        relative=error / spread if spread > 0 else float("nan"),
        rank_correlation=spearman(median, true),
        early_table=spearman(held.values[both, place], held.values[both, -1]),
        early_fit=float(np.mean([spearman(one[:, place], one[:, -1]) for one in held.population])),
        coverage=tuple(_coverage(true, curves, share) for share in INTERVALS),
    )


def _coverage(true: Floats, curves: Floats, share: float) -> float:
    low, high = np.quantile(curves, [0.5 - share / 2.0, 0.5 + share / 2.0], axis=0)
    return float(((true >= low) & (true <= high)).mean())


def _root_mean_square(errors: Floats) -> float:
    there = errors[np.isfinite(errors)]
    return float(np.sqrt((there**2).mean())) if there.size else 0.0


def _verdict(data: FitData, held: HeldOut, levels: Sequence[LevelReport]) -> list[str]:
    """Describe what the numbers mean; for the configurations alone where most rows are known."""
    first = levels[0] if held.given_curve else levels[-1]
    if not first.relative < USELESS:
        sentences = [
            f"At level {first.level:g} held-out configurations are predicted no better than by a constant "
            f"({first.relative:.2f} of its error): curves have the right spread, but which configurations "
            "are good is chance."
        ]
    else:
        sentences = [
            f"At level {first.level:g} held-out configurations are predicted with {first.relative:.2f} of "
            f"the error of a constant, rank correlation {first.rank_correlation:.2f}."
        ]
    if held.given_curve:
        sentences.append(
            f"{data.ended_early} of {len(data.points)} rows end early and {data.complete} reach level "
            f"{data.levels[-1]:g}. Beyond level {first.level:g} the errors are those of rows that came so "
            "far, given their curve until the level before; what others would have shown is extrapolated."
        )
        if data.complete < TOO_FEW:
            sentences.append(f"Record more than {data.complete} to the end: late levels rest on these alone.")
    inside = levels[-1].coverage[1]
    if not NARROW <= inside <= WIDE:
        word = "narrow" if inside < NARROW else "wide"
        sentences.append(
            f"At the last level the 80 % intervals hold {inside:.0%} of held-out values: too {word}."
        )
    return sentences
