"""Conclusions: which variants are worse than the best, on these curves and on another draw of configurations.

The method, its validation, and how to read the results: docs/explanation/statistics.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.errors import ParameterError
from hbsim.surrogates.protocol import Floats, Ints

Bools: TypeAlias = NDArray[np.bool_]
Call: TypeAlias = Literal["best", "not told apart", "worse", "no score"]

ALPHA: Final = 0.05  # of every test of a report
MISSING: Final = 0.1  # the share of studies in which a variant may lack a score and still take part
_LEAST: Final = 3  # the fewest studies that allow conclusions
_POWER: Final = 0.8  # the probability for which `seeds_needed` and `rows_factor` are computed
_ROWS_RULE: Final = 0.8  # share of the wanted variance; where rows alone exceed it, more seeds do not help
_DRAWS: Final = 2_000  # samples for the probability of being best
_SEED: Final = 0
_ROUNDING: Final = 1e-12  # relative to the largest score: differences that vary by less count as constant


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval; NaN where there is none.

    Attributes
    ----------
    mean, low, high : float
        In the unit of the data.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Column:
    """All variants against the best, on these curves or on another draw; arrays have one value a variant.

    Attributes
    ----------
    rank : array of int
        From 1; those that are not told apart share one. A variant without a score is last.
    call : tuple of str
        "best" for the lowest mean, "not told apart" (from it), "worse", or "no score".
    difference : array
        The mean paired difference from the best; NaN without a score.
    error : array
        Its standard error.
    low, high : array
        The interval of the difference that belongs to the call, for all variants together: a variant is worse
        where it lies above 0.
    p : array
        Adjusted for all variants: one is worse where p is at most the level.
    better, same, worse : array, or None
        How probable it is that the difference is below, within or above the smallest difference that
        matters; None unless `matters` is given.
    seeds_needed : array
        How many studies in all would call a true difference of this size worse with probability 0.8; infinite
        where no number of them would.
    rows_factor : array
        How many times as many rows would do so, with the present number of studies or, if larger, the number
        that halves the wanted variance; NaN where rows add no variance, as on these curves.
    errors : array, shape (variants, variants)
        The standard error of the difference between any two variants.
    df : float
        Degrees of freedom of all these errors.
    """

    rank: Ints
    call: tuple[Call, ...]
    difference: Floats
    error: Floats
    low: Floats
    high: Floats
    p: Floats
    better: Floats | None
    same: Floats | None
    worse: Floats | None
    seeds_needed: Floats
    rows_factor: Floats
    errors: Floats
    df: float


@dataclass(frozen=True, eq=False)
class Conclusions:
    """Conclusions on variants that ran in the same studies of one task.

    Attributes
    ----------
    studies : int
        In how many a variant has a score.
    mean, low, high : array, shape (variants,)
        The mean score over studies and its 95 % interval (Student's), on these curves; NaN without a score.
    missing : array of int, shape (variants,)
        In how many studies each has no score.
    best : int or None
        The variant with the lowest mean; None where none has a score.
    curves : Column or None
        On these curves: the studies are a sample of seeds.
    draw : Column or None
        On another draw of configurations of this task: seeds and rows are a sample.
    no_curves, no_draw : str
        The reason why `curves` or `draw` is None; empty where it is not.
    """

    studies: int
    mean: Floats
    low: Floats
    high: Floats
    missing: Ints
    best: int | None
    curves: Column | None
    draw: Column | None
    no_curves: str
    no_draw: str


def conclude(
    scores: Floats,
    split: Ints | None = None,
    part: Ints | None = None,
    *,
    median: float | None = None,
    matters: float | None = None,
    alpha: float = ALPHA,
) -> Conclusions:
    """Find which variants are worse than the best, with an error rate for the whole table.

    Studies of one column have the same seed under all variants. Where they saw halves of a table's rows,
    the variance between halves of a split says how far another draw of rows would lead.

    Parameters
    ----------
    scores : array, shape (variants, studies)
        Less is better; NaN for no score.
    split, part : array of int, shape (studies,), optional
        Which half of the rows each study saw: the number of the split, and part 0 or 1. None: all rows.
    median : float, optional
        The score that replaces a missing one: that of the table's median configuration. Without it, the worst
        score of all. A variant that lacks more than one in ten has no score. A study in which no variant has
        one is left out.
    matters : float, optional
        The smallest difference that matters, in the unit of the scores.
    alpha : float
        The probability that a variant is called worse though it is as good as the best.

    Raises
    ------
    ParameterError
        Shapes do not fit, `part` has other values than 0 and 1, or a number breaks its rule.
    """
    if not 0.0 < alpha < 1.0:
        raise ParameterError("alpha", alpha, "must be above 0 and below 1")
    if matters is not None and not (math.isfinite(matters) and matters > 0.0):
        raise ParameterError("matters", matters, "must be a finite number above 0")
    table, scored, missing, cells = _settle(scores, split, part, median)
    k, studies = len(missing), table.shape[1]
    mean, low, high = (_spread_out(values, scored) for values in mean_intervals(table))
    best = int(np.flatnonzero(scored)[np.argmin(mean[scored])]) if len(table) else None
    curves = draw = None
    no_curves = no_draw = ""
    if k < 2 or best is None:
        no_curves = "there is nothing to compare" if k < 2 else "no variant has a score"
    elif studies < _LEAST:
        no_curves = f"that takes at least {_LEAST} studies of each variant, and there are {studies}"
    else:
        _, on_curves, on_draw = _variances(table, cells)
        curves = _column(on_curves, studies, scored, mean, matters, alpha)
        if on_draw is not None:
            draw = _column(on_draw, studies, scored, mean, matters, alpha)
        elif cells is None:
            no_draw = "the studies did not run on halves of a table's rows"
        else:
            no_draw = "that takes at least 2 studies in each half of the rows, and 2 splits"
    return Conclusions(studies, mean, low, high, missing, best, curves, draw, no_curves, no_curves or no_draw)


def best_probability(
    scores: Floats,
    split: Ints | None = None,
    part: Ints | None = None,
    *,
    median: float | None = None,
) -> Floats:
    """Return the probability that each variant has the lowest mean, over time; shape (variants, times).

    Means are drawn around the observed ones, with the covariance that `conclude` finds: of another draw of
    configurations where studies saw halves of the rows, else of other seeds. Ties share.

    Parameters
    ----------
    scores : array, shape (variants, studies, times)
        As in `conclude`, at each time.
    split, part, median
        As in `conclude`.

    Returns
    -------
    array, shape (variants, times)
        0 for a variant without a score; NaN where none has one, or with fewer than 3 studies.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 3:
        raise ParameterError("scores", scores.shape, "must have shape (variants, studies, times)")
    k, studies, times = scores.shape
    random = np.random.default_rng(_SEED)
    seeds = random.standard_normal((studies, _DRAWS))
    rows = random.standard_normal((k, _DRAWS))
    uniform = random.random(_DRAWS)
    probability = np.full((k, times), np.nan)
    for at in range(times):
        table, scored, _, cells = _settle(scores[:, :, at], split, part, median)
        if not len(table) or table.shape[1] < _LEAST:
            continue
        residuals, curves, draw = _variances(table, cells)
        variance = draw or curves
        spread = math.sqrt(variance.scale / curves.df) * (residuals @ seeds[: table.shape[1]])
        spread += math.sqrt(variance.constant / 2.0) * rows[: len(table)]
        drawn = table.mean(axis=1)[:, np.newaxis] + spread / _chi(uniform, variance.df)
        least = drawn <= drawn.min(axis=0) + _ROUNDING * np.abs(table).max()
        probability[:, at] = 0.0
        probability[scored, at] = (least / least.sum(axis=0)).mean(axis=1)
    return probability


def mean_intervals(data: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the mean of each row and its 95 % interval by Student's t.

    Parameters
    ----------
    data : array, shape (..., n)
        NaN is left out; a row in which more than one in ten are NaN has no mean.

    Returns
    -------
    mean, low, high : arrays, shape (...)
        NaN where there is none: a single value has no interval.
    """
    from scipy.stats import t

    data = np.asarray(data, dtype=np.float64)
    there = np.isfinite(data)
    n = there.sum(axis=-1)
    shown = (n > 0) & (n >= (1 - MISSING) * data.shape[-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(shown, np.where(there, data, 0.0).sum(axis=-1) / n, np.nan)
        squares = np.square(np.where(there, data - mean[..., np.newaxis], 0.0)).sum(axis=-1)
        half = np.where(n > 1, t.isf(0.025, np.maximum(n - 1, 1)) * np.sqrt(squares / (n - 1) / n), np.nan)
    return mean, mean - half, mean + half


def _settle(
    scores: Floats, split: Ints | None, part: Ints | None, median: float | None
) -> tuple[Floats, Bools, Ints, Ints | None]:
    """Return the scores of variants with enough of them, their indices, missing counts, and the halves."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ParameterError("scores", scores.shape, "must have two dimensions: variants and studies")
    scores = np.where(np.isfinite(scores), scores, np.nan)
    cells = None
    if (split is None) != (part is None):
        raise ParameterError("part", part, "must be given together with split")
    if split is not None and part is not None:
        cells = np.array([split, part], dtype=np.int64)
        if cells.shape != (2, scores.shape[1]):
            raise ParameterError("split", np.shape(split), f"must be one a study, {scores.shape[1]}, as part")
        if not np.isin(cells[1], (0, 1)).all():
            raise ParameterError("part", cells[1].tolist(), "must be 0 or 1")
    there = np.isfinite(scores).any(axis=0)
    scores, cells = scores[:, there], None if cells is None else cells[:, there]
    missing = np.isnan(scores).sum(axis=1)
    scored = (missing <= MISSING * scores.shape[1]) & bool(scores.shape[1])
    table = scores[scored]
    if table.size:
        table = np.where(np.isnan(table), np.nanmax(table) if median is None else median, table)
    return table, scored, missing, cells


@dataclass(frozen=True, eq=False)
class _Variance:
    """The variance of the mean paired difference of any two variants, on these curves or on another draw.

    Attributes
    ----------
    seeds, rows : array, shape (k, k)
        Its two parts: one falls with the number of studies, the other with the number of rows.
    df : int
        Degrees of freedom.
    scale, constant : float
        The same as a covariance of means: `scale` times that of the scores of a study within halves, and
        `constant` for each mean alone.
    """

    seeds: Floats
    rows: Floats
    df: int
    scale: float
    constant: float


def _variances(table: Floats, cells: Ints | None) -> tuple[Floats, _Variance, _Variance | None]:
    """Return scores less the means of their halves, shape (k, studies), and the two variances.

    The first is on these curves, the second on another draw; None where there are too few halves.
    """
    k, studies = table.shape
    halves, counts = np.zeros((2, 1), dtype=np.int64), np.array([studies])
    if cells is not None:
        found, of_each, sizes = np.unique(cells, axis=1, return_inverse=True, return_counts=True)
        splits, parts = np.unique(found[0], return_counts=True)
        complete = splits[parts == 2]
        if sizes.min() >= 2 and len(complete) >= 2:
            halves, counts = found, sizes
            table = table[:, np.argsort(of_each.ravel(), kind="stable")]
    means = np.add.reduceat(table, np.cumsum(counts) - counts, axis=1) / counts
    residuals = table - np.repeat(means, counts, axis=1)
    df = studies - len(counts)
    within = _squares(residuals) / df
    within[within < (_ROUNDING * np.abs(table).max()) ** 2] = 0.0
    curves = _Variance(within / studies, np.zeros_like(within), df, 1.0 / studies, 0.0)
    if len(counts) == 1:
        return residuals, curves, None
    # Splits with both halves: the difference of the halves is that of two tables of half the rows.
    both = np.isin(halves[0], complete)
    first, second = np.flatnonzero(both & (halves[1] == 0)), np.flatnonzero(both & (halves[1] == 1))
    j, contrasts = len(complete), max(k - 1, 1)
    between = _squares(means[:, first] - means[:, second]) / (4 * j)
    share = float((1 / counts[first] + 1 / counts[second]).mean() / 4)  # of W that B has by seeds alone
    slope, constant = _fitted(within, between, share)
    drawn = np.where(within > 0.0, slope * within + constant, between)
    error = math.sqrt(2 / (j * contrasts))  # of drawn + share * within, relatively
    # Where one half of a split has more studies, what it has more of the rows' effect does not cancel.
    sides = counts * (1 - 2 * halves[1])
    uneven = 1.0 + float(np.square([sides[halves[0] == one].sum() / studies for one in splits]).sum())
    by_seeds = 1.0 / studies + uneven * error * share
    draw = _Variance(
        seeds=by_seeds * within,
        rows=uneven * (1.0 + error) * drawn,
        df=min(df, j * contrasts),
        scale=by_seeds + uneven * (1.0 + error) * slope,
        constant=uneven * (1.0 + error) * constant,
    )
    return residuals, curves, draw


def _squares(values: Floats) -> Floats:
    """Return the sums of squared differences between any two rows, shape (k, k)."""
    gaps = values[:, np.newaxis] - values[np.newaxis]
    squares: Floats = np.square(gaps).sum(axis=-1)
    return squares


def _fitted(within: Floats, between: Floats, share: float) -> tuple[float, float]:
    """Return a and c, at least 0, such that between - share * within is about a * within + c, relatively."""
    from scipy.optimize import nnls

    upper = np.triu_indices(len(within), 1)
    w, b = within[upper], between[upper]
    w, b = w[w > 0.0], b[w > 0.0]
    if not len(w):
        return 0.0, 0.0
    unit = float(w.max())
    (slope, constant), _ = nnls(np.stack((np.ones_like(w), unit / w), axis=1), b / w - share)
    return float(slope), float(constant) * unit


def _column(
    variance: _Variance, studies: int, scored: Bools, means: Floats, matters: float | None, alpha: float
) -> Column:
    from scipy.stats import norm, t

    mean, k, df = means[scored], len(means), variance.df
    errors = np.sqrt(variance.seeds + variance.rows)
    ranks, p, critical = _step_down(mean, errors, df, alpha)
    best = int(np.argmin(mean))
    difference, error = mean - mean[best], errors[best]
    call: list[Call] = ["no score"] * k
    for place, rank, at in zip(np.flatnonzero(scored), ranks, range(len(mean)), strict=True):
        call[place] = "best" if at == best else "not told apart" if rank == 1 else "worse"
    rank_of = np.full(k, len(mean) + 1)
    rank_of[scored] = ranks
    with np.errstate(divide="ignore", invalid="ignore"):
        # The variance at which a difference of this size is called worse.
        wanted = np.square(difference / (critical + norm.ppf(_POWER)))
        by_seeds, by_rows = variance.seeds[best], variance.rows[best]
        seeds = np.ceil(studies * by_seeds / (wanted - by_rows))
        seeds = np.where(by_rows < _ROWS_RULE * wanted, seeds, np.inf)
        rows = by_rows / (wanted - np.minimum(by_seeds, wanted / 2))
        rows = np.where(wanted > 0.0, rows, np.inf) if variance.rows.any() else np.full(len(mean), np.nan)
        better = same = worse = None
        if matters is not None:
            # Without an error the difference is exact.
            sure = error == 0.0
            below = np.where(sure, difference < -matters, t.cdf((-matters - difference) / error, df))
            above = np.where(sure, difference > matters, t.sf((matters - difference) / error, df))
            better, same, worse = (_spread_out(one, scored) for one in (below, 1.0 - below - above, above))
    every = np.full((k, k), np.nan)
    every[np.ix_(scored, scored)] = errors
    return Column(
        rank=rank_of,
        call=tuple(call),
        difference=_spread_out(difference, scored),
        error=_spread_out(error, scored),
        low=_spread_out(difference - critical * error, scored),
        high=_spread_out(difference + critical * error, scored),
        p=_spread_out(p, scored),
        better=better,
        same=same,
        worse=worse,
        seeds_needed=_spread_out(seeds, scored),
        rows_factor=_spread_out(rows, scored),
        errors=every,
        df=float(df),
    )


def _step_down(mean: Floats, errors: Floats, df: int, alpha: float) -> tuple[Ints, Floats, Floats]:
    """Return ranks, p-values against the best, and the quantile that each difference was compared with.

    Variants that differ from the best remaining one are removed, and the quantile is recomputed for the rest,
    until none differs. The rest share a rank. The removed variants are ranked the same way.
    """
    ranks = np.zeros(len(mean), dtype=np.int64)
    p, critical = np.ones(len(mean)), np.zeros(len(mean))
    left = np.arange(len(mean))
    while len(left):
        live, first = left, not ranks.any()
        best = live[np.argmin(mean[live])]
        reached = 0.0
        while True:
            with np.errstate(divide="ignore", invalid="ignore"):
                away = (mean[live] - mean[best]) / errors[best, live]
            away = np.where(mean[live] == mean[best], 0.0, away)
            tails = _tails(away, len(live), df)
            if first:
                p[live] = np.maximum(tails, reached)
                critical[live] = critical_errors(alpha, len(live), df)
            out = tails <= alpha
            if not out.any():
                break
            reached = max(reached, float(tails[out].max()))
            live = live[~out]
        ranks[live] = len(mean) - len(left) + 1
        left = left[~np.isin(left, live)]
    return ranks, p, critical


def _tails(away: Floats, k: int, df: int) -> Floats:
    """Return the probability that any two of k equal variants differ by more than `away` errors.

    Each difference has an error of its own, with `df` degrees of freedom: its t becomes the normal deviate
    of the same probability, and that is compared with the range of k normal numbers. With few studies and
    many variants the studentized range of `df`, which is for one error that all share, rejects too often.
    """
    from scipy.stats import norm, studentized_range, t

    if k < 2:
        return np.ones(np.shape(away))
    deviates = norm.isf(t.sf(away, df))
    tails: Floats = studentized_range.sf(math.sqrt(2) * deviates, k, np.inf)
    return tails


@cache
def critical_errors(alpha: float, k: int, df: int) -> float:
    """Return by how many errors some of k equal variants differ with probability alpha; 0 for one variant."""
    from scipy.stats import norm, studentized_range, t

    if k < 2:
        return 0.0
    return float(t.isf(norm.sf(studentized_range.isf(alpha, k, np.inf) / math.sqrt(2)), df))


def _chi(uniform: Floats, df: float) -> Floats:
    from scipy.stats import chi2

    scale: Floats = np.sqrt(chi2.ppf(uniform, df) / df)
    return scale


def _spread_out(values: Floats, scored: Bools) -> Floats:
    """Return an array over all variants: the values of those with a score, NaN for the others."""
    every = np.full(len(scored), np.nan)
    every[scored] = values
    return every
