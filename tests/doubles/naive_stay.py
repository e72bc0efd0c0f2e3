"""A job on its worker, for the naive cluster: what it was made of, part by part."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hbsim.core import Job

EXPOSED = ("startup", "transfer in", "load", "train")  # what can be lost to `drop_rate`


@dataclass(frozen=True)
class Place:
    """Where training goes on: in the stretch to level `at`, of which `done` seconds of the curve are over."""

    resource: float
    at: int
    done: float = 0.0


@dataclass
class Part:
    """A part of a stay: from when to when, what was done, and from which resource to which."""

    kind: str
    begin: float
    end: float
    first: float
    last: float
    done: float = 0.0  # seconds of the stretch that were over before

    def seconds(self, until: float) -> float:
        return max(0.0, min(self.end, until) - self.begin)

    def resource(self, until: float) -> float:
        if until <= self.begin:
            return self.first
        if until >= self.end:
            return self.last
        return self.first + (self.last - self.first) * (until - self.begin) / (self.end - self.begin)


@dataclass
class Stay:
    """A job on its worker; `reached` holds the time of each milestone that training gets to."""

    number: int
    job: Job
    worker: int
    start_time: float
    retried: bool  # the trial's last job failed
    at: int  # index of the next milestone to be decided on
    place: Place  # from where it trains
    parts: list[Part] = field(default_factory=list)
    reached: dict[int, float] = field(default_factory=dict)
    training: int = -1  # the level that it trains to
    milestone: float = 0.0
    told: float = 0.0  # the last milestone that this job reported
    value: float = math.nan
    train_start: float = math.inf
    training_end: float = math.inf  # when nothing is trained any more
    end_time: float = math.nan
    answer: float = math.inf  # when the worker knows of a verdict that ends it
    leaving: Place | None = None  # what it saves upon a notice
    verdict: str = ""

    def __post_init__(self) -> None:
        self.milestone = self.job.start

    @property
    def stood(self) -> float:
        return self.job.start

    @property
    def start_resource(self) -> float:
        return self.place.resource

    @property
    def stop_resource(self) -> float:
        return self.resource(self.training_end)

    @property
    def phase(self) -> str:
        return self.parts[-1].kind

    @property
    def phase_end(self) -> float:
        return self.parts[-1].end

    @property
    def runs(self) -> bool:
        """Whether the scheduler waits for its report."""
        return not self.verdict and self.leaving is None

    def begin(self, kind: str, now: float, seconds: float = math.inf) -> None:
        here = self.resource(now)
        self.parts.append(Part(kind, now, now + seconds, here, here))

    def spent(self, kinds: tuple[str, ...], until: float) -> float:
        return sum(part.seconds(until) for part in self.parts if part.kind in kinds)

    def resource(self, until: float) -> float:
        """Return how far it has come; a stretch that takes no time is not passed before it is told."""
        trained = [part for part in self.parts if part.kind == "train" and part.begin < until]
        return max(trained[-1].resource(until) if trained else self.start_resource, self.told)
