"""A searcher behind a queue: given configurations come first."""

from __future__ import annotations

import numpy as np

from hbsim.searchers.protocol import Configurations, Searcher

__all__ = ["FirstPoints"]


class FirstPoints:
    """Another searcher, behind a queue.

    A model-based searcher takes what the queue hands out for configurations of its own (by `queued` where it
    has that, else by `Searcher.resume`). Any other one comes after the queue as if there had been none.

    Parameters
    ----------
    searcher : Searcher
        Asked once the queue is empty.
    configurations : array
        The queue: points of the unit cube, shape (n, d), or rows, shape (n,). It may be empty.
    maxt_pending : bool, optional
        Whether new trials are pending at R, too; the searcher's own unless given.

    Attributes
    ----------
    searcher : Searcher
        The one behind.
    """

    def __init__(
        self, searcher: Searcher, configurations: Configurations, maxt_pending: bool | None = None
    ) -> None:
        self.model_based = searcher.model_based
        self.listens = getattr(searcher, "listens", True)
        own: bool = getattr(searcher, "maxt_pending", False)
        self.maxt_pending = own if maxt_pending is None else maxt_pending
        self.name = getattr(searcher, "name", type(searcher).__name__)
        self.searcher = searcher
        self._queue = configurations
        self._given = len(configurations)

    @property
    def limit(self) -> int | None:
        """How many configurations there are in all, where the searcher says so."""
        limit: int | None = getattr(self.searcher, "limit", None)
        return None if limit is None else limit + self._given

    @property
    def remaining(self) -> int | None:
        """How many more there are; None: any number."""
        left: int | None = getattr(self.searcher, "remaining", None)
        return None if left is None else left + len(self._queue)

    def suggest(self, n: int) -> Configurations:
        """Return the next n configurations, queued ones first."""
        queued, self._queue = self._queue[:n], self._queue[n:]
        if not len(queued):
            return self.searcher.suggest(n)
        self._hand_out(queued)
        if len(queued) == n:
            return queued
        joined: Configurations = np.concatenate([queued, self.searcher.suggest(n - len(queued))])
        return joined

    def resume(self, configurations: Configurations) -> None:
        """Go on after these configurations: the first of them were queued."""
        queued = min(len(self._queue), len(configurations))
        self._queue = self._queue[queued:]
        self._hand_out(configurations[:queued])
        self.searcher.resume(configurations[queued:])

    def _hand_out(self, queued: Configurations) -> None:
        """Tell the searcher, if it learns, of configurations from the queue."""
        if self.model_based and len(queued):
            getattr(self.searcher, "queued", self.searcher.resume)(queued)

    def register_pending(self, trial: int, level: float) -> None:
        """Pass it on."""
        self.searcher.register_pending(trial, level)

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Pass it on."""
        self.searcher.observe(trial, level, value)

    def forget(self, trial: int) -> None:
        """Pass it on."""
        self.searcher.forget(trial)
