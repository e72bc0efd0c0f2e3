"""The searchers `sobol` and `lhs`: points that fill the space more evenly than random ones."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from hbsim.core.exact import whole
from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError
from hbsim.searchers.designs import make_designed
from hbsim.searchers.protocol import Floats, Searcher
from hbsim.searchers.task import Task

if TYPE_CHECKING:
    from scipy.stats.qmc import Sobol

__all__ = ["Latin", "Scrambled", "Sequence", "make_lhs", "make_sobol"]

SOBOL_BLOCK: Final = 1024
SOBOL_MOST: Final = 2**30  # points, of 30 bits
SOBOL_DIMENSIONS: Final = 21_201  # of Joe and Kuo's direction numbers
SIZE: Final = 64  # of a Latin hypercube


class Sequence(Protocol):
    """An endless row of points, block by block.

    Attributes
    ----------
    size : int
        How many points a block has.
    """

    size: int

    def block(self, number: int) -> Floats:
        """Return a block, shape (size, d), of points in [0, 1): the same whatever was asked before."""
        ...


class Scrambled:
    """A scrambled Sobol sequence (Sobol 1967; Joe and Kuo 2008; Matousek's scrambling), by SciPy.

    Parameters
    ----------
    dimension : int
        Of the points.
    seed : int
        Of the scrambling.
    """

    size = SOBOL_BLOCK

    def __init__(self, dimension: int, seed: int) -> None:
        self._dimension, self._seed = dimension, seed
        self._engine: Sobol | None = None

    def block(self, number: int) -> Floats:
        """Return a block; 2**30 points are the most.

        Raises
        ------
        ParameterError
            It lies beyond.
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


class Latin:
    """Latin hypercubes (McKay, Beckman and Conover, Technometrics 1979), one after the other.

    Along each coordinate each of `size` equal intervals has one of the `size` points of a block.

    Parameters
    ----------
    dimension : int
        Of the points.
    seed : int
        Of all of them.
    size : int
        How many points each has.
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


def make_sobol(task: Task) -> Searcher:
    """Make the searcher `sobol`; of a table it takes the rows that are nearest to the points.

    Raises
    ------
    ParameterError
        The task has no space, one of too many parameters, or rows without points.
    """
    if (dimension := _dimension(task)) > SOBOL_DIMENSIONS:
        rule = f"takes at most {SOBOL_DIMENSIONS:,} parameters, and the search space has {dimension:,}"
        raise ParameterError("searcher", "sobol", rule)
    return make_designed("sobol", task, Scrambled(dimension, task.seed))


def make_lhs(task: Task, *, size: int = SIZE) -> Searcher:
    """Make the searcher `lhs`; of a table it takes the rows that are nearest to the points.

    Parameters
    ----------
    task : Task
        With a space.
    size : int
        How many points a Latin hypercube has, 2 or more; after so many trials another one begins.

    Raises
    ------
    ParameterError
        The task has no space, or rows without points, or the size breaks its rule.
    """
    return make_designed(
        "lhs", task, Latin(_dimension(task), task.seed, whole("search_options.size", size, 2))
    )


def _dimension(task: Task) -> int:
    return 0 if task.space is None else task.space.dimension
