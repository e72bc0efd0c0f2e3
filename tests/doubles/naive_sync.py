"""Successive halving and Hyperband, synchronous: a rung goes on when all of it is in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from hbsim.core.types import Job, Verdict

from .naive_base import NaiveScheduler, Rung, Trial
from .naive_rules import Score


@dataclass
class Bracket:
    """One open bracket: its trials at the rung where it stands, and who still has to be handed out."""

    number: int
    n: int
    levels: list[float]
    at: int = 0
    rungs: list[Rung] = field(default_factory=list)
    members: list[Trial] = field(default_factory=list)
    queue: list[Trial] = field(default_factory=list)
    ended: bool = False


class NaiveSync(NaiveScheduler):
    """Opens the brackets that `plan` yields, one after the other."""

    def __init__(
        self,
        eta: Fraction,
        plan: Iterator[tuple[int, int, list[float]]],
        *,
        quota: str,
        overlap: bool,
        mode: str,
        num_trials: int | None,
        retries: int,
    ) -> None:
        super().__init__(mode, num_trials, retries)
        self.eta = eta
        self.plan = plan
        self.quota = quota
        self.overlap = overlap
        self.open: list[Bracket] = []
        self.home: dict[int, Bracket] = {}
        self.losers: set[int] = set()
        self.named: set[int] = set()

    def fresh_ask(self) -> Job | None:
        for bracket in self.open:
            job = self.work_of(bracket)
            if job is not None:
                return job
        if not self.may_start() or (self.open and not self.overlap):
            return None
        number, n, levels = next(self.plan)
        self.open.append(Bracket(number, n, levels, rungs=[Rung(level) for level in levels]))
        return self.work_of(self.open[-1])

    def filling(self, bracket: Bracket) -> bool:
        return bracket.at == 0 and len(bracket.members) < bracket.n and self.may_start()

    def work_of(self, bracket: Bracket) -> Job | None:
        if bracket.queue:
            return bracket.queue.pop(0).job()
        if not self.filling(bracket):
            return None
        trial = self.new_trial(bracket.number, bracket.levels)
        bracket.members.append(trial)
        self.home[trial.number] = bracket
        return trial.job()

    def rung(self, trial: Trial) -> Rung:
        return self.home[trial.number].rungs[trial.passed]

    def decide(self, trial: Trial, rung: Rung, before: list[Score], new: Score) -> Verdict:
        return Verdict.PAUSE

    def after_tell(self, trial: Trial) -> None:
        bracket = self.home[trial.number]
        waited_for = [t for t in bracket.members if t.status != "failed" and t.passed <= bracket.at]
        if not waited_for and not self.filling(bracket):
            self.close_rung(bracket)
        self.open = [b for b in self.open if not b.ended]

    def close_rung(self, bracket: Bracket) -> None:
        rung = bracket.rungs[bracket.at]
        bracket.at += 1
        if self.quota == "actual":
            places = math.floor(len(rung.records) / self.eta)
        else:
            places = math.floor(bracket.n / self.eta**bracket.at)
        best = [t for score, t in rung.ranked()[:places] if score is not None]
        if bracket.at == len(bracket.levels):
            best = []
        else:
            self.losers |= {t for _, t in rung.records} - set(best)
        bracket.members = [self.trials[t] for t in sorted(best)]
        bracket.queue = list(bracket.members)
        bracket.ended = not best

    def nothing_left(self) -> bool:
        return not self.open

    def dropped(self) -> set[int]:
        new = self.losers - self.named
        self.named |= new
        return new
