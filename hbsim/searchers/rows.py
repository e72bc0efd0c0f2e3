"""The rows of a table of recorded runs, in a random order."""

from __future__ import annotations

import numpy as np

from hbsim.core.streams import BLOCK, Purpose, block_generator, check_count, check_seed
from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Configurations, Ints
from hbsim.searchers.untold import Untold

__all__ = ["RowSearcher"]


class RowSearcher(Untold):
    """Row numbers in a seeded order; each once, then, if allowed, each again in another order.

    The i-th row depends on the seed, on i and on the number of rows, and on nothing else.

    Parameters
    ----------
    rows : int
        How many rows the table has, 1 or more.
    seed : int
        0 or more.
    replace : bool
        Whether rows come again once all were used, each time in an independent order.

    Raises
    ------
    ParameterError
        A parameter breaks these rules.
    """

    name = "random"

    def __init__(self, rows: int, seed: int, replace: bool = False) -> None:
        if not isinstance(rows, int | np.integer) or isinstance(rows, bool) or rows < 1:
            raise ParameterError("rows", rows, "must be a whole number, 1 or more")
        if not isinstance(replace, bool):
            raise ParameterError("replace", replace, "must be True or False")
        self.rows = int(rows)
        self.seed = check_seed(seed)
        self.replace = replace
        self._next = 0
        self._orders = max(1, BLOCK // self.rows)  # in a block; a table may be tiny
        self._number = -1  # of the block at hand
        self._block: Ints = np.empty(0, dtype=np.int64)

    @property
    def remaining(self) -> int | None:
        """How many more configurations there are; None: any number."""
        return None if self.replace else self.rows - self._next

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
        needed = self._next + check_count(n)
        if not self.replace and needed > self.rows:
            rule = f"the table has {self.rows} rows, one for each trial: run at most {self.rows} trials, "
            rule += "set replace=True (rows again, in a seeded order), or use a fitted surrogate"
            raise ParameterError("num_trials", needed, rule)
        rows = self.rows_of(self._next, n)
        self._next = needed
        return rows

    def rows_of(self, first: int, n: int) -> Ints:
        """Return the rows of n trials from `first` on, shape (n,)."""
        rows = np.empty(n, dtype=np.int64)
        done = 0
        while done < n:
            number, start = divmod(first + done, self._orders * self.rows)
            count = min(self._orders * self.rows - start, n - done)
            rows[done : done + count] = self._draw(number)[start : start + count]
            done += count
        return rows

    def resume(self, configurations: Configurations) -> None:
        """Go on after rows that were suggested before a restart."""
        self._next += len(configurations)

    def _draw(self, number: int) -> Ints:
        if number != self._number:
            # Sorted draws, not `permutation`: its algorithm may change between versions of NumPy.
            draws = block_generator(self.seed, Purpose.ROWS, number).random((self._orders, self.rows))
            self._block = np.argsort(draws, axis=1, kind="stable").astype(np.int64).ravel()
            self._number = number
        return self._block
