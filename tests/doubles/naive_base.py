"""What all naive schedulers share: trials, reports, milestones, failures, retries."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hbsim.core.types import Decision, Failure, Job, Milestone, Report, Verdict
from hbsim.errors import ProtocolError

from .naive_rules import Score, badness, score_of


@dataclass
class Trial:
    """A trial; `passed` milestones lie behind it, and `status` says what it does."""

    number: int
    bracket: int
    levels: list[float]
    status: str = "running"  # running, retry, paused, stopped, completed, failed
    passed: int = 0
    failures: int = 0
    losses: int = 0  # of the failures, those that loss_retries counts
    previous: float = -math.inf
    rank: int | None = None  # where it was recorded last, at that moment

    @property
    def start(self) -> float:
        return self.levels[self.passed - 1] if self.passed else 0

    @property
    def stop(self) -> float:
        return self.levels[self.passed]

    def job(self) -> Job:
        self.status = "running"
        self.previous = -math.inf
        return Job(self.number, self.bracket, self.start, self.stop, self.failures)


@dataclass
class Rung:
    """The values of one level, in the order in which they were recorded."""

    level: float
    records: list[tuple[Score, int]] = field(default_factory=list)
    promoted: set[int] = field(default_factory=set)

    def scores(self) -> list[Score]:
        return [score for score, _ in self.records]

    def ranked(self) -> list[tuple[Score, int]]:
        return sorted(self.records, key=lambda record: badness(record[0]))


class NaiveScheduler:
    """The common half; a kind of scheduler adds `fresh_ask`, `rung`, `decide` and `nothing_left`."""

    def __init__(self, mode: str, num_trials: int | None, retries: int) -> None:
        self.mode = mode
        self.num_trials = num_trials
        self.retries = retries
        self.loss_retries: int | None = None
        self.trials: list[Trial] = []
        self.retry_queue: list[Trial] = []

    # what a kind adds
    def fresh_ask(self) -> Job | None:
        raise NotImplementedError

    def rung(self, trial: Trial) -> Rung:
        raise NotImplementedError

    def decide(self, trial: Trial, rung: Rung, before: list[Score], new: Score) -> Verdict:
        raise NotImplementedError

    def cutoff(self, trial: Trial, before: list[Score], new: Score) -> float | None:
        return None

    def after_tell(self, trial: Trial) -> None:
        pass

    def failed_for_good(self, trial: Trial) -> None:
        pass

    def nothing_left(self) -> bool:
        raise NotImplementedError

    # the contract
    def may_start(self) -> bool:
        return self.num_trials is None or len(self.trials) < self.num_trials

    def running(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.status == "running"]

    @property
    def done(self) -> bool:
        busy = any(trial.status in ("running", "retry") for trial in self.trials)
        return not busy and not self.may_start() and self.nothing_left()

    def new_trial(self, bracket: int, levels: list[float]) -> Trial:
        trial = Trial(len(self.trials), bracket, levels)
        self.trials.append(trial)
        return trial

    def ask(self) -> Job | None:
        if self.retry_queue:
            return self.retry_queue.pop(0).job()
        return self.fresh_ask()

    def tell(self, event: Report | Failure) -> Decision:
        trial = self.checked(event)
        trial.previous = event.resource
        decision = self.fail(trial, event.kind) if isinstance(event, Failure) else self.report(trial, event)
        self.after_tell(trial)
        return decision

    def checked(self, event: Report | Failure) -> Trial:
        known = 0 <= event.trial < len(self.trials)
        if not known or self.trials[event.trial].status != "running":
            raise ProtocolError(event.trial, "news", "news of a running trial")
        trial = self.trials[event.trial]
        if not math.isfinite(event.resource):
            raise ProtocolError(event.trial, str(event.resource), "a finite number")
        if event.resource < trial.previous:
            raise ProtocolError(event.trial, str(event.resource), "no step back")
        return trial

    def fail(self, trial: Trial, kind: str) -> Decision:
        trial.failures += 1
        if self.loss_retries is not None and kind in ("lost", "preempted"):
            trial.losses += 1
            has_left = trial.losses <= self.loss_retries
        else:
            has_left = trial.failures - trial.losses <= self.retries
        if has_left:
            trial.status = "retry"
            self.retry_queue.append(trial)
            return Decision(Verdict.RETRY, None)
        trial.status = "failed"
        self.failed_for_good(trial)
        return Decision(Verdict.STOP, None)

    def report(self, trial: Trial, event: Report) -> Decision:
        milestones: list[Milestone] = []
        verdict = Verdict.CONTINUE
        while verdict is Verdict.CONTINUE and event.resource >= trial.stop:
            level = trial.stop
            rung = self.rung(trial)
            before = rung.scores()
            new = score_of(event.value, self.mode)
            rung.records.append((new, trial.number))
            trial.passed += 1
            if trial.passed == len(trial.levels):
                verdict, cutoff = Verdict.COMPLETE, None
            else:
                cutoff = self.cutoff(trial, before, new)
                verdict = self.decide(trial, rung, before, new)
            milestones.append(Milestone(level, len(before), cutoff, verdict))
            trial.status = STATUS[verdict]
            trial.rank = 1 + sum(badness(score) <= badness(new) for score in before)
        stop = trial.stop if verdict is Verdict.CONTINUE else None
        return Decision(verdict, stop, tuple(milestones))


STATUS = {
    Verdict.CONTINUE: "running",
    Verdict.PAUSE: "paused",
    Verdict.STOP: "stopped",
    Verdict.COMPLETE: "completed",
}
