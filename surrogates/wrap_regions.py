"""Regions of a space or of a table's rows that hold a given share of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Real, Space
from hbsim.errors import ParameterError
from hbsim.surrogates import hashing
from hbsim.surrogates.protocol import Floats, Ints, Surrogate, check_points
from hbsim.surrogates.wrap_axes import Axis, RowAxis, axis_of, mid_ranks, settled

__all__ = ["Bools", "End", "Region", "drawn_region", "end_region"]

Bools: TypeAlias = NDArray[np.bool_]
End: TypeAlias = Literal["high", "low"]

_ROWS, _SCATTERED, _SIDES, _CORNER = 31, 32, 33, 34  # what the draws are for
_SIDED: Final = 2  # parameters that a box bounds: few enough to say where it is


class Region(Protocol):
    """A part of the space."""

    def contains(self, configurations: Floats | Ints) -> Bools:
        """Return whether each configuration lies within, shape (n,)."""
        ...


@dataclass(frozen=True, eq=False)
class Beyond:
    """What lies at one end of an axis.

    Attributes
    ----------
    axis : Axis
        The axis.
    share : float
        How much of it, in [0, 1).
    end : "high" or "low"
        Which end.
    """

    axis: Axis
    share: float
    end: End

    def contains(self, configurations: Floats | Ints) -> Bools:
        """Return whether each configuration lies within, shape (n,)."""
        places = self.axis.places(configurations)
        within: Bools = places < self.share if self.end == "low" else places > 1.0 - self.share
        return within

    def least(self) -> float:
        """Return the share above which the outermost value lies within: half of what it has."""
        low, high = self.axis.ends()
        return low if self.end == "low" else 1.0 - high


@dataclass(frozen=True)
class Box:
    """A box in the unit cube, bounded along a few coordinates; beyond 1 it goes on at 0.

    So every point is as likely to lie within, over all corners.

    Attributes
    ----------
    dimension : int
        Of the cube.
    corner : tuple of (int, float)
        The coordinates that bound it, and where it begins along each.
    side : float
        Its length along each.
    """

    dimension: int
    corner: tuple[tuple[int, float], ...]
    side: float

    def contains(self, configurations: Floats | Ints) -> Bools:
        """Return whether each point lies within, shape (n,)."""
        points = check_points(configurations, self.dimension)
        within = np.ones(len(points), dtype=bool)
        for column, start in self.corner:
            offset = points[:, column] - start
            within &= np.where(offset < 0.0, offset + 1.0, offset) < self.side
        return within


@dataclass(frozen=True)
class Scattered:
    """Configurations drawn one by one, by a hash of their values: for spaces without real numbers.

    Attributes
    ----------
    space : Space
        The space.
    share : float
        The probability of each.
    seed : int
        Of the draws.
    """

    space: Space
    share: float
    seed: int

    def contains(self, configurations: Floats | Ints) -> Bools:
        """Return whether each point's configuration was drawn, shape (n,)."""
        points = self.space.settled(check_points(configurations, self.space.dimension))
        columns = [settled(p, points[:, j]) for j, p in enumerate(self.space.parameters.values())]
        keys = hashing.float_keys(np.stack(columns, axis=1), hashing.scalar_key(self.seed, _SCATTERED))
        drawn: Bools = hashing.uniform(keys) < self.share
        return drawn


def drawn_region(surrogate: Surrogate, share: float, seed: int) -> Region:
    """Return a region that `seed` chooses; a larger share includes a smaller one's.

    Of rows exactly ``share * rows``, rounded. Of a space a box along two of its real parameters, with
    exactly that volume; where it has none that is always active, each configuration with that probability.

    Raises
    ------
    ParameterError
        That is less than half a row (field ``share``).
    """
    if surrogate.rows is not None:
        return _drawn_rows(surrogate, surrogate.rows, share, seed)
    assert surrogate.space is not None
    space = surrogate.space
    real = [
        j
        for j, (n, p) in enumerate(space.parameters.items())
        if isinstance(p, Real) and n not in space.conditional
    ]
    if not real:
        return Scattered(surrogate.space, share, seed)
    order = sorted(real, key=lambda column: int(hashing.scalar_key(seed, _SIDES, column)))
    columns = sorted(order[:_SIDED])
    starts = hashing.uniform(np.array([hashing.scalar_key(seed, _CORNER, column) for column in columns]))
    side = share if len(columns) == 1 else math.sqrt(share)
    return Box(surrogate.space.dimension, tuple(zip(columns, starts.tolist(), strict=True)), side)


def end_region(surrogate: Surrogate, share: float, parameter: str, end: End) -> Region:
    """Return the region of a hyperparameter's highest or lowest values.

    Of few values, whole ones: those whose middle lies within the share.

    Raises
    ------
    ParameterError
        There is no such hyperparameter, or the outermost value alone has more than the share.
    """
    region = Beyond(axis_of(surrogate, parameter), share, end)
    if 0.0 < share <= region.least():
        rule = f"must be above {region.least():g}: the {end}est {parameter} alone has twice that"
        raise ParameterError("share", share, rule)
    return region


def _drawn_rows(surrogate: Surrogate, rows: int, share: float, seed: int) -> Region:
    keys = hashing.float_keys(np.arange(rows, dtype=np.float64)[:, None], hashing.scalar_key(seed, _ROWS))
    region = Beyond(RowAxis(mid_ranks(keys)), share, "low")
    if 0.0 < share <= region.least():
        rule = f"must be above {region.least():g}: {surrogate.name} has {rows} rows"
        raise ParameterError("share", share, rule)
    return region
