"""Which checkpoints a naively simulated cluster has, and what they hold of its disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .naive_stay import Place, Stay


@dataclass
class Checkpoint:
    """A save of a trial; `state` is pending, saved, cut, or kept (at no cost, though it was cut)."""

    trial: int
    place: Place
    state: str


class NaiveCheckpoints:
    """All checkpoints of a study, in the order in which their trials came to them."""

    def __init__(self, scheduler: Any, cluster: Any) -> None:
        self.scheduler = scheduler
        self.cluster = cluster
        self.all: list[Checkpoint] = []
        self.of_stay: dict[int, Checkpoint] = {}
        self.log: list[tuple[float, str, int]] = []  # time; saved, over or dropped; trial

    def announce(self, stay: Stay) -> None:
        """A pause is decided: a checkpoint of the milestone will be saved."""
        place = Place(stay.milestone, self.scheduler.levels.index(stay.milestone) + 1)
        self.of_stay[stay.number] = Checkpoint(stay.job.trial, place, "pending")
        self.all.append(self.of_stay[stay.number])

    def saved(self, stay: Stay, now: float) -> None:
        if stay.leaving is not None:
            self.all.append(Checkpoint(stay.job.trial, stay.leaving, "saved"))
        else:
            self.of_stay[stay.number].state = "saved"
        self.log.append((now, "saved", stay.job.trial))

    def cut(self, stay: Stay) -> None:
        if stay.number in self.of_stay:
            is_free = self.cluster.retry_from == "milestone"
            self.of_stay[stay.number].state = "kept" if is_free else "cut"

    def newest(self, trial: int, stood: float, retried: bool) -> Checkpoint | None:
        """Return what a trial goes on from: None for zero; it may have to wait for it."""
        policy = self.cluster.retry_from
        if not self.cluster.resume or (retried and policy == "zero"):
            return None
        mine = [save for save in self.all if save.trial == trial]
        usable = [save for save in mine if save.state != "cut" and save.place.resource]
        if policy == "milestone" and stood and not any(save.place.resource >= stood for save in usable):
            at = self.scheduler.levels.index(stood) + 1
            return Checkpoint(trial, Place(stood, at), "kept")
        return usable[-1] if usable else None

    def over(self, trial: int, now: float) -> None:
        """The trial has stopped, completed or failed for good."""
        self.log.append((now, "over", trial))

    def collect(self, now: float) -> None:
        self.log += [(now, "dropped", trial) for trial in self.scheduler.dropped()]

    def disk(self, size: Any) -> list[tuple[float, float, float]]:
        """Return (time, held, collected) after each time at which one of the two may have changed."""
        rows = []
        for now in sorted({time for time, _, _ in self.log}):
            past: dict[str, set[int]] = {"saved": set(), "over": set(), "dropped": set()}
            for time, what, trial in self.log:
                if time <= now:
                    past[what].add(trial)
            held = past["saved"] - past["over"]
            amounts = [sum(size(trial) for trial in trials) for trials in (held, held - past["dropped"])]
            rows.append((now, amounts[0], amounts[1]))
        return rows
