"""Random search over a search space."""

from __future__ import annotations

from typing import Final

import numpy as np

from hbsim.core.space import Space
from hbsim.core.streams import BLOCK, Purpose, block_generator, check_count, check_seed
from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Configurations, Floats
from hbsim.searchers.task import Constraint, Task
from hbsim.searchers.untold import Untold

__all__ = ["RandomSearcher"]

TRIES: Final = 1000  # draws for a trial until it is held that the constraint allows nothing


class RandomSearcher(Untold):
    """Independent, uniform points of the unit cube (Bergstra and Bengio, JMLR 2012).

    The i-th configuration depends on the seed, on i, on the constraint and on the dimension of the space,
    and on nothing else: neither on the sizes in which configurations are asked for, nor on what was observed.

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
        self.seed = check_seed(seed)
        self._task = Task(space, self.seed, constraint=constraint)
        self._next = 0
        self._number = -1  # of the block at hand
        self._block: Floats = np.empty((0, 0))

    @property
    def remaining(self) -> int | None:
        """How many more configurations there are: None, any number."""
        return None

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
        points = self.points(self._next, check_count(n))
        self._next += n
        return points

    def points(self, first: int, n: int) -> Floats:
        """Return the configurations of n trials from `first` on, shape (n, d)."""
        points = np.empty((n, self.space.dimension))
        done = 0
        while done < n:
            number, start = divmod(first + done, BLOCK)
            count = min(BLOCK - start, n - done)
            points[done : done + count] = self._draw(number)[start : start + count]
            done += count
        if self._task.constraint is not None:
            self._redraw(points, first)
        return points

    def resume(self, configurations: Configurations) -> None:
        """Go on after configurations that were suggested before a restart."""
        self._next += len(configurations)

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
