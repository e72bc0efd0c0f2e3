"""The disk use of a study's checkpoints over time."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


class DiskUsage:
    """Adds up the sizes of checkpoints from when they are saved until they are no longer needed.

    Parameters
    ----------
    size : callable
        The GB of a trial's checkpoint.
    dropped : callable
        Returns the paused trials that can never go on, each once (`Scheduler.dropped`).
    """

    def __init__(self, size: Callable[[int], float], dropped: Callable[[], list[int]]) -> None:
        self._size = size
        self._dropped = dropped
        self._saved: dict[int, float] = {}
        self._ended: dict[int, float] = {}
        self._hopeless: dict[int, float] = {}

    def save(self, trial: int, time: float) -> None:
        """Record a checkpoint that is saved at `time`; it replaces the trial's earlier one."""
        self._saved.setdefault(trial, time)

    def end(self, trial: int, time: float, is_saving: bool) -> None:
        """Record that a trial stopped, completed or failed for good, maybe while it is saved."""
        if is_saving or trial in self._saved:
            self._ended[trial] = time

    def collect(self, time: float) -> None:
        """Record which trials can never go on."""
        for trial in self._dropped():
            self._hopeless[trial] = time

    def frame(self, until: float) -> pl.DataFrame:
        """Return time, held and collected (GB), a row whenever one of them changes, until a time.

        `held` is what the checkpoints of all trials that may be needed hold; `collected` the same without
        those of paused trials that can never go on.
        """
        import numpy as np
        import polars as pl

        trials = [trial for trial, time in self._saved.items() if time <= until]
        begin = np.array([self._saved[trial] for trial in trials], dtype=np.float64)
        end = np.array([self._ended.get(trial, inf) for trial in trials], dtype=np.float64)
        lost = np.array([self._hopeless.get(trial, inf) for trial in trials], dtype=np.float64)
        size = np.array([self._size(trial) for trial in trials], dtype=np.float64)
        end, lost = np.maximum(begin, end), np.maximum(begin, np.minimum(end, lost))
        none = np.zeros(len(trials))
        changes = pl.DataFrame(
            {
                "time": np.concatenate([begin, end, lost]),
                "held": np.concatenate([size, -size, none]),
                "collected": np.concatenate([size, none, -size]),
            }
        )
        changes = changes.filter(pl.col("time") <= until).sort("time", maintain_order=True)
        # Rounded to bytes, so that sums of floats come back to 0.
        sums = changes.with_columns(pl.col("held", "collected").cum_sum().round(9))
        rows = sums.group_by("time", maintain_order=True).last()
        held, collected = pl.col("held"), pl.col("collected")
        return rows.filter(
            (held != held.shift(1, fill_value=0.0)) | (collected != collected.shift(1, fill_value=0.0))
        )
