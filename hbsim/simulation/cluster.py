"""The simulated cluster: how many workers, and what everything costs in simulated time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hbsim.core.exact import exact, whole
from hbsim.errors import ParameterError

__all__ = ["DEFAULT_WORKERS", "Cluster"]


class _Default(int):
    """A number that was not given; else it is the same number."""


DEFAULT_WORKERS: Final = _Default(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster of workers, each of which runs one job at a time.

    A job occupies its worker from its start to its last decision, or to the end of the checkpoint
    that it saves. All times are simulated seconds.

    Parameters
    ----------
    workers : int
        How many workers; at least 1, by default 32.
    speed : float or sequence of float
        Training speed, of all workers or of each; 2 halves the seconds of the curves.
    startup : float
        From a job's start until it trains, or loads.
    report_delay : float
        From a milestone until its decision arrives.
    save : float
        Saving a checkpoint, when a trial pauses. The worker is occupied, and nobody loads it before.
    load : float
        Loading it, when a trial goes on in a new job. A trial that is retried loads what it had at its
        last milestone: that this was kept, without a pause, costs nothing.
    straggler_std : float
        Each stretch between two levels takes 1 + |z| times as long, z ~ Normal(0, straggler_std).
    drop_rate : float
        The probability per second of start-up, loading and training that a job is lost, in [0, 1).
    resume : bool
        Whether jobs go on from where the trial stands. Otherwise there are no checkpoints, nothing
        is saved or loaded, and a promoted or retried trial trains from zero.
    report : "blocking" or "async"
        Whether training waits for a decision, or runs on until a stop arrives. What runs on can be
        lost too, and then the report that was under way is dropped.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    workers: int = DEFAULT_WORKERS
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
        if self.names_workers:
            self._set("workers", whole("workers", self.workers, 1))
        for name in ("startup", "report_delay", "save", "load", "straggler_std", "drop_rate"):
            number = exact(name, getattr(self, name))
            if number < 0:
                raise ParameterError(name, getattr(self, name), "must be at least 0")
            self._set(name, float(number))
        if self.drop_rate >= 1:
            raise ParameterError("drop_rate", self.drop_rate, "must be below 1: a probability per second")
        if not isinstance(self.resume, bool):
            raise ParameterError("resume", self.resume, "must be True or False")
        if self.report not in ("blocking", "async"):
            raise ParameterError("report", self.report, "must be 'blocking' or 'async'")
        self._set("speed", self._checked_speed())

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the class is frozen

    def _checked_speed(self) -> float | tuple[float, ...]:
        if isinstance(self.speed, str) or not isinstance(self.speed, Iterable):
            speeds = [self.speed]
        else:
            speeds = list(self.speed)
            if len(speeds) != self.workers:
                rule = f"must be one number, or {self.workers}, one a worker"
                raise ParameterError("speed", self.speed, rule)
        numbers = tuple(float(exact("speed", speed)) for speed in speeds)
        if min(numbers) <= 0:
            raise ParameterError("speed", self.speed, "must be above 0")
        return numbers if isinstance(self.speed, Iterable) else numbers[0]

    @property
    def names_workers(self) -> bool:
        """Whether the number of workers was given."""
        return not isinstance(self.workers, _Default)

    @property
    def speeds(self) -> tuple[float, ...]:
        """The training speed of each worker."""
        return (self.speed,) * self.workers if isinstance(self.speed, float) else tuple(self.speed)

    @property
    def hazard(self) -> float:
        """The rate of the exponential law that loses a job with `drop_rate` a second."""
        return -math.log1p(-self.drop_rate)
