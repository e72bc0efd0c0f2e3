"""The median rule: all averages are worked out again for every decision, in fractions."""

from __future__ import annotations

from fractions import Fraction

from hbsim.core.types import Job, Verdict

from .naive_base import NaiveScheduler, Rung, Trial
from .naive_levels import decimal
from .naive_rules import Score, badness, quantile


def even_levels(r: float, interval: float | None, R: float, resource_type: str) -> list[float]:
    """Return r, r + interval, ... below R, and R."""
    step = decimal(r if interval is None else interval)
    at, levels = decimal(r), []
    while at < decimal(R):
        levels.append(float(at))
        at += step
    levels.append(float(decimal(R)))
    return [int(level) for level in levels] if resource_type == "int" else levels


class NaiveMedian(NaiveScheduler):
    """A trial is stopped when its best value is worse than the median of the running averages."""

    def __init__(
        self,
        levels: list[float],
        among: str,
        min_samples: int,
        mode: str,
        num_trials: int | None,
        retries: int,
    ) -> None:
        super().__init__(mode, num_trials, retries)
        self.levels = levels
        self.among = among
        self.min_samples = min_samples
        self.rungs = {level: Rung(level) for level in levels}

    def fresh_ask(self) -> Job | None:
        return self.new_trial(0, self.levels).job() if self.may_start() else None

    def rung(self, trial: Trial) -> Rung:
        return self.rungs[trial.stop]

    def nothing_left(self) -> bool:
        return True

    def scores_of(self, number: int, level: float) -> list[Score]:
        """Return what a trial was worth at its milestones up to a level."""
        rungs = [rung for rung in self.rungs.values() if rung.level <= level]
        return [s for rung in rungs for s, t in rung.records if t == number]

    def averages(self, trial: Trial, level: float) -> list[Score]:
        """Return the running averages that a trial is held against."""
        there = [t for _, t in self.rungs[level].records if t != trial.number]
        if self.among == "completed":
            there = [t for t in there if self.trials[t].status == "completed"]
        return [average(self.scores_of(t, level)) for t in there]

    def decide(self, trial: Trial, rung: Rung, before: list[Score], new: Score) -> Verdict:
        if new is None:
            return Verdict.STOP
        averages = self.averages(trial, rung.level)
        best = min(self.scores_of(trial.number, rung.level), key=badness)
        if len(averages) < self.min_samples:
            return Verdict.CONTINUE
        median = quantile(averages, Fraction(2))
        worse = best is None or (median is not None and best < median)
        return Verdict.STOP if worse else Verdict.CONTINUE

    def cutoff(self, trial: Trial, before: list[Score], new: Score) -> float | None:
        averages = self.averages(trial, trial.start)
        median = quantile(averages, Fraction(2)) if len(averages) >= self.min_samples else None
        return -median if median is not None and self.mode == "min" else median


def average(scores: list[Score]) -> Score:
    """Return the float nearest to the exact average; None if a non-number is part of it."""
    if None in scores:
        return None
    return float(sum((Fraction(score) for score in scores if score is not None), Fraction()) / len(scores))
