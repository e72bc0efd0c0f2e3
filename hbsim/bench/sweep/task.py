"""What variants are compared on."""

from __future__ import annotations

from dataclasses import dataclass

from hbsim.bench.sweep.curves import Known, Levels

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """A surrogate on a cluster with a number of workers.

    Attributes
    ----------
    surrogate, cluster : str
        Names in the file.
    workers : int
        How many.
    group : str
        Tasks of one group are not independent.
    max_t : float
        R.
    max_time : float or None
        Simulated seconds at which its studies are cut.
    levels : Levels
        What there is at R.
    known : Known
        The learning curves.
    notes : tuple of str
        What a reader of its results should know of them.
    """

    surrogate: str
    cluster: str
    workers: int
    group: str
    max_t: float
    max_time: float | None
    levels: Levels
    known: Known
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """Its names."""
        return self.surrogate, self.cluster, self.workers
