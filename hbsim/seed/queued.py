"""A searcher that hands out queued configurations first, and registers pending evaluations at max_t."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hbsim.searchers import Searcher

__all__ = ["QueuedSearcher"]


class QueuedSearcher:
    """Another searcher, behind a queue.

    Parameters
    ----------
    searcher : Searcher
        Asked once the queue is empty.
    points : sequence of list of float
        The queue: points of the unit cube.
    pending_at : float, optional
        A level at which each new trial is announced too, beside its first milestone (`maxt_pending`).
    """

    def __init__(
        self, searcher: Searcher, points: Sequence[Sequence[float]], pending_at: float | None = None
    ) -> None:
        self.model_based = searcher.model_based
        self.listens = getattr(searcher, "listens", True)
        self.name = getattr(searcher, "name", type(searcher).__name__)
        self._searcher = searcher
        self._points = [list(point) for point in points]
        self._next = 0
        self._pending_at = pending_at
        self._started = 0

    def suggest(self, n: int) -> NDArray[np.float64] | NDArray[np.int64]:
        """Return the next n configurations, queued ones first."""
        queued = self._points[self._next : self._next + n]
        self._next += len(queued)
        if len(queued) == n and queued:
            return np.array(queued, dtype=np.float64)
        rest = self._searcher.suggest(n - len(queued))
        return np.concatenate([np.array(queued, dtype=np.float64), rest]) if queued else rest

    def resume(self, configurations: NDArray[np.float64] | NDArray[np.int64]) -> None:
        """Go on after these configurations: the first of them were queued."""
        queued = min(len(self._points) - self._next, len(configurations))
        self._next += queued
        self._searcher.resume(configurations[queued:])

    def on_start(self, trial: int, level: float) -> None:
        """Pass it on; a new trial's also at the level of `pending_at`."""
        self._searcher.on_start(trial, level)
        if trial == self._started:
            self._started += 1
            if self._pending_at is not None and level != self._pending_at:
                self._searcher.on_start(trial, self._pending_at)

    def on_report(self, trial: int, level: float, value: float | None) -> None:
        """Pass it on."""
        self._searcher.on_report(trial, level, value)

    def on_end(self, trial: int) -> None:
        """Pass it on."""
        self._searcher.on_end(trial)
