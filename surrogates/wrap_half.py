"""One half of a table's rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError
from hbsim.surrogates.options import check_number
from hbsim.surrogates.protocol import Floats, Ints, check_rows
from hbsim.surrogates.wrapper import Wrapper, check_seed

__all__ = ["Half"]


class Half(Wrapper):
    """A random half of the rows, as if no other had been recorded; the optimum stays that of all rows.

    A split is two halves that share no row. Which rows they have depends on the number of rows and the
    split only. Of an odd number one row, another one in each split, is in neither half. Rows keep their
    order and are numbered anew.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes; it must have rows, at least 2.
    split : int
        Which split.
    part : 0 or 1
        Which of its halves.

    Attributes
    ----------
    chosen : array of int, shape (rows,)
        The rows within that it has, ascending.

    Raises
    ------
    ParameterError
        A parameter breaks its rule, or the surrogate has no rows, or a single one.
    """

    def __init__(self, surrogate: object, *, split: int = 0, part: int = 0) -> None:
        super().__init__(surrogate, "half", {"split": split, "part": part})
        if self.wrapped.rows is None or self.wrapped.rows < 2:
            rule = f"has {self.wrapped.rows or 'no'} rows: two halves need at least 2"
            raise ParameterError("surrogate", self.wrapped.name, rule)
        self.split = check_seed(split, "split")
        self.part = int(check_number("part", part, low=0, high=1, whole=True))
        self.rows = self.wrapped.rows // 2
        # Sorted draws, not `permutation`: its algorithm may change between versions of NumPy.
        draws = block_generator(self.split, Purpose.HALVES, self.wrapped.rows).random(self.wrapped.rows)
        order = np.argsort(draws, kind="stable")
        self.chosen: Ints = np.sort(order[self.part * self.rows :][: self.rows]).astype(np.int64)
        self.best_configuration = None  # its number is another one here

    @property
    def points(self) -> Floats | None:
        """The rows of this half as points of the unit cube, shape (rows, d); None where unknown."""
        points = super().points
        return None if points is None else points[self.chosen]

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds of rows of this half, shapes (n, m)."""
        return self.wrapped.evaluate(self._within(configurations), levels)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric of rows of this half, shape (n,), None where there is none."""
        return self.wrapped.test_values(self._within(configurations), level)

    def _text(self, word: str, options: Mapping[str, object]) -> str:
        return f"{word}={options['split']},{options['part']}"

    def _within(self, configurations: Floats | Ints) -> Ints:
        rows: Ints = self.chosen[check_rows(configurations, len(self.chosen))]
        return rows
