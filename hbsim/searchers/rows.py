"""The rows of a table of recorded runs, in a random order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hbsim.core.streams import BLOCK, Purpose, block_generator, check_count, check_seed
from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Configurations, Ints
from hbsim.searchers.task import Task
from hbsim.searchers.untold import Untold

__all__ = ["RowSearcher", "allowed_rows", "too_few_rows"]


class RowSearcher(Untold):
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
        self._there = np.ones(self.rows, dtype=np.bool_) if allowed is None else allowed.copy()
        if self._there.shape != (self.rows,) or not self._there.any():
            raise ParameterError(
                "allowed", allowed, f"must have the shape ({self.rows},), and be True somewhere"
            )
        self._count = int(self._there.sum())  # of rows that are there
        self._before = 0  # trials that had rows before all others
        self.seed = check_seed(seed)
        self.replace = replace
        self._next = 0
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
        needed = self._next + check_count(n)
        if not self.replace and needed > self._count:
            raise too_few_rows(self._count + self._before, needed + self._before)
        rows = self.rows_of(self._next, n)
        self._next = needed
        return rows

    def rows_of(self, first: int, n: int) -> Ints:
        """Return the rows of n trials from `first` on, shape (n,)."""
        rows = np.empty(n, dtype=np.int64)
        done = 0
        while done < n:
            size = self._orders * self._count
            number, start = divmod(first + done, size)
            count = min(size - start, n - done)
            rows[done : done + count] = self._draw(number)[start : start + count]
            done += count
        return rows

    def resume(self, configurations: Configurations) -> None:
        """Go on after rows that were suggested before a restart."""
        self._next += len(configurations)

    def leave_out(self, rows: Ints) -> None:
        """Do not suggest rows that come before all others; of no effect where rows may come again."""
        if not self.replace:
            self._before += len(rows)
            self._there[rows] = False
            self._count = int(self._there.sum())
            self._number = -1

    def _draw(self, number: int) -> Ints:
        if number != self._number:
            # Sorted draws, not `permutation`: its algorithm may change between versions of NumPy.
            draws = block_generator(self.seed, Purpose.ROWS, number).random((self._orders, self.rows))
            orders = np.argsort(draws, axis=1, kind="stable").astype(np.int64).ravel()
            self._block = orders[self._there[orders]]
            self._number = number
        return self._block


def allowed_rows(task: Task) -> NDArray[np.bool_]:
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
