"""A naive simulator: looks at every worker before every step, and keeps what each stay was made of.

It drives a real scheduler through `ask` and `tell`, and reads the trials' numbers from `Curves`. It is
written from what the cluster model promises, to hold the event-driven engine against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from hbsim.core import Failure, Job, Report, Verdict

EXPOSED = ("startup", "load", "train")  # what can be lost to a failure
ENDS = (Verdict.PAUSE, Verdict.STOP, Verdict.COMPLETE)


@dataclass
class Part:
    """A part of a stay: from when to when, what was done, and from which resource to which."""

    kind: str  # startup, wait, load, train, hold
    begin: float
    end: float
    first: float
    last: float

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
    start_resource: float
    parts: list[Part] = field(default_factory=list)
    reached: dict[int, float] = field(default_factory=dict)
    at: int = 0  # index of the next milestone to be decided on
    stood: float = 0.0  # the milestones where the trial stood at the start, and where it stands now
    milestone: float = 0.0
    told: float = 0.0  # the last milestone that this job reported
    value: float = math.nan
    training_end: float = math.nan  # when nothing is trained any more
    end_time: float = math.nan
    stop_resource: float = 0.0
    train_start: float = 0.0
    verdict: str = ""

    def add(self, kind: str, seconds: float, resource: float | None = None) -> None:
        begin = self.parts[-1].end if self.parts else self.start_time
        first = self.parts[-1].last if self.parts else self.start_resource
        self.parts.append(Part(kind, begin, begin + seconds, first, first if resource is None else resource))

    @property
    def clock(self) -> float:
        """When all that is planned so far is over."""
        return self.parts[-1].end

    def spent(self, kinds: tuple[str, ...], until: float) -> float:
        return sum(part.seconds(until) for part in self.parts if part.kind in kinds)

    def resource(self, until: float) -> float:
        """Return how far it has come; a stretch that takes no time is not passed before it is told."""
        begun = [part.resource(until) for part in self.parts if part.begin < until]
        return max(begun[-1] if begun else self.start_resource, self.told)

    def time_of_exposure(self, seconds: float) -> float:
        """Return when so many exposed seconds are over; never, if the plan has fewer."""
        for part in self.parts:
            if part.kind in EXPOSED:
                if part.end - part.begin > seconds:
                    return part.begin + seconds
                seconds -= part.end - part.begin
        return math.inf


class NaiveSimulator:
    """A whole study; `run` it, then read `stays`, `decisions` and `now`."""

    def __init__(
        self,
        scheduler: Any,
        curves: Any,
        cluster: Any,
        max_time: float | None = None,
        max_reward: float | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.curves = curves
        self.cluster = cluster
        self.max_time = math.inf if max_time is None else max_time
        self.max_reward = max_reward
        self.now = 0.0
        self.good_enough = False
        self.stays: list[Stay] = []
        self.decisions: list[dict[str, Any]] = []
        self.on_worker: list[Stay | None] = [None] * cluster.workers
        self.saved: dict[int, float] = {}  # when a trial's checkpoint is written
        self.exposed: dict[int, float] = {}  # seconds of the present attempt, in earlier jobs
        self.refused = 0  # asks that were answered None

    def run(self) -> NaiveSimulator:
        while not self.good_enough:
            due = [w for w, stay in enumerate(self.on_worker) if stay and self.next_event(stay) <= self.now]
            idle = [w for w, stay in enumerate(self.on_worker) if not stay]
            if due:
                self.happen(due[0])
            elif idle and (job := self.scheduler.ask()) is not None:
                self.start(idle[0], job)
            else:
                self.refused += bool(idle)
                later = [self.next_event(stay) for stay in self.on_worker if stay]
                if not later or min(later) > self.max_time:
                    break
                self.now = min(later)
        self.cut(self.now if self.good_enough else self.max_time)
        return self

    # What a job is made of

    def start(self, worker: int, job: Job) -> None:
        goes_on = job.start > 0 and self.cluster.resume
        stay = Stay(len(self.stays), job, worker, self.now, job.start if goes_on else 0.0)
        self.stays.append(stay)
        self.on_worker[worker] = stay
        stay.at = self.scheduler.levels.index(job.stop)
        stay.stood = stay.milestone = job.start
        stay.add("startup", self.cluster.startup)
        if goes_on:
            stay.add("wait", max(0.0, self.saved.get(job.trial, 0.0) - stay.clock))
            stay.add("load", self.cluster.load)
        stay.train_start = stay.clock
        first = self.scheduler.geometry.first[job.bracket]
        for at in range(stay.at if goes_on else first, stay.at + 1):
            self.train(stay, at)
        if self.cluster.report == "async":
            for at in range(stay.at + 1, len(self.scheduler.levels)):
                self.train(stay, at)

    def train(self, stay: Stay, at: int) -> None:
        """Plan the stretch that ends at a level."""
        while self.curves.count <= stay.job.trial:
            self.curves.grow()
        is_first = at == self.scheduler.geometry.first[stay.job.bracket]
        column = self.curves.from_zero if is_first else self.curves.seconds
        seconds = column[stay.job.trial * len(self.scheduler.levels) + at]
        stay.add("train", seconds / self.cluster.speeds[stay.worker], self.scheduler.levels[at])
        stay.reached[at] = stay.clock

    # What happens to it

    def failure(self, stay: Stay) -> float:
        if not self.cluster.drop_rate:
            return math.inf
        budget = self.curves.budget(stay.job.trial, stay.job.attempt)
        return stay.time_of_exposure(budget - self.exposed.get(stay.job.trial, 0.0))

    def decision(self, stay: Stay) -> float:
        return stay.reached[stay.at] + self.cluster.report_delay

    def next_event(self, stay: Stay) -> float:
        if stay.verdict:  # what is left is to save
            return stay.end_time
        return min(self.failure(stay), self.decision(stay))

    def happen(self, worker: int) -> None:
        stay = self.on_worker[worker]
        assert stay is not None
        if stay.verdict:
            self.on_worker[worker] = None
        elif self.failure(stay) < self.decision(stay):
            self.fail(stay)
        else:
            self.decide(stay)

    def fail(self, stay: Stay) -> None:
        self.scheduler.tell(Failure(stay.job.trial, stay.resource(self.now), "lost"))
        self.exposed[stay.job.trial] = 0.0
        self.end(stay, "failed")

    def decide(self, stay: Stay) -> None:
        trial, level = stay.job.trial, self.scheduler.levels[stay.at]
        value = self.curves.values[trial * len(self.scheduler.levels) + stay.at]
        decision = self.scheduler.tell(Report(trial, level, value))
        (milestone,) = decision.milestones
        self.decisions.append(
            {
                "time": self.now,
                "trial": trial,
                "bracket": stay.job.bracket,
                "level": level,
                "value": none_for_nan(value),
                "n_before": milestone.n_before,
                "cutoff": none_for_nan(milestone.cutoff),
                "verdict": str(decision.verdict),
            }
        )
        stay.value, stay.milestone, stay.told = value, level, level
        stay.at += 1
        if decision.verdict in ENDS:
            self.exposed[trial] = self.exposed.get(trial, 0.0) + stay.spent(EXPOSED, self.now)
            self.end(stay, str(decision.verdict))
        elif self.cluster.report == "blocking":
            stay.add("hold", self.now - stay.clock)
            self.train(stay, stay.at)
        self.good_enough = self.is_good_enough(value)

    def end(self, stay: Stay, verdict: str) -> None:
        stay.verdict = verdict
        stay.stop_resource = stay.resource(self.now)
        stay.end_time = stay.training_end = self.now
        if verdict == "pause" and self.cluster.resume:
            stay.end_time += self.cluster.save
            self.saved[stay.job.trial] = stay.end_time
        if stay.end_time == self.now:
            self.on_worker[stay.worker] = None

    def is_good_enough(self, value: float) -> bool:
        if self.max_reward is None or not math.isfinite(value):
            return False
        return value >= self.max_reward if self.scheduler.mode == "max" else value <= self.max_reward

    def cut(self, time: float) -> None:
        for stay in self.stays:
            if not stay.verdict:
                stay.verdict, stay.stop_resource = "censored", stay.resource(time)
                stay.end_time = stay.training_end = time
            stay.end_time = min(stay.end_time, time)

    # The same as rows

    def jobs(self) -> list[dict[str, Any]]:
        return [
            {
                "job": stay.number,
                "trial": stay.job.trial,
                "attempt": stay.job.attempt,
                "bracket": stay.job.bracket,
                "worker": stay.worker,
                "start_resource": stay.start_resource,
                "stop_resource": stay.stop_resource,
                "start_time": stay.start_time,
                "train_start": stay.train_start if stay.train_start <= stay.end_time else None,
                "end_time": stay.end_time,
                "value": none_for_nan(stay.value),
                "verdict": stay.verdict,
            }
            for stay in self.stays
        ]


def none_for_nan(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
