"""What a driver asks of a searcher, and what it tells it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Searcher"]


class Searcher(Protocol):
    """Chooses configurations. The driver asks once for each new trial, in the order of trial numbers.

    Attributes
    ----------
    model_based : bool
        Whether suggestions depend on what was observed. Where they do not, trial i has the same
        configuration under every scheduler, and drivers may ask for large blocks ahead.
    listens : bool
        Whether it wants to be told of starts, reports and ends.
    """

    model_based: bool
    listens: bool

    def suggest(self, n: int) -> NDArray[np.float64] | NDArray[np.int64]:
        """Return the next n configurations.

        Parameters
        ----------
        n : int
            0 or more. The i-th configuration of all is that of trial i.

        Returns
        -------
        configurations : array
            Float, shape (n, d), points of the unit cube of the space; or int64, shape (n,), rows of a
            table.

        Raises
        ------
        ParameterError
            There are not so many configurations left.
        """
        ...

    def resume(self, configurations: NDArray[np.float64] | NDArray[np.int64]) -> None:
        """Go on after these configurations, in this order: it suggested them before a restart.

        Called as often as there is something to go on after; what was observed of the trials is told between,
        by `on_start`, `on_report` and `on_end`, in the order in which it happened.
        """
        ...

    def on_start(self, trial: int, level: float) -> None:
        """Trial `trial` trains towards `level`: a pending evaluation."""
        ...

    def on_report(self, trial: int, level: float, value: float | None) -> None:
        """Trial `trial` has the metric `value` at `level`."""
        ...

    def on_end(self, trial: int) -> None:
        """Trial `trial` is no longer running: it completed, stopped, paused or failed for good."""
        ...
