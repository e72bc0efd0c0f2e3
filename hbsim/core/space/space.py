"""A search space: named parameters, the unit cube that stands for them, and conditions between them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space.nested import Nested, flat
from hbsim.core.space.parameters import (
    Bool,
    Choice,
    Column,
    Floats,
    Given,
    Int,
    Parameter,
    Real,
    plain,
    whole,
    words,
)
from hbsim.errors import ParameterError, nearest

Flags: TypeAlias = NDArray[np.bool_]
_Rule: TypeAlias = tuple[int, tuple[Hashable, ...]]  # a parent, and the values that it needs
Held: TypeAlias = dict[_Rule, Flags]  # where each rule holds, shape (n,), of those looked at


class Activity:
    """The conditions of all parameters of a space, checked.

    A parameter is active where each of its conditions holds: the other parameter is active, and has one of
    the values. One without conditions is always active.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        In order.

    Raises
    ------
    ParameterError
        A condition is on no parameter that comes before, or on a `Real`, or on what is none of its values.
    """

    __slots__ = ("_names", "_parameters", "_rules", "conditional")

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = list(parameters.values())
        self._names = list(parameters)
        self._rules: dict[int, list[_Rule]] = {}
        for child, (name, parameter) in enumerate(parameters.items()):
            for parent, values in parameter.conditions:
                self._check(name, child, parent, values)
                self._rules.setdefault(child, []).append((self._names.index(parent), values))
        self.conditional = frozenset(self._names[child] for child in self._rules)

    def of_points(self, points: Floats) -> Flags:
        """Return what is active, shape (n, d), at points of the unit cube of this shape."""
        active: Flags = np.ones(points.shape, dtype=np.bool_)
        held: Held = {}
        for child in self._rules:  # parents come before
            self.of_child(child, points, active, held)
        return active

    def of_child(self, child: int, points: Floats, active: Flags, held: Held) -> None:
        """Set a column of what is active, shape (n, d), where those of its parents are set.

        `held` keeps what was found out for a child; it is empty for the first.
        """
        for parent, values in self._rules[child]:
            if (parent, values) not in held:
                decoded = self._parameters[parent].decode(np.ascontiguousarray(points[:, parent]))
                listed = decoded if isinstance(decoded, list) else decoded.tolist()
                known = frozenset(values)
                held[parent, values] = np.fromiter(
                    (value in known for value in listed), np.bool_, len(listed)
                )
            active[:, child] &= held[parent, values] & active[:, parent]

    def of_values(self, name: str, values: Mapping[str, object]) -> bool:
        """Return whether a parameter is active, by the values of those before it that are."""
        rules = self._rules.get(self._names.index(name), [])
        return all(
            self._names[parent] in values and values[self._names[parent]] in held for parent, held in rules
        )

    def _check(self, name: str, child: int, parent: str, values: tuple[Hashable, ...]) -> None:
        field = f"{name}.when"
        before = self._names[:child]
        if parent not in before:
            rule = f"must be a parameter that comes before {name!r} ({', '.join(before) or 'none does'})."
            raise ParameterError(field, parent, rule + nearest(parent, before))
        found = self._parameters[self._names.index(parent)]
        if isinstance(found, Real):
            raise ParameterError(
                field, parent, "is a Real, and never has one value exactly: use Int or Choice"
            )
        found.encode(list(values), f"{field}.{parent}")


def encode_active(name: str, parameter: Parameter, column: Given | None, active: NDArray[np.bool_]) -> Floats:
    """Return the coordinates of a column's values where a parameter is active; None: the column was left out.

    Raises
    ------
    ParameterError
        A value is missing or none of the parameter's, or one is given where it is not active.
    """
    when, places = words(parameter.conditions), np.flatnonzero(active).tolist()
    if column is None:
        if places:
            raise ParameterError(name, None, f"is missing: it is active with {when}")
        return np.empty(0)
    for place in np.flatnonzero(~active).tolist():
        value = plain(column[place])
        if not (value is None or value != value or value == parameter.initial):
            rule = f"is not active here, only with {when}: leave it out, or give its default"
            raise ParameterError(name, value, f"{rule}, {parameter.initial!r}")
    return parameter.encode([plain(column[place]) for place in places], name)


def with_default(column: Column, active: NDArray[np.bool_], default: object) -> Column:
    """Return a column with a default where a parameter is not active."""
    if isinstance(column, list):
        return [value if kept else default for value, kept in zip(column, active.tolist(), strict=True)]
    changed: Column = np.where(active, column, np.array(default, dtype=column.dtype))
    return changed


def is_column(value: object) -> bool:
    """Return whether it is a column of values, not one value."""
    # A list is never a value: choices are hashable. A tuple may be one.
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def one_column(name: str, value: object) -> Given:
    """Return a column as values to encode."""
    if isinstance(value, list):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return value if value.dtype.kind in "fiu" else list(value.tolist())
    raise ParameterError(name, value, "must be a list or an array of shape (n,), like the other columns")


def length(columns: Mapping[str, Given]) -> int:
    """Return how many values each column has; 1 of no columns."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ParameterError("columns", lengths, "must have the same number of values")
    return next(iter(lengths.values()), 1)


_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "real": ("low", "high", "log", "default"),
    "int": ("low", "high", "log", "default"),
    "choice": ("choices", "default"),
    "bool": ("default",),
}


def parameter_to_json(name: str, parameter: Parameter) -> dict[str, object]:
    """Return a parameter and its name as one JSON object."""
    kind = type(parameter).__name__.lower()
    if kind == "choice":
        _check_scalars(name, parameter)
    entry = {"name": name, "type": kind} | {
        field: list(value) if isinstance(value := getattr(parameter, field), tuple) else value
        for field in _FIELDS[kind]
    }
    if parameter.conditions:
        entry["when"] = {other: list(values) for other, values in parameter.conditions}
    return entry


def parameter_from_json(entry: object) -> tuple[str, Parameter]:
    """Return name and parameter from one JSON object."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise ParameterError("parameters", entry, "each must be an object with a name")
    name, kind = str(entry["name"]), entry.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        rule = f"must be one of {', '.join(_FIELDS)}."
        raise ParameterError(f"{name}.type", kind, rule + nearest(str(kind), _FIELDS))
    fields = {field: value for field, value in entry.items() if field not in ("name", "type")}
    if set(fields) - {"when"} != set(_FIELDS[kind]):
        rule = f"a {kind} has the fields {', '.join(_FIELDS[kind])}, and may have when"
        raise ParameterError(name, fields, rule)
    try:
        return name, _build(kind, fields, _when(fields.get("when", {})))
    except ParameterError as error:
        raise ParameterError(f"{name}.{error.field}", error.value, error.rule) from None


def _when(given: object) -> Mapping[str, object]:
    if not isinstance(given, Mapping) or not all(isinstance(values, list) for values in given.values()):
        raise ParameterError("when", given, "must be an object with a list of values for each name")
    return given


def _build(kind: str, fields: Mapping[str, object], when: Mapping[str, object]) -> Parameter:
    default = fields["default"]
    if kind == "bool":
        return Bool(default=_bool("default", default), when=when)
    if kind == "choice":
        choices = fields["choices"]
        if not isinstance(choices, list):
            raise ParameterError("choices", choices, "must be a list")
        return Choice(choices, default=default, when=when)
    low, high, log = _number("low", fields), _number("high", fields), _bool("log", fields["log"])
    if kind == "real":
        return Real(low, high, log, default=_number("default", fields), when=when)
    return Int(low, high, log, default=_number("default", fields), when=when)  # type: ignore[arg-type]


def _number(field: str, fields: Mapping[str, object]) -> float:
    value = fields[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParameterError(field, value, "must be a number")
    return value


def _bool(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ParameterError(field, value, "must be true or false")
    return value


def _check_scalars(name: str, parameter: Parameter) -> None:
    assert isinstance(parameter, Choice)
    for choice in parameter.choices:
        finite = not isinstance(choice, float) or math.isfinite(choice)
        if not finite or type(choice) not in (str, int, float, bool, type(None)):
            rule = "cannot be written as JSON: a choice must be text, a finite number, a bool or None"
            raise ParameterError(name, choice, rule)


Values: TypeAlias = Mapping[str, object]


class Space:
    """Named parameters in a fixed order; a configuration is a point of the unit cube [0, 1]^d.

    A parameter with `when` is active in some configurations only. Where it is not, its value is its default,
    whatever its coordinate is, and `mapping` leaves it out.

    Parameters
    ----------
    parameters : mapping of str to Real, Int, Choice, Bool or a nested space
        Their order is the order of the coordinates. What a parameter's `when` names comes before it. A nested
        space (`List`, `Dict`, what `obj` decorates, a `Choice` of spaces) stands for the parameters inside of
        it, by names with dots.

    Raises
    ------
    ParameterError
        A name is no text or empty, a value is no parameter, or a condition names none before it, a `Real`, or
        what is none of its values.
    """

    __slots__ = ("_activity", "_default", "_parameters")

    def __init__(self, parameters: Mapping[str, Parameter | Nested]) -> None:
        if not isinstance(parameters, Mapping):
            raise ParameterError(
                "parameters", parameters, "must be a dict: a Real, Int, Choice or Bool by name"
            )
        for name, parameter in parameters.items():
            if not isinstance(name, str) or not name:
                raise ParameterError("parameters", name, "a parameter's name must be non-empty text")
            if not isinstance(parameter, Parameter | Nested):
                raise ParameterError(name, parameter, "must be a Real, Int, Choice or Bool")
        self._parameters = flat(parameters)
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
