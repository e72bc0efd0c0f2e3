"""The decisions of a study, a row a milestone."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Decisions"]


class Decisions:
    """Columns that grow by a row a decision; 36 bytes each."""

    def __init__(self) -> None:
        self.time = array("d")
        self.trial = array("i")
        self.level = array("H")  # an index in the scheduler's levels
        self.value = array("d")
        self.n_before = array("i")
        self.cutoff = array("d")
        self.verdict = array("B")  # an index in VERDICTS

    def add(
        self,
        time: float,
        trial: int,
        level: int,
        value: float,
        n_before: int,
        cutoff: float | None,
        verdict: int,
    ) -> None:
        """Append a row; NaN for no value, None for no cutoff."""
        self.time.append(time)
        self.trial.append(trial)
        self.level.append(level)
        self.value.append(value)
        self.n_before.append(n_before)
        self.cutoff.append(nan if cutoff is None else cutoff)
        self.verdict.append(verdict)

    def __len__(self) -> int:
        return len(self.time)

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

        from hbsim.history.columns import numbers, verdicts

        trial = np.array(self.trial)
        return pl.DataFrame(
            {
                "time": np.array(self.time),
                "trial": trial.astype(np.int64),
                "bracket": np.array(brackets, dtype=np.int64)[trial],
                "level": np.array(levels, dtype=np.float64)[np.array(self.level)],
                "value": numbers(self.value),
                "n_before": np.array(self.n_before).astype(np.int64),
                "cutoff": numbers(self.cutoff),
                "verdict": verdicts(self.verdict),
            }
        )
