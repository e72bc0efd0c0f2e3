"""Fifo, stopping and promotion: every question is answered by sorting the rung again."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from hbsim.core.types import Job, Verdict

from .naive_base import NaiveScheduler, Rung, Trial
from .naive_levels import Grid, bracket_of, probabilities
from .naive_rules import Score, cutoff, goes_on


class NaiveFifo(NaiveScheduler):
    """Every trial runs to R."""

    def __init__(self, R: float, *, mode: str, num_trials: int | None, retries: int) -> None:
        super().__init__(mode, num_trials, retries)
        self.only = Rung(R)

    def fresh_ask(self) -> Job | None:
        return self.new_trial(0, [self.only.level]).job() if self.may_start() else None

    def rung(self, trial: Trial) -> Rung:
        return self.only

    def nothing_left(self) -> bool:
        return True


class NaiveBrackets(NaiveScheduler):
    """Brackets that are drawn, and rungs by bracket and level."""

    def __init__(
        self,
        grid: Grid,
        *,
        brackets: int,
        bracket_sampling: str,
        shared_rungs: bool,
        seed: int,
        mode: str,
        num_trials: int | None,
        retries: int,
    ) -> None:
        super().__init__(mode, num_trials, retries)
        self.eta = grid.eta
        self.brackets = min(brackets, grid.K + 1)
        self.levels = [grid.levels(b, synchronous=False) for b in range(self.brackets)]
        self.probability = probabilities(grid.K, grid.eta, self.brackets, bracket_sampling)
        self.shared = shared_rungs
        self.rungs: dict[tuple[int, float], Rung] = {}
        generator = np.random.Generator(np.random.PCG64(seed))
        self.draws = [bracket_of(generator.random(), self.probability) for _ in range(3000)]
        self.used = 0

    def rung_at(self, bracket: int, level: float) -> Rung:
        key = (0 if self.shared else bracket, level)
        return self.rungs.setdefault(key, Rung(level))

    def rung(self, trial: Trial) -> Rung:
        return self.rung_at(trial.bracket, trial.stop)


class NaiveStopping(NaiveBrackets):
    """A trial runs until a milestone stops it."""

    rule = "quantile"

    def fresh_ask(self) -> Job | None:
        if not self.may_start():
            return None
        bracket = self.draws[self.used]
        self.used += 1
        return self.new_trial(bracket, self.levels[bracket]).job()

    def decide(self, trial: Trial, rung: Rung, before: list[Score], new: Score) -> Verdict:
        return Verdict.CONTINUE if goes_on(self.rule, before, new, self.eta) else Verdict.STOP

    def cutoff(self, trial: Trial, before: list[Score], new: Score) -> float | None:
        if not self.rule.startswith("quantile"):
            return None
        cut = cutoff(self.rule, before, new, self.eta)
        return -cut if cut is not None and self.mode == "min" else cut

    def nothing_left(self) -> bool:
        return True


class NaivePromotion(NaiveBrackets):
    """ASHA: a trial pauses at each milestone until it is among the best 1/eta."""

    straight_on = True
    keep_size_ratios = False
    failed_places = "passed-on"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.counts: dict[tuple[int, float], int] = {}
        self.named: set[int] = set()

    # promotable
    def key(self, bracket: int, level: float) -> tuple[int, float]:
        return (0 if self.shared else bracket, level)

    def count(self, bracket: int, level: float, change: int = 0) -> int:
        key = self.key(bracket, level)
        self.counts[key] = self.counts.get(key, 0) + change
        return self.counts[key]

    def next_level(self, level: float) -> float:
        return next(higher for higher in self.levels[0] if higher > level)

    def blocked(self, bracket: int, level: float) -> bool:
        here, there = self.count(bracket, level), self.count(bracket, self.next_level(level))
        return self.keep_size_ratios and there * self.eta > here

    def promotable(self, bracket: int, level: float) -> list[int]:
        """Return the trials that may go on from the level, the best first."""
        if self.blocked(bracket, level):
            return []
        rung = self.rung_at(bracket, level)
        ranked = rung.ranked()
        if self.failed_places == "passed-on":
            ranked = [(s, t) for s, t in ranked if self.trials[t].status != "failed"]
        best = ranked[: math.floor(len(rung.records) / self.eta)]
        return [t for s, t in best if s is not None and t not in rung.promoted]

    def first_promotable(self, bracket: int) -> Trial | None:
        for level in reversed(self.levels[bracket][:-1]):
            for number in self.promotable(bracket, level):
                return self.trials[number]
        return None

    def promote(self, trial: Trial) -> None:
        self.rung_at(trial.bracket, trial.start).promoted.add(trial.number)
        self.count(trial.bracket, trial.stop, +1)

    # ask and tell
    def fresh_ask(self) -> Job | None:
        drawn = self.draws[self.used]
        others = [b for b in range(self.brackets) if b != drawn]
        for bracket in [drawn] if self.may_start() else [drawn, *others]:
            trial = self.first_promotable(bracket)
            if trial is not None:
                self.used += 1
                self.promote(trial)
                return trial.job()
        if not self.may_start():
            return None
        self.used += 1
        trial = self.new_trial(drawn, self.levels[drawn])
        self.count(drawn, trial.stop, +1)
        return trial.job()

    def decide(self, trial: Trial, rung: Rung, before: list[Score], new: Score) -> Verdict:
        if self.straight_on and trial.number in self.promotable(trial.bracket, rung.level):
            self.promote(trial)
            return Verdict.CONTINUE
        return Verdict.PAUSE

    def failed_for_good(self, trial: Trial) -> None:
        self.count(trial.bracket, trial.stop, -1)

    def nothing_left(self) -> bool:
        return all(self.first_promotable(b) is None for b in range(self.brackets))

    # dropped
    def dropped(self) -> set[int]:
        """Return the paused trials that can be told now to go on never, those named before left out."""
        new: set[int] = set()
        while found := {t.number for t in self.trials if self.hopeless(t)} - self.named:
            new |= found
            self.named |= found
        return new

    def has_no_number(self, number: int) -> bool:
        trial = self.trials[number]
        rung = self.rung_at(trial.bracket, trial.start)
        return (None, number) in rung.records

    def hopeless(self, trial: Trial) -> bool:
        if trial.status != "paused":
            return False
        rung = self.rung_at(trial.bracket, trial.start)
        ranked = rung.ranked()
        place = [t for _, t in ranked].index(trial.number)
        if self.done or ranked[place][0] is None:
            return True
        if self.num_trials is None:
            return False
        surely_there = [t for _, t in ranked[:place] if self.keeps_its_place(self.trials[t])]
        return len(surely_there) >= math.floor(self.most(trial, rung) / self.eta)

    def keeps_its_place(self, better: Trial) -> bool:
        return self.failed_places == "held" or not self.may_fail(better)

    def may_fail(self, trial: Trial) -> bool:
        if trial.status == "paused":
            return trial.number not in self.named
        return trial.status in ("running", "retry", "failed")

    def most(self, trial: Trial, rung: Rung) -> Fraction:
        """Return how many values the rung can have in the end."""
        assert self.num_trials is not None
        recorded = {t for _, t in rung.records}
        coming = [
            other
            for other in self.trials
            if other.number not in recorded
            and (self.shared or other.bracket == trial.bracket)
            and rung.level in other.levels
            and self.may_fail(other)
            and other.status != "failed"
        ]
        return Fraction(len(recorded) + len(coming) + self.num_trials - len(self.trials))
