"""How good a fit is: what it predicts of configurations that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.core.types import Mode
from hbsim.surrogates.fit_data import FitData
from hbsim.surrogates.fit_failure import Kind as FailureKind
from hbsim.surrogates.fit_held import Held, hold_out, spearman
from hbsim.surrogates.fit_model import Model
from hbsim.surrogates.fit_regression import Kind
from hbsim.surrogates.protocol import Floats

__all__ = ["INTERVALS", "FitReport", "LevelReport", "cross_validate"]

INTERVALS: Final = (0.5, 0.8, 0.95)
WORST: Final = 0.05  # this share of the worst values counts as the best of them: only ranks matter there
USELESS: Final = 0.95  # of a constant's error
TOO_FEW: Final = 20  # complete rows
NARROW: Final = 0.65  # what the 80 % interval holds
WIDE: Final = 0.92


@dataclass(frozen=True)
class LevelReport:
    """What held-out rows showed at a level, and what was predicted.

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
        The same of the best constant: the median of these rows.
    relative : float
        `error` over `spread`: 0 is perfect, 1 no better than that constant.
    rank_correlation : float
        Spearman's, of predicted with true values.
    early_table, early_fit : float
        Spearman's rank correlation of the values at this level with those at the last, in the table, and
        in curves that are drawn for its configurations by models that have not seen them.
    coverage : tuple of float
        The share of true values in the central 50, 80 and 95 % of what is drawn.
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
    """A fit, and what cross-validation over configurations says of it.

    Attributes
    ----------
    rows, complete, ended_early, diverged : int
        Of the table: rows, those with a number at the last level, those that were not recorded there, and
        those without numbers from some level on.
    folds : int
        How many times a part of the rows was predicted from the others.
    regression : tuple of "mean", "process" or "trees"
        What predicts each shape of the curves, the most important one first: the mean, a Gaussian process,
        or extremely randomised trees.
    given_curve : bool
        Whether predictions at a level know the row's own curve until the level before, since rows ended
        early: those that came further were chosen by it. Else they know the configuration only.
    levels : tuple of LevelReport
        Ascending.
    log_seconds_error, log_seconds_spread : float
        Root mean square error of the logarithm of seconds per unit, and its standard deviation.
    divergence : "rate", "logistic" or "trees"
        What predicts divergence.
    divergence_rate, divergence_error, divergence_spread : float
        The share of rows that diverge by the last level; the mean squared error of its held-out
        probability (Brier score), and that of the share itself.
    best_table, best_drawn : float
        The best value at the last level, in the table and of 1,000 new configurations.
    verdict : tuple of str
        What that means, in sentences.
    notes : tuple of str
        What was decided about the table.
    """

    rows: int
    complete: int
    ended_early: int
    diverged: int
    folds: int
    regression: tuple[Kind, ...]
    given_curve: bool
    levels: tuple[LevelReport, ...]
    log_seconds_error: float
    log_seconds_spread: float
    divergence: FailureKind
    divergence_rate: float
    divergence_error: float
    divergence_spread: float
    best_table: float
    best_drawn: float
    verdict: tuple[str, ...]
    notes: tuple[str, ...]


def cross_validate(
    model: Model, mode: Mode, levels: Sequence[float], best_drawn: float, seed: int, notes: Sequence[str]
) -> FitReport:
    """Return the report of a model.

    Parameters
    ----------
    model : Model
        Fitted to all rows.
    mode : "max" or "min"
        Which values are good.
    levels : sequence of float
        Levels of the table, ascending; the last is its last.
    best_drawn : float
        The best value at the last level of 1,000 new configurations.
    seed : int
        Of the folds, and as in `fit_model`.
    notes : sequence of str
        What was decided about the table.
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


def _level(held: Held, place: int, mode: Mode) -> LevelReport:
    there = np.isfinite(held.values[:, place])
    true, median, drawn = held.values[there, place], held.median[there, place], held.drawn[:, there, place]
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
        coverage=tuple(_coverage(true, drawn, share) for share in INTERVALS),
    )


def _coverage(true: Floats, drawn: Floats, share: float) -> float:
    low, high = np.quantile(drawn, [0.5 - share / 2.0, 0.5 + share / 2.0], axis=0)
    return float(((true >= low) & (true <= high)).mean())


def _root_mean_square(errors: Floats) -> float:
    there = errors[np.isfinite(errors)]
    return float(np.sqrt((there**2).mean())) if there.size else 0.0


def _verdict(data: FitData, held: Held, levels: Sequence[LevelReport]) -> list[str]:
    """Say what the numbers mean; of the configurations alone where most rows are known."""
    first = levels[0] if held.given_curve else levels[-1]
    if not first.relative < USELESS:
        said = [
            f"At level {first.level:g} held-out configurations are predicted no better than by a constant "
            f"({first.relative:.2f} of its error): curves have the right spread, but which configurations "
            "are good is chance."
        ]
    else:
        said = [
            f"At level {first.level:g} held-out configurations are predicted with {first.relative:.2f} of "
            f"the error of a constant, rank correlation {first.rank_correlation:.2f}."
        ]
    if held.given_curve:
        said.append(
            f"{data.ended_early} of {len(data.points)} rows end early and {data.complete} reach level "
            f"{data.levels[-1]:g}. Beyond level {first.level:g} the errors are those of rows that came so "
            "far, given their curve until the level before; what others would have shown is extrapolated."
        )
        if data.complete < TOO_FEW:
            said.append(f"Record more than {data.complete} to the end: late levels rest on these alone.")
    inside = levels[-1].coverage[1]
    if not NARROW <= inside <= WIDE:
        word = "narrow" if inside < NARROW else "wide"
        said.append(f"At the last level the 80 % intervals hold {inside:.0%} of held-out values: too {word}.")
    return said
