"""Which parameters count in which configurations."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space.checks import Floats
from hbsim.core.space.parameters import Parameter, Real
from hbsim.errors import ParameterError, nearest

__all__ = ["Activity", "Flags", "Held"]

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
