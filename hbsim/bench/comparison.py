"""What came out of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hbsim.bench.anytime import Curve, anytime
from hbsim.bench.cells import SUMMARY, Cell
from hbsim.bench.plan import Plan
from hbsim.bench.scores import Budget, Score, budgets, column, measure, score
from hbsim.errors import ParameterError
from hbsim.surrogates import Surrogate

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Comparison", "Row"]


@dataclass(frozen=True)
class Row:
    """A variant in a line.

    Attributes
    ----------
    label : str
        The variant.
    at_time, at_resource : Score
        Its scores at equal simulated time, and at equal resource.
    value, test : float
        The mean at equal time, over seeds, of the incumbent's value at R, and of its held-out value; NaN
        where a seed has none.
    means : dict
        The mean over seeds of each number of `SUMMARY`; NaN for none.
    """

    label: str
    at_time: Score
    at_resource: Score
    value: float
    test: float
    means: dict[str, float]


class Comparison:
    """Variants against each other, over seeds that all of them have.

    Parameters
    ----------
    plan : Plan
        What was to be compared.
    surrogate : Surrogate
        The learning curves.
    cells : sequence of Cell
        What was finished, in any order.

    Attributes
    ----------
    seeds : tuple of int
        The seeds that are finished for all variants: the comparison is over these.
    cells : tuple of Cell
        Theirs, seed by seed.
    complete : bool
        Whether these are all that were planned.
    what : "regret" or "value"
        What is scored: the incumbent's regret at R, or its value where the optimum is unknown.
    time, resource : Budget
        Where the variants are held against each other.

    Raises
    ------
    ParameterError
        No seed is finished for all variants.
    """

    def __init__(self, plan: Plan, surrogate: Surrogate, cells: Sequence[Cell]) -> None:
        self.plan = plan
        self.surrogate = surrogate
        finished = {(cell.variant, cell.seed): cell for cell in cells}
        indices = range(len(plan.variants))
        self.seeds = tuple(s for s in plan.seeds if all((v, s) in finished for v in indices))
        if not self.seeds:
            raise ParameterError("cells", len(cells), "no seed is finished for all variants")
        self.cells = tuple(finished[v, s] for s in self.seeds for v in indices)
        self.complete = len(self.seeds) == len(plan.seeds)
        self.variants = [[finished[v, s] for s in self.seeds] for v in indices]
        self.what = measure(self.cells)
        self.time, self.resource = budgets(self.cells, plan.max_time)

    @cached_property
    def rows(self) -> list[Row]:
        """A row a variant, by rank at equal time, then at equal resource."""
        mode = self.surrogate.mode
        at_time = score(self.variants, self.time, self.what, mode)
        at_resource = score(self.variants, self.resource, self.what, mode)
        rows = [
            Row(
                variant.label,
                at_time[index],
                at_resource[index],
                float(column(self.variants[index], self.time, "value").mean()),
                float(column(self.variants[index], self.time, "test").mean()),
                {name: _mean(self.variants[index], name) for name in SUMMARY},
            )
            for index, variant in enumerate(self.plan.variants)
        ]
        return sorted(rows, key=lambda row: (row.at_time.rank, row.at_resource.rank))

    @cached_property
    def curves(self) -> list[Curve]:
        """The anytime curves, over time and then over resource."""
        return [
            *anytime(self.variants, self.time, self.what),
            *anytime(self.variants, self.resource, self.what),
        ]

    @property
    def notes(self) -> list[str]:
        """What a reader of the table should know, in a line each."""
        from hbsim.bench.notes import notes

        return notes(self)

    @cached_property
    def table(self) -> pl.DataFrame:
        """A row a variant, by rank, in numbers: as `hbsim.bench.frames.variants` says."""
        from hbsim.bench import frames

        return frames.variants(self)

    def budget_text(self, budget: Budget) -> str:
        """Say which study set a budget, if one did."""
        if budget.cell is None:
            return "as given"
        return f"the least of all: {self.plan.variants[budget.cell.variant].label}, seed {budget.cell.seed}"


def _mean(cells: Sequence[Cell], name: str) -> float:
    return math.fsum(cell.summary[name] for cell in cells) / len(cells)
