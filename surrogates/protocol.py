"""The protocol of a surrogate, arrays in and arrays out, and checks of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.core.types import Mode
from hbsim.errors import ParameterError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@runtime_checkable
class Surrogate(Protocol):
    """Learning curves of configurations.

    Attributes
    ----------
    name : str
        The name in results.
    metric : str
        The metric that decides.
    mode : "max" or "min"
        Whether the metric is maximised or minimised.
    max_resource : float
        The last level that curves reach (R at most); its unit is the surrogate's (an epoch, a step).
    resources : tuple of float, or None
        The levels that can be evaluated, ascending; None: any level in (0, max_resource].
    rows : int or None
        How many configurations there are, numbered from 0; None: any point of `space`.
    space : Space or None
        The search space of the configurations; None where they have no names.

    One with rows and a space may also have ``points``, an array of shape (rows, d): its rows as points
    of the unit cube of `space`, for searchers that use hyperparameters.
    """

    metric: str
    mode: Mode
    max_resource: float
    resources: tuple[float, ...] | None
    rows: int | None
    space: Space | None

    @property
    def name(self) -> str: ...  # noqa: D102 - among the attributes above

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


class SurrogateBase:
    """The base of hbsim's own surrogates: any point and any level, no known optimum, no held-out metric."""

    resources: tuple[float, ...] | None = None
    rows: int | None = None
    space: Space | None = None

    def __repr__(self) -> str:
        return surrogate_repr(cast(Surrogate, self))

    def optimum(self, level: float) -> float | None:
        """Return None: the best value of the space is not known."""
        return None

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return None: there is no held-out metric."""
        return None


def check_points(configurations: Floats | Ints, dimension: int) -> Floats:
    """Return points of the unit cube, shape (n, dimension), as floats."""
    points = np.asarray(configurations, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != dimension:
        raise ParameterError("configurations.shape", points.shape, f"must be (n, {dimension})")
    return points


def check_rows(configurations: Floats | Ints, rows: int) -> Ints:
    """Return row numbers, shape (n,), each in [0, rows)."""
    numbers_ = np.asarray(configurations)
    if numbers_.ndim != 1 or numbers_.dtype.kind not in "iu":
        rule = "must be row numbers: integers, shape (n,)"
        raise ParameterError("configurations", f"{numbers_.dtype} {numbers_.shape}", rule)
    outside = np.flatnonzero((numbers_ < 0) | (numbers_ >= rows))
    if outside.size:
        raise ParameterError("configurations", int(numbers_[outside[0]]), f"must lie in [0, {rows})")
    return numbers_.astype(np.int64, copy=False)


def check_positive_levels(levels: Floats, max_resource: float) -> Floats:
    """Return levels, shape (m,), each in (0, max_resource]."""
    levels = np.asarray(levels, dtype=np.float64)
    if levels.ndim != 1:
        raise ParameterError("levels.shape", levels.shape, "must be (m,)")
    inside = (levels > 0.0) & (levels <= max_resource)
    if not inside.all():
        bad = float(levels[np.flatnonzero(~inside)[0]])
        raise ParameterError("levels", bad, f"must lie in (0, {max_resource:g}]")
    return levels


def level_places(name: str, known: Floats, levels: Floats) -> Ints:
    """Return the places of levels, shape (m,), among the ascending levels that the curves of `name` have."""
    levels = np.asarray(levels, dtype=np.float64)
    if levels.ndim != 1:
        raise ParameterError("levels.shape", levels.shape, "must be (m,)")
    missing = levels[~np.isin(levels, known)]
    if missing.size:
        raise ParameterError("levels", missing.tolist(), f"the curves of {name} have no such level")
    return np.searchsorted(known, levels).astype(np.int64)


def check_levels(surrogate: Surrogate, levels: Sequence[float]) -> None:
    """Check that curves can be read at all levels that a scheduler decides at.

    Parameters
    ----------
    surrogate : Surrogate
        The curves.
    levels : sequence of float
        The levels, ascending; the last is the scheduler's `max_t`.

    Raises
    ------
    ParameterError
        `max_t` lies beyond the surrogate's last level (field ``max_t``), or a level is not among its
        `resources` (``max_t`` for the last one, ``grace_period`` for the first, ``levels`` between).
    """
    if not levels:
        return
    top = levels[-1]
    if top > surrogate.max_resource:
        rule = f"the curves of {surrogate.name} end at {surrogate.max_resource:g}"
        raise ParameterError("max_t", top, rule)
    if levels[0] <= 0:
        raise ParameterError("grace_period", levels[0], "must be above 0")
    if surrogate.resources is None:
        return
    there = set(surrogate.resources)
    for level in levels:
        if level not in there:
            field = "max_t" if level == top else "grace_period" if level == levels[0] else "levels"
            raise ParameterError(field, level, _no_such_level(surrogate, surrogate.resources, level))


def _no_such_level(surrogate: Surrogate, resources: tuple[float, ...], level: float) -> str:
    below = [r for r in resources if r < level][-1:]
    above = [r for r in resources if r > level][:1]
    near = " and ".join(f"{r:g}" for r in below + above)
    return f"the curves of {surrogate.name} have no such level; the nearest are {near}"


def surrogate_repr(surrogate: Surrogate) -> str:
    """Return the `repr` of a surrogate: name, metric, how many configurations, and how far they go."""
    rows = "any number of" if surrogate.rows is None else f"{surrogate.rows:,}"
    decides = f"{surrogate.metric} ({surrogate.mode})"
    kind = type(surrogate).__name__
    return f"<{kind} {surrogate.name}: {decides}, {rows} configurations, up to {surrogate.max_resource:g}>"
