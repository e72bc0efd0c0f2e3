"""Where configurations lie along one hyperparameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hbsim.core.space import Parameter, Real
from hbsim.errors import ParameterError, nearest
from hbsim.surrogates.hashing import Keys
from hbsim.surrogates.protocol import Floats, Ints, Surrogate, check_points, check_rows
from hbsim.surrogates.table import Table
from hbsim.surrogates.wrap_half import Half

if TYPE_CHECKING:
    import polars

__all__ = ["Axis", "RowAxis", "SpaceAxis", "axis_of", "mid_ranks", "settled"]


@dataclass(frozen=True)
class SpaceAxis:
    """A parameter of a space: the place of a value in the unit interval, along the parameter's scale.

    Attributes
    ----------
    dimension, column : int
        Of how many coordinates of a point it is which.
    parameter : Parameter
        The parameter.
    """

    dimension: int
    column: int
    parameter: Parameter

    def places(self, configurations: Floats | Ints) -> Floats:
        """Return the place of each point, shape (n,), in [0, 1]."""
        return settled(self.parameter, check_points(configurations, self.dimension)[:, self.column])

    def ends(self) -> tuple[float, float]:
        """Return the places of the lowest and the highest value."""
        low, high = settled(self.parameter, np.array([0.0, 1.0])).tolist()
        return low, high


@dataclass(frozen=True, eq=False)
class RowAxis:
    """A column of a table: the place of a row is its rank.

    Attributes
    ----------
    ranks : array, shape (rows,)
        As `mid_ranks`.
    """

    ranks: Floats

    def places(self, configurations: Floats | Ints) -> Floats:
        """Return the place of each row, shape (n,), in (0, 1)."""
        places: Floats = self.ranks[check_rows(configurations, len(self.ranks))]
        return places

    def ends(self) -> tuple[float, float]:
        """Return the places of the lowest and the highest value."""
        return float(self.ranks.min()), float(self.ranks.max())


Axis: TypeAlias = SpaceAxis | RowAxis


def axis_of(surrogate: Surrogate, name: str) -> Axis:
    """Return the axis of a hyperparameter.

    Raises
    ------
    ParameterError
        There is none of this name (field ``parameter``), it is not active everywhere, or its column in the
        table has no numbers.
    """
    if surrogate.rows is not None:
        return RowAxis(mid_ranks(_column(surrogate, name)))
    names = () if surrogate.space is None else surrogate.space.names
    _check_name(surrogate, name, names)
    assert surrogate.space is not None
    if name in surrogate.space.conditional:
        raise ParameterError("parameter", name, "is not active in every configuration: take one that is")
    return SpaceAxis(len(names), names.index(name), surrogate.space[name])


def settled(parameter: Parameter, unit: Floats) -> Floats:
    """Return the place of each value that coordinates stand for, shape (n,): one place for one value.

    Real numbers stay where they are; of a choice or a whole number all coordinates go to its middle.
    """
    if isinstance(parameter, Real):
        return unit
    decoded = parameter.decode(np.ascontiguousarray(unit))
    values = decoded if isinstance(decoded, list) else decoded.tolist()
    # One at a time: the last bit of a logarithm must not depend on what stands beside it.
    middle = {value: float(parameter.encode([value], "value")[0]) for value in dict.fromkeys(values)}
    return np.array([middle[value] for value in values])


def mid_ranks(numbers: Floats | Keys) -> Floats:
    """Return ranks from 1/2n to 1 - 1/2n, shape (n,), ascending; equal numbers have the mean of theirs."""
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    places: Floats = ((np.cumsum(counts) - counts / 2) / len(numbers))[inverse]
    return places


def _column(surrogate: Surrogate, name: str) -> Floats:
    """Return a table's column of numbers, shape (rows,)."""
    frame = _configurations(surrogate)
    if frame is None:
        raise ParameterError("parameter", name, f"the rows of {surrogate.name} have no named hyperparameters")
    columns = list(zip(frame.columns, frame.dtypes, strict=True))[1:]  # the first is what rows are called
    numeric = [column for column, dtype in columns if dtype.is_numeric() or str(dtype) == "Boolean"]
    _check_name(surrogate, name, numeric)
    numbers: Floats = frame[name].cast(float).to_numpy()
    if not np.isfinite(numbers).all():
        raise ParameterError("parameter", name, "must have a finite number in every row")
    return numbers


def _configurations(surrogate: object) -> polars.DataFrame | None:
    """Return the hyperparameters of a table's rows, through all wrappers."""
    if not hasattr(surrogate, "wrapped"):
        return surrogate.configurations if isinstance(surrogate, Table) else None
    frame = _configurations(surrogate.wrapped)
    return frame[surrogate.chosen] if frame is not None and isinstance(surrogate, Half) else frame


def _check_name(surrogate: Surrogate, name: str, names: Sequence[str]) -> None:
    if name not in names:
        rule = f"must name a hyperparameter of {surrogate.name}: {', '.join(names) or 'it has none'}."
        raise ParameterError("parameter", name, rule + nearest(str(name), names))
