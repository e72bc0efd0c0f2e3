"""From the compact columns that grow during a study to those that people read."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["CENSORED", "FAILED", "numbers", "verdicts"]

# After the indices in `hbsim.core.scheduler.VERDICTS`: what jobs may also end in.
FAILED: Final = 5
CENSORED: Final = 6
NAMES: Final = ("continue", "pause", "stop", "complete", "retry", "failed", "censored")


def numbers(column: array[float] | Sequence[float] | NDArray[np.float64]) -> pl.Series:
    """Return floats, null where they are NaN; infinities stay."""
    return pl.Series(np.array(column, dtype=np.float64), nan_to_null=True)


def verdicts(column: array[int]) -> pl.Series:
    """Return the names of verdicts, strings."""
    categories = pl.Series(NAMES, dtype=pl.String)
    return categories.gather(np.array(column, dtype=np.uint32))
