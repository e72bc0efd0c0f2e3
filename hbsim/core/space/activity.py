"""Which parameters count in which configurations."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space.checks import Floats
from hbsim.core.space.parameters import Column, Parameter, Real
from hbsim.errors import ParameterError, nearest

__all__ = ["Activity", "Flags"]

Flags: TypeAlias = NDArray[np.bool_]


class _Rule(NamedTuple):
    child: int
    parent: int
    values: frozenset[Hashable]


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
        self._rules: list[_Rule] = []
        for child, (name, parameter) in enumerate(parameters.items()):
            for parent, values in parameter.conditions:
                self._check(name, child, parent, values)
                self._rules.append(_Rule(child, self._names.index(parent), frozenset(values)))
        self.conditional = frozenset(self._names[rule.child] for rule in self._rules)

    def of_columns(self, columns: list[Column], n: int) -> Flags:
        """Return what is active, shape (n, d), by the values of all parameters, active or not."""
        active = np.ones((n, len(self._names)), dtype=np.bool_)
        for child, parent, values in self._rules:  # parents come before
            column = columns[parent]
            listed = column if isinstance(column, list) else column.tolist()
            holds = np.fromiter((value in values for value in listed), np.bool_, n)
            active[:, child] &= holds & active[:, parent]
        return active

    def of_points(self, points: Floats) -> Flags:
        """Return what is active, shape (n, d), at points of the unit cube of this shape."""
        columns: list[Column] = [[] for _ in self._names]
        for parent in {rule.parent for rule in self._rules}:
            columns[parent] = self._parameters[parent].decode(np.ascontiguousarray(points[:, parent]))
        return self.of_columns(columns, len(points))

    def of_values(self, name: str, values: Mapping[str, object]) -> bool:
        """Return whether a parameter is active, by the values of those before it that are."""
        place = self._names.index(name)
        rules = [rule for rule in self._rules if rule.child == place]
        return all(
            (parent := self._names[rule.parent]) in values and values[parent] in rule.values for rule in rules
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
