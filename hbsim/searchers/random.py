"""Random search over a search space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.core.streams import BLOCK, Purpose, block_generator, check_count, check_seed
from hbsim.errors import ParameterError

__all__ = ["RandomSearcher"]


class RandomSearcher:
    """Independent, uniform points of the unit cube (Bergstra and Bengio, JMLR 2012).

    The i-th configuration depends on the seed, on i and on the dimension of the space, and on nothing
    else: neither on the sizes in which configurations are asked for, nor on what was observed.

    Parameters
    ----------
    space : Space
        The search space.
    seed : int
        0 or more.

    Raises
    ------
    ParameterError
        The space is no `Space`, or the seed is no whole number of 0 or more.
    """

    model_based: bool = False
    listens: bool = False

    def __init__(self, space: Space, seed: int) -> None:
        if not isinstance(space, Space):
            raise ParameterError("space", space, "must be a Space")
        self.space = space
        self.seed = check_seed(seed)
        self._next = 0
        self._number = -1  # of the block at hand
        self._block: NDArray[np.float64] = np.empty((0, 0))

    @property
    def remaining(self) -> int | None:
        """How many more configurations there are: None, any number."""
        return None

    def suggest(self, n: int) -> NDArray[np.float64]:
        """Return the next n configurations.

        Parameters
        ----------
        n : int
            0 or more.

        Returns
        -------
        points : array, shape (n, d)
            Points of the unit cube, in [0, 1).
        """
        points = np.empty((check_count(n), self.space.dimension))
        done = 0
        while done < n:
            number, start = divmod(self._next + done, BLOCK)
            count = min(BLOCK - start, n - done)
            points[done : done + count] = self._draw(number)[start : start + count]
            done += count
        self._next += done
        return points

    def resume(self, configurations: NDArray[np.float64] | NDArray[np.int64]) -> None:
        """Go on after configurations that were suggested before a restart."""
        self._next += len(configurations)

    def on_start(self, trial: int, level: float) -> None:
        """Take no notice."""

    def on_report(self, trial: int, level: float, value: float | None) -> None:
        """Take no notice."""

    def on_end(self, trial: int) -> None:
        """Take no notice."""

    def _draw(self, number: int) -> NDArray[np.float64]:
        if number != self._number:
            generator = block_generator(self.seed, Purpose.POINTS, number)
            self._block = self.space.sample(BLOCK, generator)
            self._number = number
        return self._block
