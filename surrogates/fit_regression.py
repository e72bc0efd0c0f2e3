"""From hyperparameters to coefficients: for each the regression that predicts held-out rows best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np

from hbsim.surrogates.fit_process import fit_process
from hbsim.surrogates.fit_warp import rounded
from hbsim.surrogates.protocol import Floats

__all__ = ["Kind", "Regression", "fit_regression"]

Kind: TypeAlias = Literal["mean", "process", "trees"]

TREES: Final = 100
LEAF: Final = 2
BETTER: Final = 0.98  # a regression has to err that much less than the mean
FLOOR: Final = 1e-12


class _Predictor(Protocol):
    def predict(self, features: Floats) -> Floats: ...


@dataclass(frozen=True)
class Regression:
    """k targets, each predicted on its own.

    Attributes
    ----------
    kinds : tuple of "mean", "process" or "trees"
        What predicts each target: the mean of the rows, a Gaussian process, or extremely randomised trees
        (Geurts and others, Machine Learning 2006).
    held_out : array, shape (n, k)
        For each row what is predicted without it.
    """

    kinds: tuple[Kind, ...]
    held_out: Floats
    _predictors: tuple[_Predictor, ...]

    def predict(self, features: Floats) -> Floats:
        """Return the targets at features (q, d), shape (q, k); the same in any block."""
        return rounded(np.stack([one.predict(features) for one in self._predictors], axis=1))


@dataclass(frozen=True)
class _One:
    kind: Kind
    held_out: Floats
    predictor: _Predictor


def fit_regression(features: Floats, targets: Floats, noise: Floats, seed: int) -> Regression:
    """Fit each kind of regression to each target, and keep what predicts rows best that it has not seen.

    Parameters
    ----------
    features : array, shape (n, d)
        What is known of each row.
    targets, noise : array, shape (n, k)
        What to predict, on the scale of scores, and how uncertain it already is (variances).
    seed : int
        Of the trees.
    """
    targets, noise = rounded(targets), rounded(noise)
    best = [_best(features, y, own, seed) for y, own in zip(targets.T, noise.T, strict=True)]
    held_out = rounded(np.stack([one.held_out for one in best], axis=1))
    return Regression(tuple(one.kind for one in best), held_out, tuple(one.predictor for one in best))


def _best(features: Floats, y: Floats, own: Floats, seed: int) -> _One:
    weights = 1.0 / (own + max(float(y.var()), FLOOR))
    found = (_mean(y, weights), _process(features, y, own), _trees(features, y, weights, seed))
    errors = [float((weights * (y - one.held_out) ** 2).sum()) for one in found]
    errors[0] *= BETTER
    return found[int(np.argmin(errors))]


@dataclass(frozen=True)
class _Mean:
    value: float

    def predict(self, features: Floats) -> Floats:
        return np.full(len(features), self.value)


def _mean(y: Floats, weights: Floats) -> _One:
    total, product = weights.sum(), (weights * y).sum()
    held_out = (product - weights * y) / (total - weights)
    return _One("mean", held_out, _Mean(float(product / total)))


def _process(features: Floats, y: Floats, own: Floats) -> _One:
    process = fit_process(features, y, own)
    return _One("process", process.held_out, process)


def _trees(features: Floats, y: Floats, weights: Floats, seed: int) -> _One:
    from sklearn.ensemble import ExtraTreesRegressor

    trees = ExtraTreesRegressor(
        TREES, min_samples_leaf=LEAF, max_features=0.7, bootstrap=True, oob_score=True, random_state=seed
    )
    trees.fit(features, y, sample_weight=weights)
    return _One("trees", trees.oob_prediction_, trees)
