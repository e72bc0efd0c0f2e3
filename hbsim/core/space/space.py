"""A search space: named parameters, and the unit cube that stands for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from hbsim.core.space.activity import Activity, Flags, Held
from hbsim.core.space.checks import Floats, whole
from hbsim.core.space.columns import encode_active, is_column, length, one_column, with_default
from hbsim.core.space.parameters import Column, Parameter
from hbsim.core.space.plain import parameter_from_json, parameter_to_json
from hbsim.errors import ParameterError, nearest

__all__ = ["Space"]

Values: TypeAlias = Mapping[str, object]


class Space:
    """Named parameters in a fixed order; a configuration is a point of the unit cube [0, 1]^d.

    A parameter with `when` is active in some configurations only. Where it is not, its value is its default,
    whatever its coordinate is, and `mapping` leaves it out.

    Parameters
    ----------
    parameters : mapping of str to Real, Int, Choice or Bool
        Their order is the order of the coordinates. What a parameter's `when` names comes before it.

    Raises
    ------
    ParameterError
        A name is no text or empty, a value is no parameter, or a condition names none before it, a `Real`, or
        what is none of its values.
    """

    __slots__ = ("_activity", "_default", "_parameters")

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        if not isinstance(parameters, Mapping):
            raise ParameterError(
                "parameters", parameters, "must be a dict: a Real, Int, Choice or Bool by name"
            )
        for name, parameter in parameters.items():
            if not isinstance(name, str) or not name:
                raise ParameterError("parameters", name, "a parameter's name must be non-empty text")
            if not isinstance(parameter, Parameter):
                raise ParameterError(name, parameter, "must be a Real, Int, Choice or Bool")
        self._parameters = dict(parameters)
        self._activity = Activity(self._parameters)
        self._default = self._default_point() if self._activity.conditional else None

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

    @property
    def conditional(self) -> frozenset[str]:
        """The names of the parameters that are not active everywhere."""
        return self._activity.conditional

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
            Independent and uniform in [0, 1); settled.
        """
        if whole("n", n) < 0:
            raise ParameterError("n", n, "must be 0 or more")
        return self.settled(rng.random((n, self.dimension)))

    def active(self, points: Floats) -> Flags:
        """Return which parameters are active at points, shape (n, d), of this shape.

        Raises
        ------
        ParameterError
            As `decode`.
        """
        return self._activity.of_points(self._checked(points))

    def is_active(self, name: str, values: Values) -> bool:
        """Return whether a parameter is active, by the values of all that are active before it."""
        return self._activity.of_values(name, values)

    def settled(self, points: Floats) -> Floats:
        """Return points, shape (n, d), with the coordinate of the default where a parameter is not active.

        So points that are the same configuration are one in these coordinates. Models and tables see these.

        Raises
        ------
        ParameterError
            As `decode`.
        """
        if self._default is None:
            return points
        points = self._checked(points)
        return np.where(self._activity.of_points(points), points, self._default)

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
            array for `Bool`, a list for `Choice`. Where a parameter is not active it is the default.

        Raises
        ------
        ParameterError
            The shape is not (n, d), or a coordinate lies outside [0, 1].
        """
        return self._decoded(self._checked(points))[0]

    def mapping(self, point: Floats) -> dict[str, object]:
        """Read one point, shape (d,), as a dict of plain Python values; what is not active is not in it.

        Raises
        ------
        ParameterError
            The shape is not (d,), or a coordinate lies outside [0, 1].
        """
        point = np.asarray(point, dtype=np.float64)
        if point.shape != (self.dimension,):
            raise ParameterError("point.shape", point.shape, f"must be ({self.dimension},)")
        return self.mappings(point[np.newaxis])[0]

    def mappings(self, points: Floats) -> list[dict[str, object]]:
        """Read points, shape (n, d), as `mapping` does.

        Raises
        ------
        ParameterError
            As `decode`.
        """
        columns, active = self._decoded(self._checked(points))
        listed = [column if isinstance(column, list) else column.tolist() for column in columns.values()]
        rows = zip(*listed, strict=True) if listed else iter([()] * len(points))
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        if not self.conditional:
            return found
        flags = active.tolist()
        return [
            {name: value for (name, value), is_active in zip(one.items(), row, strict=True) if is_active}
            for one, row in zip(found, flags, strict=True)
        ]

    def encode(self, values: Values) -> Floats:
        """Turn values back into points; the inverse of `decode` and of `mapping`.

        Parameters
        ----------
        values : mapping
            By name, a value each; or a column each, a list or an array of n values. All names of the
            space, and no others. What is not active may be left out, or be None, NaN or the default.

        Returns
        -------
        points : array, shape (d,) or (n, d)
            One point for single values, n points for columns. Decoded again, it is the same value:
            exactly for `Int`, `Choice` and `Bool`, within float error for `Real`. Settled.

        Raises
        ------
        ParameterError
            A name is missing or unknown, columns differ in length, a value is out of range, or one is given
            where its parameter is not active.
        """
        self._check_names(values)
        single = not any(is_column(value) for value in values.values())
        columns = {
            n: [values[n]] if single else one_column(n, values[n]) for n in self._parameters if n in values
        }
        n = length(columns)
        points = np.empty((n, self.dimension)) if self._default is None else np.tile(self._default, (n, 1))
        active: Flags = np.ones(points.shape, dtype=np.bool_)
        held: Held = {}
        for j, (name, parameter) in enumerate(self._parameters.items()):
            if name in self.conditional:  # those that it depends on come before
                self._activity.of_child(j, points, active, held)
                points[active[:, j], j] = encode_active(name, parameter, columns.get(name), active[:, j])
            else:
                points[:, j] = parameter.encode(columns[name], name)
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
        entries = data.get("parameters") if isinstance(data, Mapping) else data
        if not isinstance(entries, list):
            raise ParameterError("parameters", entries, "must be a list with an object for each parameter")
        pairs = [parameter_from_json(entry) for entry in entries]
        parameters = dict(pairs)
        if len(parameters) < len(pairs):
            raise ParameterError("parameters", [name for name, _ in pairs], "must not name one twice")
        return cls(parameters)

    def _default_point(self) -> Floats:
        encoded = [p.encode([p.initial], name)[0] for name, p in self._parameters.items()]
        return np.array(encoded, dtype=np.float64)

    def _decoded(self, points: Floats) -> tuple[dict[str, Column], Flags]:
        """Return columns, and what is active; of a space without conditions nothing is looked at for that."""
        # Contiguous columns: one point alone and the same point in a block take the same path in NumPy.
        columns = np.ascontiguousarray(points.T)
        found = {name: p.decode(columns[j]) for j, (name, p) in enumerate(self._parameters.items())}
        if not self.conditional:
            return found, np.ones((0, 0), dtype=np.bool_)
        active = self._activity.of_points(points)
        for j, name in enumerate(found):
            if name in self.conditional:
                found[name] = with_default(found[name], active[:, j], self._parameters[name].initial)
        return found, active

    def _checked(self, points: Floats) -> Floats:
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dimension:
            raise ParameterError("points.shape", points.shape, f"must be (n, {self.dimension})")
        self._check_cube(points)
        return points

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
            if name not in values and name not in self.conditional:
                raise ParameterError(name, None, "is missing")
