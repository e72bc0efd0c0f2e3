"""What every parameter of a search space is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space.checks import Floats, Given
from hbsim.core.space.when import Conditions, When, conditions_of

__all__ = ["Column", "Parameter", "assign"]

Column: TypeAlias = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.bool_] | list[object]


@dataclass(frozen=True, repr=False)
class Parameter(ABC):
    """One dimension of a search space: a set of values, each with its share of [0, 1].

    Parameters
    ----------
    when : mapping of str to value, optional
        Where it counts: by the name of a parameter before it, one of its values or a list of them.
        Elsewhere it is not active, and nobody chooses it.
    """

    when: When = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        assign(self, when=conditions_of(self.when))

    def __repr__(self) -> str:
        names = [one.name for one in fields(self) if one.name != "when"]
        words = [f"{name}={getattr(self, name)!r}" for name in names]
        return f"{type(self).__name__}({', '.join(words + self._when_words())})"

    @property
    def conditions(self) -> Conditions:
        """What `when` says, by name in alphabetical order."""
        assert isinstance(self.when, tuple)
        return self.when

    def under(self, when: When) -> Self:
        """Return the same parameter with these conditions, and no others.

        Raises
        ------
        ParameterError
            They are no conditions.
        """
        changed = copy(self)
        assign(changed, when=conditions_of(when))
        return changed

    def _when_words(self) -> list[str]:
        if not self.conditions:
            return []
        one = {name: len(v) == 1 and not isinstance(v[0], tuple) for name, v in self.conditions}
        shown = {name: v[0] if one[name] else list(v) for name, v in self.conditions}
        return [f"when={shown!r}"]

    @property
    @abstractmethod
    def initial(self) -> object:
        """The default, as a plain Python value."""

    @abstractmethod
    def decode(self, unit: Floats) -> Column:
        """Map coordinates in [0, 1], shape (n,), to n values."""

    @abstractmethod
    def encode(self, values: Given, field: str) -> Floats:
        """Map n values to coordinates in [0, 1], shape (n,).

        Raises
        ------
        ParameterError
            A value is none of the parameter's; `field` is what the error calls it.
        """


def assign(parameter: Parameter, **fields: object) -> None:
    """Set fields of a frozen parameter while it is made: it normalises them once."""
    for name, value in fields.items():
        object.__setattr__(parameter, name, value)
