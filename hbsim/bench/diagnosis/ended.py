"""How every trial of a study ends at R, also those that never trained that far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hbsim.surrogates.protocol import Floats, Ints

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["Ended"]


@dataclass(frozen=True)
class Ended:
    """The n trials of a study at R.

    Attributes
    ----------
    mode : "max" or "min"
        Whether the metric is maximised or minimised.
    worth : float array, shape (n,)
        What each trial shows, or would show, at R: the metric, with the other sign if it is minimised, so
        that more is better. -inf where it is no number, which is worse than any.
    bracket : int array, shape (n,)
        Where each trial started.
    is_held : bool array, shape (n,)
        Whether a decision below R holds the trial back at the end of the study: it is stopped or paused.
    is_completed : bool array, shape (n,)
        Whether it reached R.
    incumbent : int
        The trial with the best value of all that were reported, at any level; -1 if there is none.
    """

    mode: str
    worth: Floats
    bracket: Ints
    is_held: NDArray[np.bool_]
    is_completed: NDArray[np.bool_]
    incumbent: int

    @classmethod
    def of(cls, result: Result) -> Ended:
        """Return the trials of a study at R."""
        scheduler, curves = result.scheduler, result.curves
        count, width = scheduler.started, len(scheduler.levels)
        # The engine has read every curve in full, up to R: nothing is evaluated again.
        values = np.array(curves.values, dtype=np.float64)[: count * width].reshape(count, width)[:, -1]
        signed = values if scheduler.mode == "max" else -values
        status = np.array(scheduler.trial_statuses(), dtype="U9")
        last = result.incumbent().tail(1)["trial"]
        return cls(
            scheduler.mode,
            np.where(np.isfinite(values), signed, -np.inf),
            np.array(scheduler.trial_brackets(), dtype=np.int64),
            (status == "stopped") | (status == "paused"),
            status == "completed",
            int(last[0]) if len(last) else -1,
        )

    def best(self, trials: NDArray[np.bool_]) -> float:
        """Return the most that any of these trials is worth; -inf if none has a number."""
        return float(self.worth.max(where=trials, initial=-np.inf))

    def metric(self, worth: Floats) -> Floats:
        """Return what the metric shows where a trial is worth so much; NaN for -inf."""
        signed = worth if self.mode == "max" else -worth
        return np.where(np.isfinite(worth), signed + 0.0, np.nan)  # no -0.0
