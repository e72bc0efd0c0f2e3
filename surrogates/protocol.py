"""What the simulator asks of learning curves: arrays in, arrays out."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.core.types import Mode

__all__ = ["Floats", "Ints", "Surrogate"]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@runtime_checkable
class Surrogate(Protocol):
    """Learning curves of configurations.

    Attributes
    ----------
    name : str
        What it is called in results.
    metric : str
        The metric that decides.
    mode : "max" or "min"
        Whether the metric is maximised or minimised.
    max_resource : float
        The last level that curves reach (R at most); its unit is the surrogate's (an epoch, a step).
    resources : tuple of float, or None
        The levels that can be asked for, ascending; None: any level in (0, max_resource].
    rows : int or None
        How many configurations there are, numbered from 0; None: any point of `space`.
    space : Space or None
        The search space of the configurations; None where they have no names.

    One with rows and a space may have ``points`` too, an array of shape (rows, d): its rows as points of the
    unit cube of `space`, for searchers that look at hyperparameters.
    """

    name: str
    metric: str
    mode: Mode
    max_resource: float
    resources: tuple[float, ...] | None
    rows: int | None
    space: Space | None

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and the time at each level.

        A pure function: the same arguments give the same bytes, whatever was asked before, and a
        configuration's values do not depend on which others stand in the block.

        Parameters
        ----------
        configurations : array
            Shape (n, d), points of the unit cube of `space`; or (n,), row numbers, where `rows` is given.
        levels : array, shape (m,)
            Ascending resource levels.

        Returns
        -------
        values : array, shape (n, m)
            The metric; NaN where a run diverged.
        seconds : array, shape (n, m)
            Training seconds since the start of the run, cumulative, never decreasing along a row.
        """
        ...

    def optimum(self, level: float) -> float | None:
        """Return the best value of the metric in the whole space at `level`, None where it is unknown."""
        ...

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric at `level`, shape (n,), None where there is none."""
        ...
