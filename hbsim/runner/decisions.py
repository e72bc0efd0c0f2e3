"""The decisions of a study, a row a milestone."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Decisions"]

# time, trial, index of the level, value, n_before, cutoff, index of the verdict
ROW: Final = struct.Struct("<diHdidB")
NAMES: Final = ("time", "trial", "at", "value", "n_before", "cutoff", "verdict")
TYPES: Final = ("<f8", "<i4", "<u2", "<f8", "<i4", "<f8", "u1")


class Decisions:
    """Rows packed one after the other, 35 bytes each: a study may have millions."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def add(
        self, time: float, trial: int, at: int, value: float, n_before: int, cutoff: float | None, code: int
    ) -> None:
        """Append a row.

        Parameters
        ----------
        time : float
            When it was decided.
        trial, at : int
            The trial, and the index of the level in the scheduler's levels.
        value : float
            NaN for none.
        n_before, cutoff : int, float or None
            As `Milestone` has them.
        code : int
            An index in VERDICTS.
        """
        self._rows += ROW.pack(time, trial, at, value, n_before, nan if cutoff is None else cutoff, code)

    def __len__(self) -> int:
        return len(self._rows) // ROW.size

    def rows(self) -> NDArray[np.void]:
        """Return the rows in order, a structured array with the fields of `NAMES`, without a copy."""
        import numpy as np

        return np.frombuffer(self._rows, dtype=list(zip(NAMES, TYPES, strict=True)))

    def frame(self, levels: Sequence[float], brackets: Sequence[int]) -> pl.DataFrame:
        """Return the rows in order: time, trial, bracket, level, value, n_before, cutoff, verdict.

        Parameters
        ----------
        levels : sequence of float
            The scheduler's.
        brackets : sequence of int
            The bracket of each trial.
        """
        import numpy as np
        import polars as pl

        from hbsim.runner.columns import numbers, verdicts

        rows = self.rows()
        return pl.DataFrame(
            {
                "time": rows["time"],
                "trial": rows["trial"].astype(np.int64),
                "bracket": np.array(brackets, dtype=np.int64)[rows["trial"]],
                "level": np.array(levels, dtype=np.float64)[rows["at"]],
                "value": numbers(rows["value"]),
                "n_before": rows["n_before"].astype(np.int64),
                "cutoff": numbers(rows["cutoff"]),
                "verdict": verdicts(rows["verdict"]),
            }
        )
