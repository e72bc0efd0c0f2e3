"""Quasi-random search, `sobol` and `lhs`: points that fill the space more evenly than random ones."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from hbsim.core.numbers import whole
from hbsim.core.space import Space
from hbsim.core.streams import Purpose, block_generator, in_blocks
from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Configurations, Floats, Ints, NonLearningSearcher, Searcher
from hbsim.searchers.random import allowed_rows, too_few_rows
from hbsim.searchers.task import SearchTask

if TYPE_CHECKING:
    from scipy.stats.qmc import Sobol

TRIES: Final = 1000  # rejected points in a row until the constraint counts as impossible
ASKED: Final = 64  # points that a constraint is asked about at a time


class PointDesign(NonLearningSearcher):
    """The points of a sequence, without those that the constraint rejects.

    The i-th configuration depends on the sequence, on i and on the constraint only.

    Parameters
    ----------
    name : str
        The searcher's name.
    task : SearchTask
        A task with a space.
    sequence : PointSequence
        The points, of the space's dimension.
    """

    def __init__(self, name: str, task: SearchTask, sequence: PointSequence) -> None:
        self.name = name
        self.space: Space = _space(name, task)
        self._task, self._sequence = task, sequence
        self._number = -1  # of the block in memory
        self._block: Floats = np.empty((0, 0))
        self._places: list[int] = []  # indices of allowed points in the sequence
        self._asked = 0
        self._rejected = 0  # consecutive points before `_asked`

    def suggest(self, n: int) -> Floats:
        """Return the next n configurations, points of the unit cube in [0, 1), shape (n, d).

        Raises
        ------
        ParameterError
            The constraint rejects a thousand consecutive points, or returns neither True nor False.
        """
        first, n = self._next, whole("n", n, 0)
        if self._task.constraint is None:
            points = self._between(first, n)
        else:
            places = self._allowed(first + n)[first:]
            points = np.array([self._between(place, 1)[0] for place in places]).reshape(
                n, self.space.dimension
            )
        self._next += n
        return points

    def _between(self, first: int, n: int) -> Floats:
        """Return n points of the sequence from `first` on, shape (n, d)."""
        points = np.empty((n, self.space.dimension))
        for number, part, place in in_blocks(first, n, self._sequence.size):
            if number != self._number:
                self._block, self._number = self._sequence.block(number), number
            points[place] = self._block[part]
        return self.space.settled(points)

    def _allowed(self, n: int) -> list[int]:
        """Return the indices in the sequence of the first n points that the constraint allows."""
        while len(self._places) < n and self._rejected < TRIES:
            for is_allowed in self._task.allows(self._between(self._asked, ASKED)):
                if is_allowed:
                    self._places.append(self._asked)
                self._rejected = 0 if is_allowed else self._rejected + 1
                self._asked += 1
                if self._rejected == TRIES:
                    break
        if len(self._places) < n:
            rule = f"rejected {TRIES} points of {self.name} in a row; is there any that it allows?"
            raise ParameterError("search_options.constraints", self._task.rule, rule)
        return self._places[:n]


class RowDesign(NonLearningSearcher):
    """The rows of a table, each the nearest to the next point of a sequence.

    Each row is suggested once; with `replace` again after all others. Rows that the constraint rejects are
    left out. The i-th row depends on the sequence, the table, i and the constraint only.

    Parameters
    ----------
    name : str
        The searcher's name.
    task : SearchTask
        A task with a space, and rows with points.
    sequence : PointSequence
        Points of the same dimension.
    """

    def __init__(self, name: str, task: SearchTask, sequence: PointSequence) -> None:
        if task.points is None or not len(task.points):
            rule = f"{name} needs the hyperparameters of the rows: the learning curves have no search space"
            raise ParameterError("searcher", name, rule)
        self.name = name
        _space(name, task)
        self._task, self._points = task, task.points
        self._sequence = PointDesign(name, SearchTask(task.space, task.seed), sequence)
        self._allowed = allowed_rows(task)
        self._used: Ints = np.zeros(len(self._points), dtype=np.int64)

    @property
    def remaining(self) -> int | None:
        """The number of rows that are left; None: any number."""
        return None if self._task.replace else int((self._allowed & (self._used == 0)).sum())

    def suggest(self, n: int) -> Ints:
        """Return the next n rows, shape (n,).

        Raises
        ------
        ParameterError
            Fewer than n rows are left, and none may be suggested again; then none is suggested.
        """
        left, n = self.remaining, whole("n", n, 0)
        if left is not None and n > left:
            raise too_few_rows(int(self._allowed.sum()), int(self._used.sum()) + n)
        return np.array([self._nearest(point) for point in self._sequence.suggest(n)], dtype=np.int64)

    def resume(self, configurations: Configurations) -> None:
        """Go on after rows that were suggested before a restart."""
        self._sequence.resume(configurations)
        np.add.at(self._used, np.asarray(configurations, dtype=np.int64), 1)

    def leave_out(self, rows: Ints) -> None:
        """Never suggest these rows, which the study tries first; no effect with `replace`."""
        if not self._task.replace:
            self._used[rows] += 1

    def _nearest(self, point: Floats) -> int:
        """Return the nearest of the rows that were suggested least often."""
        left = self._allowed & (self._used == self._used[self._allowed].min())
        row = self._task.nearest_row(point, left)
        self._used[row] += 1
        return row


def make_designed(name: str, task: SearchTask, sequence: PointSequence) -> Searcher:
    """Make a searcher of a sequence: of rows if the task has rows, else of points.

    Raises
    ------
    ParameterError
        The task has no space, or rows without points.
    """
    return PointDesign(name, task, sequence) if task.rows is None else RowDesign(name, task, sequence)


def _space(name: str, task: SearchTask) -> Space:
    if task.space is None or not task.space.dimension:
        raise ParameterError("searcher", name, "needs a search space with a parameter")
    return task.space


SOBOL_BLOCK: Final = 1024
SOBOL_MOST: Final = 2**30  # points, of 30 bits
SOBOL_DIMENSIONS: Final = 21_201  # of Joe and Kuo's direction numbers
SIZE: Final = 64  # of a Latin hypercube


class PointSequence(Protocol):
    """An infinite sequence of points, divided into blocks.

    Attributes
    ----------
    size : int
        The number of points of a block.
    """

    size: int

    def block(self, number: int) -> Floats:
        """Return a block of points in [0, 1), shape (size, d), independent of earlier calls."""
        ...


class SobolSequence:
    """A scrambled Sobol sequence (Sobol 1967; Joe and Kuo 2008; Matousek's scrambling), by SciPy.

    Parameters
    ----------
    dimension : int
        The dimension of the points.
    seed : int
        The seed of the scrambling.
    """

    size = SOBOL_BLOCK

    def __init__(self, dimension: int, seed: int) -> None:
        self._dimension, self._seed = dimension, seed
        self._engine: Sobol | None = None

    def block(self, number: int) -> Floats:
        """Return a block of points.

        Raises
        ------
        ParameterError
            The block lies beyond the last point, number 2**30.
        """
        first = number * self.size
        if first >= SOBOL_MOST:
            raise ParameterError("num_trials", first, f"the sequence has {SOBOL_MOST:,} points")
        engine = self._engine
        if engine is None or engine.num_generated > first:
            engine = self._engine = self._new()
        if first > engine.num_generated:
            engine.fast_forward(first - engine.num_generated)
        points: Floats = engine.random(self.size)
        return points

    def _new(self) -> Sobol:
        from scipy.stats.qmc import Sobol

        generator = block_generator(self._seed, Purpose.DESIGN, 0)
        word = "rng" if "rng" in inspect.signature(Sobol).parameters else "seed"  # before SciPy 1.15
        options = {word: generator}
        return Sobol(self._dimension, scramble=True, **options)


class LatinHypercubes:
    """Latin hypercubes (McKay, Beckman and Conover, Technometrics 1979), one after the other.

    Along each coordinate each of `size` equal intervals contains one of the `size` points of a hypercube.

    Parameters
    ----------
    dimension : int
        The dimension of the points.
    seed : int
        The seed of all hypercubes.
    size : int
        The number of points of each hypercube.
    """

    def __init__(self, dimension: int, seed: int, size: int) -> None:
        self.size = size
        self._dimension, self._seed = dimension, seed

    def block(self, number: int) -> Floats:
        """Return a hypercube."""
        draws = block_generator(self._seed, Purpose.DESIGN, number).random((2, self.size, self._dimension))
        intervals = np.argsort(draws[0], axis=0, kind="stable")
        points: Floats = np.minimum((intervals + draws[1]) / self.size, np.nextafter(1.0, 0.0))
        return points


def make_sobol(task: SearchTask) -> Searcher:
    """Make the searcher `sobol`; for a table it suggests the rows nearest to the points.

    Raises
    ------
    ParameterError
        The task has no space, one of too many parameters, or rows without points.
    """
    if (dimension := _dimension(task)) > SOBOL_DIMENSIONS:
        rule = f"takes at most {SOBOL_DIMENSIONS:,} parameters, and the search space has {dimension:,}"
        raise ParameterError("searcher", "sobol", rule)
    return make_designed("sobol", task, SobolSequence(dimension, task.seed))


def make_lhs(task: SearchTask, *, size: int = SIZE) -> Searcher:
    """Make the searcher `lhs`; for a table it suggests the rows nearest to the points.

    Parameters
    ----------
    task : SearchTask
        With a space.
    size : int
        The number of points of a Latin hypercube, 2 or more; then the next one begins.

    Raises
    ------
    ParameterError
        The task has no space, or rows without points, or the size breaks its rule.
    """
    return make_designed(
        "lhs", task, LatinHypercubes(_dimension(task), task.seed, whole("search_options.size", size, 2))
    )


def _dimension(task: SearchTask) -> int:
    return 0 if task.space is None else task.space.dimension
