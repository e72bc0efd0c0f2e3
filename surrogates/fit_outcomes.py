"""The models of training time and divergence in a fit: how long runs take, and which diverge when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from hbsim.errors import SurrogateError
from hbsim.surrogates.fit_curves import rounded
from hbsim.surrogates.fit_regression import Regression, fit_regression
from hbsim.surrogates.protocol import Floats, Ints

ROUNDS: Final = 30
SAME: Final = 1e-6  # rates that differ by less count as equal


@dataclass(frozen=True)
class TimeModel:
    """A model of training time: seconds are ``exp(rate) * shape``.

    A rate is the logarithm of seconds per unit until the end.

    Attributes
    ----------
    rates : Regression or None
        From features to a rate, one target; None where all rows take the same.
    usual : float
        The mean rate.
    residuals : array, shape (n,)
        The distance of each row's rate from the prediction of the others; 0 where it is not known.
    known : array of int
        The rows whose rate is known, in the order of `rates`.
    shape : array, shape (T,)
        Effective units until each level, by time; at the last level the level itself.
    """

    rates: Regression | None
    usual: float
    residuals: Floats
    known: Ints
    shape: Floats

    def predict(self, features: Floats) -> Floats:
        """Return the expected rates at features (q, d), shape (q,)."""
        if self.rates is None:
            return np.full(len(features), self.usual)
        return self.rates.predict(features)[:, 0]


def fit_time(source: str, features: Floats, seconds: Floats, levels: Floats, seed: int) -> TimeModel:
    """Fit rates and their shape.

    Parameters
    ----------
    source : str
        The origin of the data, for errors.
    features : array, shape (n, d)
        The features of each row.
    seconds : array, shape (n, T)
        Cumulative seconds, above 0; NaN where not known.
    levels : array, shape (T,)
        Ascending, above 0.
    seed : int
        The seed of the regression.

    Raises
    ------
    SurrogateError
        No row takes any time.
    """
    per_unit = np.log(seconds / levels)
    there = np.isfinite(per_unit)
    known = np.flatnonzero(there.any(axis=1))
    if not known.size:
        raise SurrogateError(source, "no row takes any time; a fit needs seconds above 0")
    per_unit, there = per_unit[known], there[known]
    last = there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
    at_end = np.take_along_axis(per_unit, last[:, None], axis=1)[:, 0]
    seen = np.flatnonzero(there.any(axis=0))
    bend = np.zeros(len(levels))
    for _ in range(ROUNDS):  # the rate of a row that ends early comes from the shape of the others
        rates = at_end - bend[last]
        bends = np.nanmedian(per_unit[:, seen] - rates[:, None], axis=0)
        bend = np.interp(levels, levels[seen], bends)
        bend -= bend[-1]
    rates = at_end - bend[last]
    residuals = np.zeros(len(seconds))
    usual = float(rates.mean())
    shape = np.maximum.accumulate(levels * np.exp(bend))
    if np.ptp(rates) < SAME:
        return TimeModel(None, usual, residuals, known, shape)
    found = fit_regression(features[known], rates[:, None], np.zeros((len(rates), 1)), seed)
    residuals[known] = rates - found.held_out[:, 0]
    return TimeModel(found, usual, residuals, known, shape)


DivergenceKind: TypeAlias = Literal["rate", "logistic", "trees"]

LEAST: Final = 5  # the fewest rows that diverged, and that did not, for a model by hyperparameters
FOLDS: Final = 5
TREES: Final = 100
BETTER: Final = 0.98
FLOOR: Final = 1e-3  # the least probability; 1 minus this is the greatest


@dataclass(frozen=True)
class DivergenceModel:
    """A run has no number from a level on with probability ``predict(features) * by_level[level]``.

    Attributes
    ----------
    kind : "rate", "logistic" or "trees"
        The model of the probability.
    rate : float
        The share that has diverged by the last level.
    by_level : array, shape (T,)
        The share of these that has diverged by each level; 1 at the last.
    held_out : array, shape (n,)
        The probability for each row, predicted without the row.
    """

    kind: DivergenceKind
    rate: float
    by_level: Floats
    held_out: Floats
    _classifier: Any = None

    def predict(self, features: Floats) -> Floats:
        """Return the probability of divergence by the last level at features (q, d), shape (q,)."""
        if self.kind == "rate":
            return np.full(len(features), self.rate)
        return rounded(_probabilities(self._classifier, self.kind, features))


def fit_divergence(features: Floats, diverged: Ints, ends: Ints, count: int, seed: int) -> DivergenceModel:
    """Fit a model of which configurations diverge.

    Parameters
    ----------
    features : array, shape (n, d)
        The features of each row.
    diverged : array of int, shape (n,)
        The first level without a number; `count` where there is none.
    ends : array of int, shape (n,)
        How many levels each row was recorded at. A row that ended early without diverging counts as
        not diverged until its end.
    count : int
        How many levels there are.
    seed : int
        The seed of folds and trees.
    """
    failed = diverged < count
    alive = _survival(np.where(failed, diverged, ends), failed, count)
    rate = float(1.0 - alive[-1])
    by_level = (1.0 - alive) / rate if failed.any() else np.ones(count)
    constant = DivergenceModel("rate", rate, by_level, np.full(len(failed), rate))
    if failed.sum() < LEAST or (~failed).sum() < LEAST:
        return constant
    weights = np.where(failed, 1.0, np.maximum(np.concatenate([[0.0], by_level])[ends], FLOOR))
    kinds: tuple[DivergenceKind, ...] = ("logistic", "trees")
    held_out = {kind: _held_out(kind, features, failed, weights, seed) for kind in kinds}
    losses = {kind: _loss(failed, weights, found) for kind, found in held_out.items()}
    best = min(kinds, key=lambda kind: losses[kind])
    if losses[best] >= BETTER * _loss(failed, weights, constant.held_out):
        return constant
    return DivergenceModel(
        best, rate, by_level, held_out[best], _classifier(best, features, failed, weights, seed)
    )


def _survival(until: Ints, failed: np.ndarray, count: int) -> Floats:
    """Return the share of rows that has not diverged by each level (Kaplan and Meier, JASA 1958)."""
    at_risk = (until[:, None] + failed[:, None] > np.arange(count)).sum(axis=0)
    deaths = np.bincount(until[failed], minlength=count)[:count]
    return np.cumprod(1.0 - deaths / np.maximum(at_risk, 1))


def _classifier(
    kind: DivergenceKind, features: Floats, failed: np.ndarray, weights: Floats, seed: int
) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    if kind == "trees":
        trees = ExtraTreesClassifier(TREES, min_samples_leaf=3, random_state=seed)
        return trees.fit(features, failed, sample_weight=weights)
    return LogisticRegression(C=10.0, max_iter=1000).fit(_squared(features), failed, sample_weight=weights)


def _probabilities(classifier: Any, kind: DivergenceKind, features: Floats) -> Floats:
    if kind == "trees":
        found: Floats = classifier.predict_proba(features)[:, 1]
    else:  # a sum in a fixed order, the same in any block
        odds = (_squared(features) * classifier.coef_[0]).sum(axis=1) + classifier.intercept_[0]
        found = 1.0 / (1.0 + np.exp(-odds))
    return found


def _squared(features: Floats) -> Floats:
    return np.concatenate([features, (features - 0.5) ** 2], axis=1)


def _held_out(
    kind: DivergenceKind, features: Floats, failed: np.ndarray, weights: Floats, seed: int
) -> Floats:
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found = np.empty(len(failed))
    for learned, held in folds.split(features, failed):
        classifier = _classifier(kind, features[learned], failed[learned], weights[learned], seed)
        found[held] = _probabilities(classifier, kind, features[held])
    return found


def _loss(failed: np.ndarray, weights: Floats, predicted: Floats) -> float:
    """Return the mean logarithmic loss."""
    predicted = np.clip(predicted, FLOOR, 1.0 - FLOOR)
    losses = -np.where(failed, np.log(predicted), np.log(1.0 - predicted))
    return float((weights * losses).sum() / weights.sum())
