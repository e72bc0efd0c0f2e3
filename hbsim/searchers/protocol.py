"""The protocol of searchers: the methods by which a driver gets configurations and reports values."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Configurations: TypeAlias = Floats | Ints


class Searcher(Protocol):
    """Chooses configurations. The driver asks once for each new trial, in the order of trial numbers.

    An evaluation that is under way is pending: a trial at the level to which it trains. Each is registered
    once, and ends once: by `observe` at this level, or by `forget`, which ends all of a trial. So of a trial
    that runs there is one, or two with `maxt_pending`; of one that is stopped, paused, completed or failed
    there is none. A trial that waits for a retry keeps its pending evaluations.

    A searcher may have more attributes: ``limit``, an int, is the number of configurations, after
    which the study ends; ``maxt_pending``, a bool, asks for a pending evaluation at R as well
    when a trial starts.

    Attributes
    ----------
    model_based : bool
        Whether suggestions depend on observed values. If they do not, trial i has the same
        configuration under every scheduler, and drivers may ask for large blocks ahead.
    listens : bool
        Whether `register_pending`, `observe` and `forget` are called.
    """

    model_based: bool
    listens: bool

    def suggest(self, n: int) -> Configurations:
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

    def resume(self, configurations: Configurations) -> None:
        """Go on after these configurations, in this order: it suggested them before a restart.

        May be called several times; pending evaluations and values are reported in between, in their original
        order. No model is fitted.
        """
        ...

    def register_pending(self, trial: int, level: float) -> None:
        """Record that trial `trial` trains towards `level`."""
        ...

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Trial `trial` has the metric `value`, None for no number, at `level`; pending there no more."""
        ...

    def forget(self, trial: int) -> None:
        """Handle that a trial no longer runs: it completed, stopped, paused or failed; nothing is pending."""
        ...


class NonLearningSearcher:
    """The base of searchers whose suggestions do not depend on observed values."""

    model_based: bool = False
    listens: bool = False
    _next = 0  # how many configurations were suggested

    @property
    def remaining(self) -> int | None:
        """How many more configurations there are; None: any number."""
        return None

    def resume(self, configurations: Configurations) -> None:
        """Go on after configurations that were suggested before a restart."""
        self._next += len(configurations)

    def register_pending(self, trial: int, level: float) -> None:
        """Do nothing."""

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Do nothing."""

    def forget(self, trial: int) -> None:
        """Do nothing."""
