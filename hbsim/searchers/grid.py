"""The searcher `grid`: every combination of chosen values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Final

import numpy as np

from hbsim.core.numbers import whole
from hbsim.core.space import Bool, Choice, Int, Parameter, Real, Space
from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError, nearest
from hbsim.searchers.protocol import Floats, Ints, NonLearningSearcher
from hbsim.searchers.task import SearchTask

POINTS: Final = 5  # values of a Real, and of an Int that has more
MOST: Final = 10_000_000  # configurations of a grid
ASKED: Final = 4096  # configurations that a constraint checks at a time
FIELD: Final = "search_options.points"


class GridSearcher(NonLearningSearcher):
    """Every combination of the values of each parameter, once.

    The last parameter of the space changes fastest. Inactive parameters have no value: configurations that
    differ in these only are one. Configurations are computed when they are suggested; only a constraint,
    conditions and `shuffle` need all of them at the start.

    Parameters
    ----------
    task : SearchTask
        A task with a space, and without a table's rows.
    points : int or mapping of str to int
        The number of values of a `Real`, and the most of an `Int`, 1 or more: one number for all parameters,
        or numbers by name, and 5 for the others. Values are evenly spaced in the parameter's scale, from
        `low` to `high`; a single value is the middle. Those of an `Int` are rounded, without repetition. A
        `Choice` and a `Bool` have all their values.
    shuffle : bool
        Whether configurations come in a random order, given by the task's seed.

    Attributes
    ----------
    values : dict
        The number of values of each parameter, by name.
    size : int
        The number of combinations, including those that the constraint rejects.

    Raises
    ------
    ParameterError
        An option breaks its rule, the task has no space, or rows; the grid has more than 10 million
        configurations, or none, since the constraint rejects all of them.
    """

    name = "grid"

    def __init__(
        self, task: SearchTask, points: int | Mapping[str, int] = POINTS, shuffle: bool = False
    ) -> None:
        self.space = _space(task)
        if not isinstance(shuffle, bool):
            raise ParameterError("search_options.shuffle", shuffle, "must be True or False")
        counts = _counts(self.space, points)
        if max(counts.values()) > MOST:
            raise ParameterError(
                FIELD, points, f"makes a grid of more than {MOST:,} configurations, the most"
            )
        self._axes = [_axis(parameter, counts[name]) for name, parameter in self.space.parameters.items()]
        self.values = dict(zip(self.space, map(len, self._axes), strict=True))
        self._listed = self._list(points) if self.space.conditional else None
        self.size = math.prod(map(len, self._axes)) if self._listed is None else len(self._listed)
        self.shuffle = shuffle
        self._task = task
        if self.size > MOST:
            rule = (
                f"makes a grid of {self.size:,} configurations, and {MOST:,} are the most: give fewer points"
            )
            raise ParameterError(FIELD, points, f"{rule} ({_product(self.values)})")
        if not self.limit:
            rule = f"rejects all {self.size:,} configurations of the grid: it is empty"
            raise ParameterError("search_options.constraints", task.rule, rule)

    @property
    def limit(self) -> int:
        """The number of configurations."""
        return self.size if self._places is None else len(self._places)

    @property
    def remaining(self) -> int:
        """The number of configurations that were not suggested yet."""
        return self.limit - self._next

    @property
    def points(self) -> Floats:
        """All configurations in their order, points of the unit cube, shape (limit, d)."""
        return self._points(0, self.limit)

    def suggest(self, n: int) -> Floats:
        """Return the next n configurations, shape (n, d).

        Raises
        ------
        ParameterError
            Fewer than n are left; then none is suggested.
        """
        if whole("n", n, 0) > self.remaining:
            rule = f"the grid has {self.limit:,} configurations, one for each trial"
            raise ParameterError("num_trials", self._next + n, rule)
        found = self._points(self._next, n)
        self._next += n
        return found

    def _points(self, first: int, n: int) -> Floats:
        places = np.arange(first, first + n, dtype=np.int64)
        if self._order is not None:
            places = self._order[places]
        return self._at(places if self._places is None else self._places[places])

    def _at(self, places: Ints) -> Floats:
        """Return the points with these indices in the whole grid, in row-major order."""
        if self._listed is not None:
            listed: Floats = self._listed[places]
            return listed
        steps = np.unravel_index(places, tuple(map(len, self._axes)))
        return np.stack([axis[step] for axis, step in zip(self._axes, steps, strict=True)], axis=1)

    def _list(self, given: object) -> Floats:
        """Return the points of the whole grid of a space with conditions."""
        points = self.space.encode(self.space.defaults)[np.newaxis]
        for j, axis in enumerate(self._axes):  # the parameters that its activity depends on come before
            active = self.space.active(points)[:, j]
            counts = np.where(active, len(axis), 1)
            if counts.sum() > MOST:
                raise ParameterError(
                    FIELD, given, f"makes a grid of more than {MOST:,} configurations, the most"
                )
            points, active = np.repeat(points, counts, axis=0), np.repeat(active, counts)
            points[active, j] = np.tile(axis, int(active.sum()) // len(axis))
        return self.space.settled(points)

    @cached_property
    def _places(self) -> Ints | None:
        """The indices in the whole grid of the configurations that the constraint allows; None: all."""
        if self._task.constraint is None:
            return None
        allowed = []
        for first in range(0, self.size, ASKED):
            places = np.arange(first, min(first + ASKED, self.size), dtype=np.int64)
            allowed.append(places[self._task.allows(self._at(places))])
        return np.concatenate(allowed)

    @cached_property
    def _order(self) -> Ints | None:
        if not self.shuffle:
            return None
        # Sorted draws, not `permutation`: its algorithm may change between versions of NumPy.
        draws = block_generator(self._task.seed, Purpose.DESIGN, 0).random(self.limit)
        return np.argsort(draws, kind="stable").astype(np.int64)


def _space(task: SearchTask) -> Space:
    if task.rows is not None:
        rule = "a table's rows are its configurations: take random, which tries each of them once"
        raise ParameterError("searcher", "grid", rule)
    if task.space is None or not task.space.dimension:
        raise ParameterError("searcher", "grid", "needs a search space with a parameter")
    return task.space


def _counts(space: Space, points: object) -> dict[str, int]:
    """Return the number of values that is given for each parameter."""
    if not isinstance(points, Mapping):
        return dict.fromkeys(space, whole(FIELD, points, 1))
    for name in points:
        if name not in space:
            rule = f"{name!r} is no parameter of the space ({', '.join(space)}).{nearest(str(name), space)}"
            raise ParameterError(FIELD, dict(points), rule)
        if isinstance(space[name], Choice | Bool):
            raise ParameterError(
                f"{FIELD}.{name}", points[name], "is for numbers: a choice has all of its values"
            )
    return {name: whole(f"{FIELD}.{name}", points.get(name, POINTS), 1) for name in space}


def _axis(parameter: Parameter, count: int) -> Floats:
    """Return the coordinates of a parameter's values, ascending."""
    if isinstance(parameter, Real):
        return np.linspace(0.0, 1.0, count) if count > 1 else np.array([0.5])
    if isinstance(parameter, Choice):
        return parameter.encode(list(parameter.choices), "choices")
    if isinstance(parameter, Bool):
        return parameter.encode([False, True], "values")
    assert isinstance(parameter, Int)
    return parameter.encode(_numbers(parameter, count), "values")


def _numbers(parameter: Int, count: int) -> list[int]:
    low, high = parameter.low, parameter.high
    if high - low < count:
        return list(range(low, high + 1))
    if count == 1:
        return [_middle(parameter)]
    space = np.geomspace if parameter.log else np.linspace
    numbers = np.floor(space(low, high, count) + 0.5).astype(np.int64)
    return [int(number) for number in np.unique(np.clip(numbers, low, high))]


def _middle(parameter: Int) -> int:
    return Int(parameter.low, parameter.high, parameter.log).initial


def _product(values: Mapping[str, int]) -> str:
    return " x ".join(f"{name} {count}" for name, count in values.items())
