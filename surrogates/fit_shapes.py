"""Curves as a mean and a few shapes, from curves of which late parts may be missing.

Probabilistic principal components by expectation and maximisation (Tipping and Bishop, JRSS B 1999), each
level with a noise of its own. A missing value takes no part, so the likelihood is that of what was
observed. Where a trial was stopped for its values, and these are recorded, that is what makes the rest of
the curves unbiased ("missing at random": Rubin, Biometrika 1976).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.surrogates.fit_warp import rounded
from hbsim.surrogates.protocol import Floats

__all__ = ["Posterior", "Shapes", "fit_shapes"]

ROUNDS: Final = 60
COMPLETE: Final = (20, 40)  # complete curves from which on there are two shapes, and three
# How many rows' weight it has that a level resembles the one before: with all rows, and with none.
KEPT: Final = (2.0, 12.0)
LEAST_NOISE: Final = 1e-4


@dataclass(frozen=True)
class Shapes:
    """Scores at m levels are ``mean + coefficients @ loadings.T`` and independent noise.

    Attributes
    ----------
    mean, noise : array, shape (m,)
        Of each level; `noise` is a variance.
    loadings : array, shape (m, k)
        The k shapes. A coefficient has mean 0 and variance 1 over the table.
    """

    mean: Floats
    loadings: Floats
    noise: Floats

    @property
    def count(self) -> int:
        """The number of shapes, k."""
        return len(self.loadings.T)

    def posterior(self, scores: Floats, mean: Floats, covariance: Floats) -> Posterior:
        """Return what scores (n, m), NaN where missing, say of coefficients with this prior.

        Parameters
        ----------
        scores : array, shape (n, m)
            Curves.
        mean : array, shape (n, k)
            What is expected of each row's coefficients without its curve.
        covariance : array, shape (k, k)
            How far they are from that.
        """
        there = np.isfinite(scores)
        inverse = np.linalg.inv(covariance)
        weights = there / self.noise
        precision = np.einsum("nm,mk,mj->nkj", weights, self.loadings, self.loadings) + inverse
        pull = np.where(there, scores - self.mean, 0.0) / self.noise @ self.loadings + mean @ inverse
        covariances = np.linalg.inv(precision)
        return Posterior(np.einsum("nkj,nj->nk", covariances, pull), covariances)


@dataclass(frozen=True)
class Posterior:
    """What is known of each row's coefficients.

    Attributes
    ----------
    mean : array, shape (n, k)
        The best guess.
    covariance : array, shape (n, k, k)
        How uncertain that is.
    """

    mean: Floats
    covariance: Floats

    @property
    def roots(self) -> Floats:
        """The lower roots of the covariances (Cholesky), shape (n, k, k)."""
        return np.linalg.cholesky(self.covariance).astype(np.float64, copy=False)


def fit_shapes(scores: Floats) -> Shapes:
    """Return the shapes of curves.

    Parameters
    ----------
    scores : array, shape (n, m)
        Curves at m levels, NaN where missing; each has a value, and so does each level.
    """
    complete = int(np.isfinite(scores).all(axis=1).sum())
    count = min(1 + sum(complete >= least for least in COMPLETE), scores.shape[1] - 1)
    shapes = _first(scores, count)
    nothing, unit = np.zeros((len(scores), count)), np.eye(count)
    for _ in range(ROUNDS):
        shapes = _maximised(scores, shapes.posterior(scores, nothing, unit), shapes)
    shapes = _turned(shapes)
    return Shapes(rounded(shapes.mean), rounded(shapes.loadings), rounded(shapes.noise))


def _first(scores: Floats, count: int) -> Shapes:
    """Return the principal components of curves that go on as the others did from level to level."""
    filled = np.array(scores)
    for level in [*range(1, scores.shape[1]), *range(scores.shape[1] - 2, -1, -1)]:
        missing = np.isnan(filled[:, level])
        side = level - 1 if level and np.isfinite(filled[missing, level - 1]).all() else level + 1
        if missing.any():
            filled[missing, level] = filled[missing, side] + np.nanmean(filled[:, level] - filled[:, side])
    mean = filled.mean(axis=0)
    filled -= mean
    _, sizes, turns = np.linalg.svd(filled, full_matrices=False)
    loadings = turns[:count].T * sizes[:count] / np.sqrt(len(scores))
    rest = (filled**2).mean() - (loadings**2).sum() / len(mean)
    return Shapes(mean, loadings, np.full(len(mean), max(float(rest), 1e-3)))


def _maximised(scores: Floats, found: Posterior, before: Shapes) -> Shapes:
    """Return the shapes under which the curves are likeliest, given their coefficients.

    A level with few rows has loadings drawn towards those of the one before: its few rows are chosen ones,
    and a line through them is extrapolated to all others. Its mean is free: curves may fall.
    """
    n, levels, count = *scores.shape, before.count
    there = np.isfinite(scores)
    known = np.column_stack([found.mean, np.ones(n)])
    products = known[:, :, None] * known[:, None, :]
    products[:, :count, :count] += found.covariance
    lines: Floats = np.zeros((levels, count + 1))
    noise: Floats = np.empty(levels)
    for level in range(levels):
        rows = there[:, level]
        of_rows, at = known[rows], scores[rows, level]
        left, right = products[rows].sum(axis=0), of_rows.T @ at
        kept = KEPT[0] + (KEPT[1] - KEPT[0]) * (1.0 - rows.mean())
        slopes = np.append(np.full(count, kept if level else 0.0), 0.0)
        left = left + np.diag(slopes + 1e-6)
        right = right + slopes * lines[level - 1]
        line: Floats = np.linalg.solve(left, right)
        lines[level] = line
        squares = (at - of_rows @ line) ** 2 + np.einsum(
            "k,nkj,j->n", line[:count], found.covariance[rows], line[:count]
        )
        usual = noise[level - 1] if level else before.noise[0]
        noise[level] = max((squares.sum() + kept * usual) / (rows.sum() + kept), LEAST_NOISE)
    return Shapes(lines[:, count], lines[:, :count], noise)


def _turned(shapes: Shapes) -> Shapes:
    """Return the same with shapes that a complete curve tells apart independently, the plainest first."""
    weighted = shapes.loadings.T / shapes.noise @ shapes.loadings
    turn = np.linalg.eigh(weighted)[1][:, ::-1]
    loadings = shapes.loadings @ turn
    signs = np.where(loadings.sum(axis=0) < 0, -1.0, 1.0)
    return Shapes(shapes.mean, loadings * signs, shapes.noise)
