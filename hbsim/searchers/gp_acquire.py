"""Where a Gaussian process expects to gain most: a search over the space, or over the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from scipy.optimize import minimize

from hbsim.searchers.encoding import Encoding
from hbsim.searchers.gp_model import Improvement, Predictor
from hbsim.searchers.protocol import Floats

__all__ = ["Target", "candidates", "is_new", "refine"]

SPREAD: Final = 512  # candidates all over the cube, a scrambled Sobol sequence
NEAR: Final = 256  # candidates near good configurations
GOOD: Final = 8  # how many of these
CHUNK: Final = 2048  # points looked at at once
ITERATIONS: Final = 25  # of L-BFGS
APART: Final = 1e-4  # points that differ by less in every coordinate are one


class Target:
    """The log of the expected improvement as a function of columns.

    Parameters
    ----------
    predictor : Predictor
        Given all that was observed.
    tried : array, shape (t, width)
        Columns of the configurations that were tried or are pending.
    level : sequence of float
        The columns of the level at which the value counts; none where the model has no levels.
    draws : numpy.random.Generator
        Chooses the values that the tried ones may have.
    """

    def __init__(
        self, predictor: Predictor, tried: Floats, level: Sequence[float], draws: np.random.Generator
    ) -> None:
        self._improvement = Improvement(predictor, at_level(tried, level), draws)
        self._level = level

    def __call__(self, columns: Floats) -> Floats:
        """Return it, shape (n,), at columns, shape (n, width)."""
        given = torch.from_numpy(at_level(columns, self._level))
        with torch.no_grad():
            parts = [self._improvement(given[start : start + CHUNK]) for start in range(0, len(given), CHUNK)]
        return torch.cat(parts).numpy() if parts else np.empty(0)

    def gradient(self, columns: Floats) -> tuple[float, Floats]:
        """Return its sum over columns, shape (n, width), and the gradient of this sum, of that shape."""
        given = torch.from_numpy(at_level(columns, self._level)).requires_grad_()
        value = self._improvement(given).sum()
        (slope,) = torch.autograd.grad(value, given)
        return value.item(), slope.numpy()[:, : columns.shape[1]]


def at_level(columns: Floats, level: Sequence[float]) -> Floats:
    """Return columns with those of a level after them."""
    return np.column_stack([columns, np.tile(np.array(level, dtype=np.float64), (len(columns), 1))])


def candidates(encoding: Encoding, d: int, good: Floats, draws: np.random.Generator) -> Floats:
    """Return points of the unit cube to choose from, snapped, shape (n, d).

    Parameters
    ----------
    encoding : Encoding
        Of the space.
    d : int
        Its dimension.
    good : array, shape (g, d)
        Configurations near which many are looked at, best first.
    draws : numpy.random.Generator
        Chooses them.
    """
    seed = int(draws.integers(2**31))
    sobol = torch.quasirandom.SobolEngine(d, True, seed)  # type: ignore[no-untyped-call, unused-ignore]
    spread = sobol.draw(SPREAD, dtype=torch.float64).numpy()
    near = np.repeat(good[:GOOD], NEAR // max(1, min(len(good), GOOD)), axis=0)
    return np.concatenate([encoding.snap(spread), encoding.perturb(near, draws)])


def is_new(points: Floats, tried: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which of the points, shape (n, d), are none of those tried, shape (t, d), shape (n,)."""
    new = np.ones(len(points), dtype=np.bool_)
    for point in tried:
        new &= np.abs(points - point).max(axis=1) >= APART
    return new


def refine(encoding: Encoding, starts: Floats, target: Target) -> Floats:
    """Climb from points of the unit cube, shape (n, d), over active real coordinates; the others stay."""
    if not len(encoding.reals):
        return starts
    columns = encoding.columns(starts)
    shape = (len(starts), len(encoding.reals))

    def loss(flat: Floats) -> tuple[float, Floats]:
        columns[:, encoding.real_columns] = flat.reshape(shape)
        value, slope = target.gradient(columns)
        return -value, -slope[:, encoding.real_columns].ravel()

    first = starts[:, encoding.reals].ravel()
    free = encoding.climbable(starts).ravel().tolist()
    bounds = [(0.0, 1.0) if moves else (at, at) for at, moves in zip(first.tolist(), free, strict=True)]
    options = {"maxiter": ITERATIONS}
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    climbed = starts.copy()
    climbed[:, encoding.reals] = np.clip(found.x, 0.0, 1.0).reshape(shape)
    return climbed
