"""What a fit is made from: points, curves with what is not known masked, and what happened to each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.core.space import Space
from hbsim.errors import SurrogateError
from hbsim.surrogates.fit_space import encode_columns, space_of
from hbsim.surrogates.fit_warp import single
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.table import Table

__all__ = ["FitData", "collect"]

ROWS: Final = 20  # fewer say nothing about a regression
COMPLETE: Final = 5  # fewer say nothing about the last level


@dataclass(frozen=True)
class FitData:
    """Recorded curves of n configurations at T levels.

    Attributes
    ----------
    source, metric : str
        Where they are from, and what is fitted.
    levels : array, shape (T,)
        Ascending, above 0.
    space : Space
        The hyperparameters.
    points : array, shape (n, d)
        The configurations, in the unit cube of `space`.
    values : array, shape (n, T)
        The metric; NaN where it is not known, since the row had ended, or where it is no number.
    seconds : array, shape (n, T)
        Cumulative; NaN where it is not known.
    ends : array of int, shape (n,)
        How many levels each row was recorded at.
    diverged : array of int, shape (n,)
        The first of its recorded levels from which on a row has no number; T where it had them to its end.
    notes : tuple of str
        What was decided about the columns.
    """

    source: str
    metric: str
    levels: Floats
    space: Space
    points: Floats
    values: Floats
    seconds: Floats
    ends: Ints
    diverged: Ints
    notes: tuple[str, ...]

    @property
    def complete(self) -> int:
        """How many rows have a number at the last level."""
        return int(np.isfinite(self.values[:, -1]).sum())

    @property
    def ended_early(self) -> int:
        """How many rows were not recorded at the last level."""
        return int((self.ends < len(self.levels)).sum())

    def take(self, rows: Ints) -> FitData:
        """Return the same with these rows only."""
        return FitData(
            self.source,
            self.metric,
            self.levels,
            self.space,
            self.points[rows],
            self.values[rows],
            self.seconds[rows],
            self.ends[rows],
            self.diverged[rows],
            self.notes,
        )


def collect(table: Table, settled: bool) -> FitData:
    """Return what a fit is made from.

    Parameters
    ----------
    table : Table
        Where `settled` is False, one whose rows that end early were kept.
    settled : bool
        Whether somebody said what becomes of rows that end early. If not, what would have come after an
        end is unknown.

    Raises
    ------
    SurrogateError
        There is too little: rows, levels, complete curves, hyperparameters, or different values.
    """
    source, levels = table.source, np.array(table.resources, dtype=np.float64)
    values, seconds = table.evaluate(np.arange(len(table.ends)), levels)
    ends = np.full(len(values), len(levels)) if settled else table.ends
    known = np.arange(len(levels)) < ends[:, None]
    finite = np.isfinite(values) & known
    _refuse_too_little(source, table.metric, values, finite, levels)
    space, notes = _space(table)
    return FitData(
        source=source,
        metric=table.metric,
        levels=levels,
        space=space,
        points=encode_columns(source, space, table.configurations),
        values=np.where(finite, values, np.nan),
        seconds=np.where(known & (seconds > 0), seconds, np.nan),
        ends=ends,
        diverged=_divergence(finite, ends),
        notes=notes,
    )


def _divergence(finite: np.ndarray, ends: Ints) -> Ints:
    """Return for each row the first level of its tail without numbers; T where there is no such tail."""
    count = finite.shape[1]
    last = np.where(finite.any(axis=1), count - np.argmax(finite[:, ::-1], axis=1), 0)
    return np.where(last < ends, last, count)


def _refuse_too_little(source: str, metric: str, values: Floats, finite: np.ndarray, levels: Floats) -> None:
    n = len(finite)
    rows, complete = int(finite.any(axis=1).sum()), int(finite[:, -1].sum())
    if rows < ROWS:
        problem = f"{rows} of {n} rows have a value of {metric!r}"
        raise SurrogateError(source, f"{problem}; a fit needs at least {ROWS}")
    if len(levels) < 2:
        raise SurrogateError(source, f"has one level, {levels[0]:g}; a fit needs at least two")
    if complete < COMPLETE:
        problem = f"{complete} of {n} rows have a value at the last level, {levels[-1]:g}"
        rule = f"a fit needs at least {COMPLETE} that were trained to the end: late curves are not guessed"
        raise SurrogateError(source, f"{problem}; {rule}")
    if np.ptp(single(values[finite])) == 0:
        raise SurrogateError(source, f"metric {metric!r} is the same everywhere; there is nothing to fit")


def _space(table: Table) -> tuple[Space, tuple[str, ...]]:
    space, notes = space_of(table.configurations, table.hyperparameters, table.space)
    if not space.dimension:
        why = "".join(f" ({note})" for note in notes[1:])
        raise SurrogateError(table.source, f"has no hyperparameters to fit to{why}; a column each is needed")
    return space, notes
