"""The simulated cluster: how many workers, and what everything costs in simulated time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hbsim.core.exact import exact, whole
from hbsim.errors import ParameterError

__all__ = ["Cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster of workers, each of which runs one job at a time.

    A job occupies its worker from its start to its last decision, or to the end of the checkpoint
    that it saves. All times are simulated seconds.

    Parameters
    ----------
    workers : int
        How many workers; at least 1.
    speed : float or sequence of float
        Training speed, of all workers or of each; 2 halves the seconds of the curves.
    startup : float
        From a job's start until it trains, or loads.
    report_delay : float
        From a milestone until its decision arrives.
    save : float
        Saving a checkpoint, when a trial pauses. The worker is occupied, and nobody loads it before.
    load : float
        Loading it, when a trial goes on in a new job.
    straggler_std : float
        Each stretch between two levels takes 1 + |z| times as long, z ~ Normal(0, straggler_std).
    drop_rate : float
        The probability per second of start-up, loading and training that a job is lost, in [0, 1).
    resume : bool
        Whether jobs go on from where the trial stands. Otherwise there are no checkpoints, nothing
        is saved or loaded, and a promoted or retried trial trains from zero.
    report : "blocking" or "async"
        Whether training waits for a decision, or runs on until a stop arrives.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    workers: int = 32
    speed: float | Sequence[float] = 1.0
    startup: float = 0.0
    report_delay: float = 0.0
    save: float = 0.0
    load: float = 0.0
    straggler_std: float = 0.0
    drop_rate: float = 0.0
    resume: bool = True
    report: Literal["blocking", "async"] = "blocking"

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", whole("workers", self.workers, 1))
        for field in ("startup", "report_delay", "save", "load", "straggler_std", "drop_rate"):
            if exact(field, getattr(self, field)) < 0:
                raise ParameterError(field, getattr(self, field), "must be at least 0")
        if self.drop_rate >= 1:
            raise ParameterError("drop_rate", self.drop_rate, "must be below 1: a probability per second")
        if not isinstance(self.resume, bool):
            raise ParameterError("resume", self.resume, "must be True or False")
        if self.report not in ("blocking", "async"):
            raise ParameterError("report", self.report, "must be 'blocking' or 'async'")
        for speed in self.speeds:
            if exact("speed", speed) <= 0:
                raise ParameterError("speed", self.speed, "must be above 0")

    @property
    def speeds(self) -> list[float]:
        """The training speed of each worker."""
        if not isinstance(self.speed, Iterable):
            return [float(exact("speed", self.speed))] * self.workers
        speeds = list(self.speed)
        if isinstance(self.speed, str) or len(speeds) != self.workers:
            raise ParameterError("speed", self.speed, f"must be one number, or {self.workers}, one a worker")
        return [float(exact("speed", speed)) for speed in speeds]

    @property
    def hazard(self) -> float:
        """The rate of the exponential law that loses a job with `drop_rate` a second."""
        return -math.log1p(-self.drop_rate)
