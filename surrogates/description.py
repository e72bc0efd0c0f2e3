"""The description of a surrogate: its size, and how well early ranks predict final ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.surrogates.protocol import Floats, Ints, Surrogate, check_levels
from hbsim.surrogates.table import Table


@dataclass(frozen=True)
class SurrogateDescription:
    """A short description of a surrogate.

    Attributes
    ----------
    name, metric : str
        The names of the surrogate and of its metric.
    mode : "max" or "min"
        Whether the metric is maximised.
    rows : int or None
        How many configurations there are; None: any number.
    parameters : tuple of str or None
        The names in its space, or of a table without a space, the names that a fit would use; None where
        there are none.
    fidelities : int or None
        How many levels can be evaluated; None: any.
    max_resource : float
        The last level.
    optimum : float or None
        The best value at the last level.
    has_test : bool
        Whether there is a held-out metric.
    levels : tuple of float
        Some levels, ascending; the last is `max_resource`.
    correlations : tuple of float
        Spearman's rank correlation of each of these levels with the last one.
    """

    name: str
    metric: str
    mode: Mode
    rows: int | None
    parameters: tuple[str, ...] | None
    fidelities: int | None
    max_resource: float
    optimum: float | None
    has_test: bool
    levels: tuple[float, ...]
    correlations: tuple[float, ...]


def describe(surrogate: Surrogate, levels: Sequence[float] | None = None) -> SurrogateDescription:
    """Describe a surrogate, with rank correlations at `levels`, by default those of `spread_levels`.

    Raises
    ------
    ParameterError
        A level is none of the surrogate's.
    """
    levels = spread_levels(surrogate) if levels is None else tuple(levels)
    top = surrogate.max_resource
    return SurrogateDescription(
        name=surrogate.name,
        metric=surrogate.metric,
        mode=surrogate.mode,
        rows=surrogate.rows,
        parameters=_parameters(surrogate),
        fidelities=None if surrogate.resources is None else len(surrogate.resources),
        max_resource=top,
        optimum=surrogate.optimum(top),
        has_test=surrogate.test_values(sample(surrogate, 2, 0), top) is not None,
        levels=levels,
        correlations=tuple(rank_correlation(surrogate, levels)),
    )


def _parameters(surrogate: Surrogate) -> tuple[str, ...] | None:
    if surrogate.space is not None:
        return surrogate.space.names
    within: object = surrogate
    while hasattr(within, "wrapped"):
        within = within.wrapped
    if not isinstance(within, Table):
        return None
    from hbsim.surrogates.fit_data import space_of

    return space_of(within.configurations, within.hyperparameters, None)[0].names or None


def spread_levels(surrogate: Surrogate) -> tuple[float, ...]:
    """Return levels three times apart, from 1 or the first one on, and `max_resource`."""
    top = surrogate.max_resource
    there = surrogate.resources
    level = min(1.0, top) if there is None else there[0]
    levels: list[float] = []
    while level < top:
        at = level if there is None else next(r for r in there if r >= level)
        if at < top and at not in levels:
            levels.append(at)
        level *= 3.0
    return (*levels, top)


def rank_correlation(
    surrogate: Surrogate, levels: Sequence[float], n: int = 1000, seed: int = 0
) -> list[float]:
    """Return how well ranks at each level predict those at the last one.

    Parameters
    ----------
    surrogate : Surrogate
        The curves.
    levels : sequence of float
        Ascending.
    n : int
        How many configurations are drawn, at least 2; all rows if there are no more.
    seed : int
        What the draw depends on.

    Returns
    -------
    correlations : list of float
        Spearman's rank correlation with the last level, one a level. NaN and infinite values
        share the worst rank. NaN where all values are equal.

    Raises
    ------
    ParameterError
        A level is none of the surrogate's, or `n` is below 2.
    """
    if n < 2:
        raise ParameterError("n", n, "must be at least 2")
    check_levels(surrogate, levels)
    values, _ = surrogate.evaluate(sample(surrogate, n, seed), np.array(levels, dtype=np.float64))
    scores = np.where(np.isfinite(values), values if surrogate.mode == "max" else -values, -math.inf)
    return [spearman(column, scores[:, -1]) for column in scores.T]


def spearman(a: Floats, b: Floats) -> float:
    """Return Spearman's rank correlation; NaN where all values of one are equal, or there are none."""
    from scipy.stats import rankdata

    first, second = (rankdata(column) - (len(column) + 1) / 2.0 for column in (a, b))
    if not first.any() or not second.any():
        return math.nan
    return float(first @ second) / math.sqrt(float(first @ first) * float(second @ second))


def sample(surrogate: Surrogate, n: int, seed: int) -> Floats | Ints:
    """Draw n configurations: distinct rows (all rows in order, if there are at most n), or points."""
    rng = np.random.default_rng(seed)
    if surrogate.rows is not None:
        if surrogate.rows <= n:
            return np.arange(surrogate.rows)
        return rng.choice(surrogate.rows, n, replace=False)
    if surrogate.space is None:
        raise ParameterError("surrogate", surrogate.name, "needs a space, or rows")
    return surrogate.space.sample(n, rng)
