"""What the first workers did when, in as many stretches as a page can show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from hbsim.bench.segments import OVERHEAD, segments
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["timeline"]


def timeline(result: Result, workers: int = 12, most: int = 600) -> tuple[pl.DataFrame, float | None]:
    """Return what the first workers did, until there are too many stretches of time.

    Parameters
    ----------
    result : Result
        A study.
    workers : int
        How many workers, at least 1.
    most : int
        How many stretches at most; at least as many as workers.

    Returns
    -------
    stretches : polars.DataFrame
        Columns worker, start, end (simulated seconds) and level: what was trained towards, null for start-up,
        checkpoints and waits. Ordered by worker and start; those of a worker do not overlap.
    cut : float or None
        When the stretch would start that is one too many: all ends there. None if there are no more.

    Raises
    ------
    ParameterError
        A number is too small.
    """
    if workers < 1:
        raise ParameterError("workers", workers, "must be at least 1")
    if most < workers:
        raise ParameterError("most", most, f"must be at least the number of workers, {workers}")
    parts = segments(result)
    shown = parts.worker < workers
    start, end = parts.start[shown], parts.end[shown]
    cut = None
    if len(start) > most:
        cut = float(np.partition(start, most)[most])
        end = np.minimum(end, cut)
    kept = start < end
    level = parts.level[shown][kept]
    resource = np.array(parts.levels, dtype=np.float64)[level]
    columns = {"worker": parts.worker[shown][kept], "start": start[kept], "end": end[kept]}
    towards = pl.Series(np.where(level == OVERHEAD, np.nan, resource), nan_to_null=True)
    return pl.DataFrame({**columns, "level": towards}), cut
