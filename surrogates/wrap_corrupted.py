"""The wrapper that corrupts curves in a region of the space, and the kinds of regions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Real, Space
from hbsim.errors import ParameterError
from hbsim.surrogates import hashing
from hbsim.surrogates.options import check_choice, check_number
from hbsim.surrogates.protocol import Floats, Ints, Surrogate, check_points
from hbsim.surrogates.wrapper import Axis, RowAxis, Wrapper, axis_of, check_seed, mid_ranks, settled


class Corrupted(Wrapper):
    """Curves with a region of the space where the metric and the held-out metric are NaN; time continues.

    Whether a configuration is corrupted depends on the configuration and these parameters, never on an
    order: the same ones are corrupted for every scheduler and every variant.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    share : float
        How much of the space, in [0, 1). With rows, exactly this share of them, rounded. In a space, a box in
        the unit cube, along two of its real parameters and with exactly this volume, that the seed chooses;
        beyond an end of a parameter's scale it continues at the other. In a space without real parameters
        each configuration is corrupted with this probability.
    from_level : float
        The metric is NaN from this level on; 0: at all levels.
    parameter : str, optional
        Corrupt configurations with the highest (or lowest) values of this hyperparameter instead. If it has
        few values, whole values are corrupted: those whose middle lies within the share.
    end : "high" or "low"
        Whether the highest or the lowest values are corrupted.
    seed : int
        The seed of the draw.

    Raises
    ------
    ParameterError
        A parameter breaks its rule, there is no such hyperparameter, or the share is too small for a
        single row or value.
    """

    def __init__(
        self,
        surrogate: object,
        *,
        share: float = 0.1,
        from_level: float = 0,
        parameter: str | None = None,
        end: End = "high",
        seed: int = 0,
    ) -> None:
        super().__init__(surrogate, "corrupt")
        self.share = check_number("share", share, low=0.0)
        if self.share >= 1.0:
            raise ParameterError("share", share, "must be below 1")
        self.from_level = check_number("from_level", from_level, low=0.0, high=self.max_resource)
        check_choice("end", end, ("high", "low"))
        self.parameter, self.end, self.seed = parameter, end, check_seed(seed)
        self._region: Region = (
            random_region(self.wrapped, self.share, self.seed)
            if parameter is None
            else end_region(self.wrapped, self.share, parameter, end)
        )

    def in_region(self, configurations: Floats | Ints) -> Bools:
        """Return whether each configuration is corrupted, shape (n,)."""
        return self._region.contains(configurations)

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric, NaN where it is corrupted, and cumulative seconds, shapes (n, m)."""
        values, seconds = self.wrapped.evaluate(configurations, levels)
        late = np.asarray(levels, dtype=np.float64) >= self.from_level
        return np.where(self.in_region(configurations)[:, None] & late, math.nan, values), seconds

    def optimum(self, level: float) -> float | None:
        """Return the best value outside the region.

        It is exact for rows. For a space it is known if it is attained outside the region, else None.
        """
        if level < self.from_level or self.share == 0.0:
            return self.wrapped.optimum(level)
        if self.rows is not None:
            return self.best_of_rows(level)
        best = self.best_configuration
        if best is None or level != self.max_resource or self.in_region(best[np.newaxis])[0]:
            return None
        return self.wrapped.optimum(level)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric, NaN where it is corrupted, shape (n,); None where there is none."""
        tests = self.wrapped.test_values(configurations, level)
        if tests is None or level < self.from_level:
            return tests
        return np.where(self.in_region(configurations), math.nan, tests)


Bools: TypeAlias = NDArray[np.bool_]
End: TypeAlias = Literal["high", "low"]

_ROWS, _SCATTERED, _SIDES, _CORNER = 31, 32, 33, 34  # the purpose of the draws, which is part of their keys
_SIDED: Final = 2  # parameters that a box bounds: few enough to say where it is


class Region(Protocol):
    """A part of the space."""

    def contains(self, configurations: Floats | Ints) -> Bools:
        """Return whether each configuration lies within, shape (n,)."""
        ...


@dataclass(frozen=True, eq=False)
class EndRegion:
    """The region at one end of an axis.

    Attributes
    ----------
    axis : Axis
        The axis.
    share : float
        The share of the axis, in [0, 1).
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
        """Return the share above which the outermost value lies within: half of that value's own share."""
        low, high = self.axis.ends()
        return low if self.end == "low" else 1.0 - high


@dataclass(frozen=True)
class BoxRegion:
    """A box in the unit cube, bounded along a few coordinates; beyond 1 it continues at 0.

    So over all corners every point is equally likely to lie within.

    Attributes
    ----------
    dimension : int
        The dimension of the cube.
    corner : tuple of (int, float)
        The coordinates that bound the box, and its lower end along each.
    side : float
        The length of the box along each of these coordinates.
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
class RandomRegion:
    """Configurations chosen one by one, by a hash of their values: for spaces without real numbers.

    Attributes
    ----------
    space : Space
        The space.
    share : float
        The probability of each configuration.
    seed : int
        The seed of the draws.
    """

    space: Space
    share: float
    seed: int

    def contains(self, configurations: Floats | Ints) -> Bools:
        """Return whether each point's configuration was drawn, shape (n,)."""
        points = self.space.settled(check_points(configurations, self.space.dimension))
        columns = [settled(p, points[:, j]) for j, p in enumerate(self.space.parameters.values())]
        keys = hashing.float_keys(np.stack(columns, axis=1), hashing.scalar_key(self.seed, _SCATTERED))
        chosen: Bools = hashing.uniform(keys) < self.share
        return chosen


def random_region(surrogate: Surrogate, share: float, seed: int) -> Region:
    """Return a region that `seed` chooses; a larger share includes the region of a smaller one.

    With rows it has exactly ``share * rows``, rounded. In a space it is a box along two real parameters, with
    exactly that volume; without real parameters that are always active, it has each configuration with that
    probability.

    Raises
    ------
    ParameterError
        The share is less than half a row (field ``share``).
    """
    if surrogate.rows is not None:
        return _random_rows(surrogate, surrogate.rows, share, seed)
    assert surrogate.space is not None
    space = surrogate.space
    real = [
        j
        for j, (n, p) in enumerate(space.parameters.items())
        if isinstance(p, Real) and n not in space.conditional
    ]
    if not real:
        return RandomRegion(surrogate.space, share, seed)
    order = sorted(real, key=lambda column: int(hashing.scalar_key(seed, _SIDES, column)))
    columns = sorted(order[:_SIDED])
    starts = hashing.uniform(np.array([hashing.scalar_key(seed, _CORNER, column) for column in columns]))
    side = share if len(columns) == 1 else math.sqrt(share)
    return BoxRegion(surrogate.space.dimension, tuple(zip(columns, starts.tolist(), strict=True)), side)


def end_region(surrogate: Surrogate, share: float, parameter: str, end: End) -> Region:
    """Return the region of a hyperparameter's highest or lowest values.

    If there are few values, it has whole values: those whose middle lies within the share.

    Raises
    ------
    ParameterError
        There is no such hyperparameter, or the outermost value alone exceeds the share.
    """
    region = EndRegion(axis_of(surrogate, parameter), share, end)
    if 0.0 < share <= region.least():
        rule = f"must be above {region.least():g}: the {end}est {parameter} alone has twice that"
        raise ParameterError("share", share, rule)
    return region


def _random_rows(surrogate: Surrogate, rows: int, share: float, seed: int) -> Region:
    keys = hashing.float_keys(np.arange(rows, dtype=np.float64)[:, None], hashing.scalar_key(seed, _ROWS))
    region = EndRegion(RowAxis(mid_ranks(keys)), share, "low")
    if 0.0 < share <= region.least():
        rule = f"must be above {region.least():g}: {surrogate.name} has {rows} rows"
        raise ParameterError("share", share, rule)
    return region
