"""A search space: named parameters, and the unit cube that stands for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from hbsim.core.space.checks import Floats, Given, whole
from hbsim.core.space.parameters import Column, Parameter
from hbsim.core.space.plain import parameter_from_json, parameter_to_json
from hbsim.errors import ParameterError, nearest

__all__ = ["Space"]

Values: TypeAlias = Mapping[str, object]


class Space:
    """Named parameters in a fixed order; a configuration is a point of the unit cube [0, 1]^d.

    Parameters
    ----------
    parameters : mapping of str to Real, Int, Choice or Bool
        Their order is the order of the coordinates.

    Raises
    ------
    ParameterError
        A name is no text or empty, or a value is no parameter.
    """

    __slots__ = ("_parameters",)

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        for name, parameter in parameters.items():
            if not isinstance(name, str) or not name:
                raise ParameterError("parameters", name, "a parameter's name must be non-empty text")
            if not isinstance(parameter, Parameter):
                raise ParameterError(name, parameter, "must be a Real, Int, Choice or Bool")
        self._parameters = dict(parameters)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameters by name, in order, read only."""
        return MappingProxyType(self._parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the coordinates."""
        return tuple(self._parameters)

    @property
    def dimension(self) -> int:
        """The number of coordinates, d; each parameter has one."""
        return len(self._parameters)

    @property
    def defaults(self) -> dict[str, object]:
        """Each parameter's default, as a plain Python value."""
        return {name: parameter.initial for name, parameter in self._parameters.items()}

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __eq__(self, other: object) -> bool:
        # The order counts: it is the order of the coordinates.
        if not isinstance(other, Space):
            return NotImplemented
        return list(self._parameters.items()) == list(other._parameters.items())

    def __hash__(self) -> int:
        return hash(tuple(self._parameters.items()))

    def __repr__(self) -> str:
        return f"Space({self._parameters!r})"

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw n configurations.

        Parameters
        ----------
        n : int
            How many.
        rng : numpy.random.Generator
            Where the randomness comes from.

        Returns
        -------
        points : array, shape (n, d)
            Independent and uniform in [0, 1).
        """
        if whole("n", n) < 0:
            raise ParameterError("n", n, "must be 0 or more")
        return rng.random((n, self.dimension))

    def decode(self, points: Floats) -> dict[str, Column]:
        """Read points as columns of values.

        Parameters
        ----------
        points : array, shape (n, d)
            Coordinates in [0, 1]; 1.0 stands for the last value.

        Returns
        -------
        columns : dict
            By name, n values each: a float array for `Real`, an integer array for `Int`, a bool
            array for `Bool`, a list for `Choice`.

        Raises
        ------
        ParameterError
            The shape is not (n, d), or a coordinate lies outside [0, 1].
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dimension:
            raise ParameterError("points.shape", points.shape, f"must be (n, {self.dimension})")
        self._check_cube(points)
        # Contiguous columns: one point alone and the same point in a block take the same path in NumPy.
        columns = np.ascontiguousarray(points.T)
        return {name: self._parameters[name].decode(columns[j]) for j, name in enumerate(self._parameters)}

    def mapping(self, point: Floats) -> dict[str, object]:
        """Read one point, shape (d,), as a dict of plain Python values.

        Raises
        ------
        ParameterError
            The shape is not (d,), or a coordinate lies outside [0, 1].
        """
        point = np.asarray(point, dtype=np.float64)
        if point.shape != (self.dimension,):
            raise ParameterError("point.shape", point.shape, f"must be ({self.dimension},)")
        columns = self.decode(point[np.newaxis])
        return {n: c[0] if isinstance(c, list) else c.tolist()[0] for n, c in columns.items()}

    def encode(self, values: Values) -> Floats:
        """Turn values back into points; the inverse of `decode` and of `mapping`.

        Parameters
        ----------
        values : mapping
            By name, a value each; or a column each, a list or an array of n values. All names of the
            space, and no others.

        Returns
        -------
        points : array, shape (d,) or (n, d)
            One point for single values, n points for columns. Decoded again, it is the same value:
            exactly for `Int`, `Choice` and `Bool`, within float error for `Real`.

        Raises
        ------
        ParameterError
            A name is missing or unknown, columns differ in length, or a value is out of range.
        """
        self._check_names(values)
        single = not any(_is_column(value) for value in values.values())
        columns = {n: [values[n]] if single else _column(n, values[n]) for n in self._parameters}
        n = _length(columns)
        points = np.empty((n, self.dimension))
        for j, (name, column) in enumerate(columns.items()):
            points[:, j] = self._parameters[name].encode(column, name)
        return points[0] if single else points

    def to_json(self) -> dict[str, object]:
        """Return the space in plain JSON types.

        Raises
        ------
        ParameterError
            A choice is no JSON scalar (text, number, bool or None).
        """
        return {"parameters": [parameter_to_json(n, p) for n, p in self._parameters.items()]}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Space:
        """Make a space from what `to_json` returned.

        Raises
        ------
        ParameterError
            A field is missing, unknown or breaks its parameter's rules.
        """
        entries = data.get("parameters")
        if not isinstance(entries, list):
            raise ParameterError("parameters", entries, "must be a list with an object for each parameter")
        pairs = [parameter_from_json(entry) for entry in entries]
        parameters = dict(pairs)
        if len(parameters) < len(pairs):
            raise ParameterError("parameters", [name for name, _ in pairs], "must not name one twice")
        return cls(parameters)

    def _check_cube(self, points: Floats) -> None:
        inside = (points >= 0.0) & (points <= 1.0)  # False for NaN
        if not inside.all():
            row, column = np.argwhere(~inside)[0]
            value = float(points[row, column])
            raise ParameterError(self.names[column], value, f"coordinates lie in [0, 1] (point {row})")

    def _check_names(self, values: Values) -> None:
        for name in values:
            if name not in self._parameters:
                rule = f"is no parameter of the space ({', '.join(self._parameters)})."
                raise ParameterError(str(name), values[name], rule + nearest(str(name), self._parameters))
        for name in self._parameters:
            if name not in values:
                raise ParameterError(name, None, "is missing")


def _is_column(value: object) -> bool:
    # A list is never a value: choices are hashable. A tuple may be one.
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _column(name: str, value: object) -> Given:
    if isinstance(value, list):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return value if value.dtype.kind in "fiu" else list(value.tolist())
    raise ParameterError(name, value, "must be a list or an array of shape (n,), like the other columns")


def _length(columns: Mapping[str, Given]) -> int:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ParameterError("columns", lengths, "must have the same number of values")
    return next(iter(lengths.values()), 1)
