"""The encoding of points of the unit cube as the input columns of a Gaussian process."""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.searchers.protocol import Floats

LEAST_MOVE: Final = 0.01  # standard deviations of the moves of `perturb`
MOST_MOVE: Final = 0.3


class Encoding:
    """Maps points of the unit cube to columns in [0, 1], by the kind of each parameter.

    - `Real`: its coordinate; ``log`` is in the cube already.
    - `Int`: the coordinate of its number, so that equal numbers are equal points.
    - `Bool`, and a `Choice` of two: one column, 0 or 1.
    - `Choice` of more: a column for each, 1/sqrt(2) where it is chosen and else 0, so that two different
      choices are at distance 1.
    - `Choice` of one: no column.

    What is not active has the columns of its default, as in SMAC (Hutter, Hoos and Leyton-Brown, LION 2011).

    Parameters
    ----------
    space : Space
        With a parameter or more.

    Attributes
    ----------
    width : int
        How many columns there are; 0 where there is nothing to choose.
    reals : array of int64
        The coordinates of the cube that are `Real`.
    real_columns : array of int64
        Their columns, in the same order.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._widths = [_width(parameter) for parameter in space.parameters.values()]
        first = np.concatenate([[0], np.cumsum(self._widths)])
        kinds = list(space.parameters.values())
        self._discrete = np.array([not isinstance(kind, Real) for kind in kinds])
        self._unordered = np.array([isinstance(kind, Choice | Bool) for kind in kinds])
        self.width = int(first[-1])
        self.reals = np.flatnonzero(~self._discrete)
        self.real_columns = first[self.reals]

    def snap(self, points: Floats) -> Floats:
        """Return the points, shape (n, d), with each discrete coordinate at the place of its value."""
        snapped = np.array(self._space.settled(points), dtype=np.float64)
        if self._discrete.any() and len(snapped):
            exact = self._space.encode(dict(self._space.decode(snapped)))
            snapped[:, self._discrete] = exact[:, self._discrete]
        return snapped

    def columns(self, points: Floats) -> Floats:
        """Return the columns, shape (n, width), of points, shape (n, d)."""
        snapped = self.snap(points)
        made = [
            _columns(parameter, snapped[:, j], width)
            for j, (parameter, width) in enumerate(
                zip(self._space.parameters.values(), self._widths, strict=True)
            )
        ]
        return np.concatenate(made, axis=1)

    def climbable(self, points: Floats) -> NDArray[np.bool_]:
        """Return which real coordinates of points, shape (n, d), are active, shape (n, len(reals))."""
        return self._space.active(points)[:, self.reals]

    def perturb(self, points: Floats, draws: np.random.Generator) -> Floats:
        """Return the points, shape (n, d), each moved in one coordinate or more, snapped.

        Numbers move by a normal step, its standard deviation log-uniform between 0.01 and 0.3; choices and
        bools are drawn anew, and so are parameters that become active.
        """
        n, d = points.shape
        moves = draws.random((n, d)) < max(0.3, 1 / d)
        moves[np.arange(n), draws.integers(d, size=n)] = True
        scale = LEAST_MOVE * (MOST_MOVE / LEAST_MOVE) ** draws.random((n, 1))
        near = np.clip(points + scale * draws.standard_normal((n, d)), 0.0, 1.0)
        anew = draws.random((n, d))
        moved = np.where(moves, np.where(self._unordered, anew, near), points)
        if self._space.conditional:
            appeared = self._space.active(moved) & ~self._space.active(points)
            moved = np.where(appeared, anew, moved)
        return self.snap(moved)


def _width(parameter: object) -> int:
    if isinstance(parameter, Choice):
        count = len(parameter.choices)
        return count if count > 2 else count - 1
    return 1


def _columns(parameter: object, coordinate: Floats, width: int) -> Floats:
    if isinstance(parameter, Real | Int):
        return coordinate[:, np.newaxis]
    if width < 2:
        return np.repeat((coordinate >= 0.5)[:, np.newaxis], width, axis=1).astype(np.float64)
    places = np.minimum((coordinate * width).astype(np.int64), width - 1)
    chosen: NDArray[np.bool_] = places[:, np.newaxis] == np.arange(width)
    return chosen / sqrt(2)
