"""Random search: points of a search space, or the rows of a table in a random order."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hbsim.core.numbers import whole
from hbsim.core.space import Space
from hbsim.core.streams import BLOCK, Purpose, block_generator, in_blocks
from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Floats, Ints, NonLearningSearcher, Searcher
from hbsim.searchers.task import Constraint, SearchTask

TRIES: Final = 1000  # rejected draws for a trial until the constraint counts as impossible


class RandomSearcher(NonLearningSearcher):
    """Independent, uniform points of the unit cube (Bergstra and Bengio, JMLR 2012).

    The i-th configuration depends on the seed, on i, on the constraint and on the dimension of the space,
    and on nothing else: neither on the sizes of requests, nor on observed values.

    Parameters
    ----------
    space : Space
        The search space.
    seed : int
        0 or more.
    constraint : callable, optional
        Given a configuration, a dict by name; returns whether it may be tried. What it rejects is drawn
        again, for this trial alone.

    Raises
    ------
    ParameterError
        The space is no `Space`, or the seed is no whole number of 0 or more.
    """

    name = "random"

    def __init__(self, space: Space, seed: int, constraint: Constraint | None = None) -> None:
        if not isinstance(space, Space):
            raise ParameterError("space", space, "must be a Space")
        self.space = space
        self.seed = whole("seed", seed, 0)
        self._task = SearchTask(space, self.seed, constraint=constraint)
        self._number = -1  # of the block at hand
        self._block: Floats = np.empty((0, 0))

    def suggest(self, n: int) -> Floats:
        """Return the next n configurations.

        Parameters
        ----------
        n : int
            0 or more.

        Returns
        -------
        points : array, shape (n, d)
            Points of the unit cube, in [0, 1).

        Raises
        ------
        ParameterError
            The constraint rejects a thousand in a row, or does not answer with True or False.
        """
        points = self.points(self._next, whole("n", n, 0))
        self._next += n
        return points

    def points(self, first: int, n: int) -> Floats:
        """Return the configurations of n trials from `first` on, shape (n, d)."""
        points = np.empty((n, self.space.dimension))
        for number, part, place in in_blocks(first, n, BLOCK):
            points[place] = self._draw(number)[part]
        if self._task.constraint is not None:
            self._redraw(points, first)
        return points

    def _draw(self, number: int) -> Floats:
        if number != self._number:
            generator = block_generator(self.seed, Purpose.POINTS, number)
            self._block = self.space.sample(BLOCK, generator)
            self._number = number
        return self._block

    def _redraw(self, points: Floats, first: int) -> None:
        """Replace points that the constraint rejects, each by a later draw for its trial that it allows."""
        for place in np.flatnonzero(~self._task.allows(points)):
            draws = block_generator(self.seed, Purpose.REDRAWS, first + int(place))
            for _ in range(TRIES):
                point = self.space.sample(1, draws)
                if self._task.allows(point)[0]:
                    points[place] = point[0]
                    break
            else:
                rule = f"rejected {TRIES} random configurations in a row; is there any that it allows?"
                raise ParameterError("search_options.constraints", self._task.rule, rule)


class RowSearcher(NonLearningSearcher):
    """Row numbers in a seeded order; each once, then, if allowed, each again in another order.

    The i-th row depends on the seed, on i, on the number of rows and on which are left out, and on nothing
    else.

    Parameters
    ----------
    rows : int
        How many rows the table has, 1 or more.
    seed : int
        0 or more.
    replace : bool
        Whether rows come again once all were used, each time in an independent order.
    allowed : bool array, shape (rows,), optional
        Which rows there are, one or more; the others are left out, and the order of the rest stays as it was.

    Raises
    ------
    ParameterError
        A parameter breaks these rules.
    """

    name = "random"

    def __init__(
        self, rows: int, seed: int, replace: bool = False, allowed: NDArray[np.bool_] | None = None
    ) -> None:
        if not isinstance(rows, int | np.integer) or isinstance(rows, bool) or rows < 1:
            raise ParameterError("rows", rows, "must be a whole number, 1 or more")
        if not isinstance(replace, bool):
            raise ParameterError("replace", replace, "must be True or False")
        self.rows = int(rows)
        self._present = np.ones(self.rows, dtype=np.bool_) if allowed is None else allowed.copy()
        if self._present.shape != (self.rows,) or not self._present.any():
            raise ParameterError(
                "allowed", allowed, f"must have the shape ({self.rows},), and be True somewhere"
            )
        self._count = int(self._present.sum())  # of rows that are present
        self._before = 0  # trials that had rows before all others
        self.seed = whole("seed", seed, 0)
        self.replace = replace
        self._orders = max(1, BLOCK // self.rows)  # in a block; a table may be tiny
        self._number = -1  # of the block at hand
        self._block: Ints = np.empty(0, dtype=np.int64)

    @property
    def remaining(self) -> int | None:
        """How many more configurations there are; None: any number."""
        return None if self.replace else self._count - self._next

    def suggest(self, n: int) -> Ints:
        """Return the next n row numbers.

        Parameters
        ----------
        n : int
            0 or more.

        Returns
        -------
        rows : array of int64, shape (n,)
            From 0 to rows - 1.

        Raises
        ------
        ParameterError
            Not so many rows are left, and `replace` is False. Nothing was handed out then.
        """
        needed = self._next + whole("n", n, 0)
        if not self.replace and needed > self._count:
            raise too_few_rows(self._count + self._before, needed + self._before)
        rows = self.rows_of(self._next, n)
        self._next = needed
        return rows

    def rows_of(self, first: int, n: int) -> Ints:
        """Return the rows of n trials from `first` on, shape (n,)."""
        rows = np.empty(n, dtype=np.int64)
        for number, part, place in in_blocks(first, n, self._orders * self._count):
            rows[place] = self._draw(number)[part]
        return rows

    def leave_out(self, rows: Ints) -> None:
        """Suggest none of these rows, which were given before all others; no effect with `replace`."""
        if not self.replace:
            self._before += len(rows)
            self._present[rows] = False
            self._count = int(self._present.sum())
            self._number = -1

    def _draw(self, number: int) -> Ints:
        if number != self._number:
            # Sorted draws, not `permutation`: its algorithm may change between versions of NumPy.
            draws = block_generator(self.seed, Purpose.ROWS, number).random((self._orders, self.rows))
            orders = np.argsort(draws, axis=1, kind="stable").astype(np.int64).ravel()
            self._block = orders[self._present[orders]]
            self._number = number
        return self._block


def allowed_rows(task: SearchTask) -> NDArray[np.bool_]:
    """Return which rows of a table the constraint allows, shape (rows,).

    Raises
    ------
    ParameterError
        It allows none, or the hyperparameters of the rows are not known.
    """
    assert task.rows is not None
    if task.constraint is None:
        return np.ones(task.rows, dtype=np.bool_)
    field = "search_options.constraints"
    if task.points is None:
        rule = (
            "needs configurations by name: the learning curves do not give the hyperparameters of their rows"
        )
        raise ParameterError(field, task.rule, rule)
    allowed = task.allows(task.points)
    if not allowed.any():
        raise ParameterError(field, task.rule, f"rejects all {task.rows:,} rows of the table")
    return allowed


def too_few_rows(rows: int, trials: int) -> ParameterError:
    """Return the error of a table that has fewer rows, of those allowed, than there are trials."""
    rule = f"the table has {rows} rows, one for each trial: run at most {rows} trials, "
    rule += "set replace=True (rows again, in a seeded order), or use a fitted surrogate"
    return ParameterError("num_trials", trials, rule)


def make_random(task: SearchTask) -> Searcher:
    """Make a random searcher: of rows where the task has rows.

    Raises
    ------
    ParameterError
        There are neither rows nor a space, or the constraint allows no row.
    """
    if task.rows is not None:
        allowed = None if task.constraint is None else allowed_rows(task)
        return RowSearcher(task.rows, task.seed, task.replace, allowed)
    if task.space is None:
        raise ParameterError("space", None, "a search space is needed where a surrogate has no rows")
    return RandomSearcher(task.space, task.seed, task.constraint)
