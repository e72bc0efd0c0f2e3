"""The base of all wrappers, and the axes along which configurations lie.

The wrappers follow the nested experimenters of Open Source Vizier's benchmarks (Song and others, AutoML
2022): noise, a sign flip, and failures that are drawn from the parameters and a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hbsim.core.space import Parameter, Real
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest
from hbsim.surrogates import hashing
from hbsim.surrogates.hashing import Keys
from hbsim.surrogates.options import check_number
from hbsim.surrogates.protocol import Floats, Ints, Surrogate, SurrogateBase, check_points, check_rows
from hbsim.surrogates.table import Table

if TYPE_CHECKING:
    import polars

SEPARATOR = " + "  # between the parts of a name


class Wrapper(SurrogateBase):
    """A surrogate around another one; by default all attributes are those of the wrapped one.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    word : str
        The name of the wrapper in `load(..., wrap=[...])`. Its options, the keywords of its constructor, are
        attributes; those that differ from their defaults are in the name.

    Attributes
    ----------
    wrapped : Surrogate
        The wrapped surrogate.
    name : str
        The name of the wrapped surrogate, a plus, and the text from which `load(..., wrap=[...])` makes the
        same wrapper: ``digits + noise:std=0.02``.
    best_configuration : array, shape (d,), or None
        Where the optimum at `max_resource` is attained; None where that is not known.
    chosen : array of int, shape (rows,), or None
        The rows of the wrapped surrogate that are used; None for all rows.
    """

    chosen: Ints | None = None

    def __init__(self, surrogate: object, word: str) -> None:
        from hbsim.surrogates.registry import load  # which knows the wrappers

        self.wrapped = load(surrogate)
        self._word = word
        self.metric = self.wrapped.metric
        self.mode: Mode = self.wrapped.mode
        self.max_resource = self.wrapped.max_resource
        self.resources = self.wrapped.resources
        self.rows = self.wrapped.rows
        self.space = self.wrapped.space
        self.best_configuration: Floats | None = getattr(self.wrapped, "best_configuration", None)
        self._best_of_rows: dict[float, float | None] = {}

    @property
    def points(self) -> Floats | None:
        """The rows as points of the unit cube, shape (rows, d); None where they are not known."""
        points: Floats | None = getattr(self.wrapped, "points", None)
        return points

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds, shapes (n, m), as `Surrogate.evaluate`."""
        return self.wrapped.evaluate(configurations, levels)

    def optimum(self, level: float) -> float | None:
        """Return the best value of the metric in the whole space at `level`, None where it is unknown."""
        return self.wrapped.optimum(level)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric at `level`, shape (n,), None where there is none."""
        return self.wrapped.test_values(configurations, level)

    def best_of_rows(self, level: float) -> float | None:
        """Return the best finite value of all rows at `level`; None where there is none, or no rows."""
        if self.rows is None:
            return None
        level = float(level)
        if level not in self._best_of_rows:
            values, _ = self.evaluate(np.arange(self.rows), np.array([level]))
            finite = values[np.isfinite(values)]
            pick = np.max if self.mode == "max" else np.min
            self._best_of_rows[level] = float(pick(finite)) if finite.size else None
        return self._best_of_rows[level]

    @cached_property
    def name(self) -> str:
        """The name of the wrapped surrogate, and the text of this wrapper."""
        return self.wrapped.name + SEPARATOR + self._text()

    def _text(self) -> str:
        defaults = type(self).__init__.__kwdefaults__ or {}
        values = {name: getattr(self, name) for name in defaults}
        items = [f"{name}={_shown(value)}" for name, value in values.items() if value != defaults[name]]
        return self._word + (":" + ",".join(items) if items else "")


def named_rows(surrogate: Surrogate) -> polars.DataFrame | None:
    """Return the hyperparameters of a table's rows, a column each; None if there are none."""
    if isinstance(surrogate, Table):
        return (
            surrogate.configurations.select(surrogate.hyperparameters) if surrogate.hyperparameters else None
        )
    if not isinstance(surrogate, Wrapper):
        return None
    inner = named_rows(surrogate.wrapped)
    return inner if inner is None or surrogate.chosen is None else inner[surrogate.chosen.tolist()]


def _shown(value: object) -> str:
    """Return an option as it is written: ``true``, and ``3`` for 3.0."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0")


def check_seed(seed: int, field: str = "seed") -> int:
    """Return a seed, a whole number of at least 0, or raise a ParameterError."""
    return int(check_number(field, seed, low=0, high=2**53, whole=True))


def points_or_rows(surrogate: Wrapper, configurations: Floats | Ints) -> Floats:
    """Return configurations as floats: points, shape (n, d); or row numbers, shape (n, 1).

    Raises
    ------
    ParameterError
        The shape is wrong, or there is no such row.
    """
    if surrogate.rows is not None:
        return check_rows(configurations, surrogate.rows).astype(np.float64)[:, None]
    if surrogate.space is None:
        raise ParameterError("surrogate", surrogate.name, "needs a space, or rows")
    return surrogate.space.settled(check_points(configurations, surrogate.space.dimension))


def configuration_keys(
    surrogate: Wrapper, configurations: Floats | Ints, seed: int, purpose: int
) -> hashing.Keys:
    """Return a key for each configuration, shape (n,), for one purpose: the same in any block."""
    return hashing.float_keys(points_or_rows(surrogate, configurations), hashing.scalar_key(seed, purpose))


@dataclass(frozen=True)
class SpaceAxis:
    """A parameter of a space: the place of a value in the unit interval, along the parameter's scale.

    Attributes
    ----------
    dimension, column : int
        The number of coordinates of a point, and the index of this one.
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
        The ranks of rows, as `mid_ranks` returns them.
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
        There is no such hyperparameter (field ``parameter``), it is not active everywhere, or its column in
        the table has no numbers.
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
    """Return the place of the value of each coordinate, shape (n,): one place for one value.

    Real numbers do not move; all coordinates of a choice or a whole number move to its middle.
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
    columns = list(zip(frame.columns, frame.dtypes, strict=True))[1:]  # the first holds row names
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
    chosen = surrogate.chosen if isinstance(surrogate, Wrapper) else None
    return frame if frame is None or chosen is None else frame[chosen]


def _check_name(surrogate: Surrogate, name: str, names: Sequence[str]) -> None:
    if name not in names:
        rule = f"must name a hyperparameter of {surrogate.name}: {', '.join(names) or 'it has none'}."
        raise ParameterError("parameter", name, rule + nearest(str(name), names))
