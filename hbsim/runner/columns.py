"""From the packed rows of a study to columns that people read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it starts threads, which a file that is loaded before a fork must not by touching hbsim
    import polars as pl

__all__ = ["CENSORED", "FAILED", "numbers", "verdicts"]

# After the indices in `hbsim.core.scheduler.VERDICTS`: what jobs may also end in.
FAILED: Final = 5
CENSORED: Final = 6
NAMES: Final = ("continue", "pause", "stop", "complete", "retry", "failed", "censored")


def numbers(column: NDArray[np.float64] | Sequence[float]) -> pl.Series:
    """Return floats, null where they are no numbers: NaN or infinite."""
    import polars as pl

    values = np.array(column, dtype=np.float64)
    return pl.Series(np.where(np.isfinite(values), values, np.nan), nan_to_null=True)


def verdicts(column: NDArray[np.uint8]) -> pl.Series:
    """Return the names of verdicts, strings."""
    import polars as pl

    return pl.Series(NAMES, dtype=pl.String).gather(column.astype(np.uint32))
