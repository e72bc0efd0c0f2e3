"""What a searcher searches over, and for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Floats

__all__ = ["Constraint", "Task"]

Constraint = Callable[[Mapping[str, object]], bool]


@dataclass(frozen=True, slots=True)
class Task:
    """A search space or the rows of a table, a seed and a direction.

    Attributes
    ----------
    space : Space or None
        The search space; None where the configurations have no names.
    seed : int
        Of the study.
    rows : int or None
        How many configurations a table has; None: any point of the space.
    points : array, shape (rows, d), or None
        The rows as points of the unit cube, where a table has a space.
    replace : bool
        Whether rows may come again.
    mode : "max" or "min"
        What is better.
    max_t : float or None
        R; None where nobody said.
    constraint : callable, optional
        Given a configuration, a dict by name of what is active; returns whether it may be tried.
    """

    space: Space | None
    seed: int
    rows: int | None = None
    points: Floats | None = None
    replace: bool = False
    mode: Mode = "max"
    max_t: float | None = None
    constraint: Constraint | None = None

    @property
    def rule(self) -> str | None:
        """What the constraint is called, for errors."""
        return None if self.constraint is None else getattr(self.constraint, "__qualname__", "constraint")

    def allows(self, points: Floats) -> NDArray[np.bool_]:
        """Return which points may be tried, shape (n,), of points of the unit cube, shape (n, d).

        Raises
        ------
        ParameterError
            The constraint raises, or returns neither True nor False.
        """
        if self.constraint is None or self.space is None:
            return np.ones(len(points), dtype=np.bool_)
        return np.array([self._allowed(one) for one in self.space.mappings(points)], dtype=np.bool_)

    def _allowed(self, configuration: Mapping[str, object]) -> bool:
        assert self.constraint is not None
        try:
            allowed = self.constraint(configuration)
        except Exception as error:
            rule = f"raised {type(error).__name__}: {error}, for {dict(configuration)!r}"
            raise ParameterError("search_options.constraints", self.rule, rule) from error
        if not isinstance(allowed, bool | np.bool_):
            rule = f"must return True or False; for {dict(configuration)!r} it returns {allowed!r}"
            raise ParameterError("search_options.constraints", self.rule, rule)
        return bool(allowed)
