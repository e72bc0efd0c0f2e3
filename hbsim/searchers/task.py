"""The search task of a searcher: a space or the rows of a table, and a constraint on configurations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest
from hbsim.searchers.protocol import Floats
from hbsim.source import load_module

Constraint = Callable[[Mapping[str, object]], bool]


@dataclass(frozen=True, slots=True)
class SearchTask:
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
        R; None if unknown.
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
        """The name of the constraint, for errors."""
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

    def nearest_row(self, point: Floats, left: NDArray[np.bool_]) -> int:
        """Return the row nearest to a point of the unit cube, of those left; the lowest of equals."""
        assert self.points is not None
        distances = np.square(self.points - point).sum(axis=1)
        distances[~left] = np.inf
        return int(np.argmin(distances))

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


FIELD: Final = "search_options.constraints"


def constraint_of(given: object) -> Constraint:
    """Return a constraint: the function that was given, or the one in a file, ``FILE.py:NAME``.

    Raises
    ------
    ParameterError
        It is neither; or there is no such file, it raises, or has no such function.
    """
    if callable(given):
        return given
    if not isinstance(given, str):
        rule = "must be a function of a configuration, a dict, that returns whether it may be tried"
        raise ParameterError(FIELD, given, rule)
    file, name = split_constraint(given)
    try:
        return _loaded(str(file.resolve()), name)
    except ParameterError as error:
        raise ParameterError(FIELD, given, error.rule) from None


def split_constraint(text: str) -> tuple[Path, str]:
    """Return the file and the name of ``FILE.py:NAME``.

    Raises
    ------
    ParameterError
        It is not of this form, or there is no such file.
    """
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        raise ParameterError(FIELD, text, "must be a function, or where there is one: FILE.py:NAME")
    if not Path(path).is_file():
        raise ParameterError(FIELD, text, f"there is no file {path}")
    return Path(path), name


@functools.lru_cache(maxsize=64)  # a sweep asks for it once a study
def _loaded(file: str, name: str) -> Constraint:
    """Run a file as a module of its own, and return a function of it."""
    try:
        module = load_module("_hbsim_constraints", Path(file))
    except (Exception, SystemExit) as error:
        raise ParameterError(FIELD, file, f"the file raised {type(error).__name__}: {error}") from error
    names = [n for n, found in vars(module).items() if callable(found) and not n.startswith("_")]
    if name not in names:
        raise ParameterError(FIELD, file, f"the file has no function {name!r}.{nearest(name, names)}")
    function: Constraint = getattr(module, name)
    return function
