"""Drives the real core and its naive double with the same events, and holds them equal at each step."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import pytest

from hbsim.core import Failure, Job, Report, Verdict, make_scheduler
from hbsim.core.types import Milestone
from hbsim.errors import HbsimWarning, ParameterError, ProtocolError

from .naive import make_naive
from .naive_async import NaivePromotion
from .naive_base import Trial
from .naive_sync import NaiveSync


def make_real(type: str, options: dict[str, Any]) -> Any:
    """Return the real scheduler; its warnings are not what is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        return make_scheduler(type, **options)


def round_trip(scheduler: Any) -> Any:
    """Return the state as it comes back from a JSON file."""
    return json.loads(json.dumps(scheduler.state_dict(), allow_nan=False))


@dataclass
class Pair:
    """The real scheduler and the double, side by side."""

    type: str
    options: dict[str, Any]
    named: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.real = make_real(self.type, self.options)
        options = {name: value for name, value in self.options.items() if name != "loss_retries"}
        self.naive = make_naive(self.type, **options)
        self.naive.loss_retries = self.options.get("loss_retries")

    # what runs, by the double
    def running(self) -> list[Trial]:
        return self.naive.running()

    def idle(self) -> list[Trial]:
        return [trial for trial in self.naive.trials if trial.status != "running"]

    # the contract
    def ask(self) -> Job | None:
        job, expected = self.real.ask(), self.naive.ask()
        assert job == expected
        if job is None:
            assert self.running() or self.real.done, "idle, and not done"
            assert self.type in ("sha", "hyperband") or not self.naive.may_start()
        else:
            assert job.trial not in self.named, "a dropped trial was asked for again"
        self.check_done()
        return job

    def tell(self, event: Report | Failure) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)
            decision = self.real.tell(event)
        expected = self.naive.tell(event)
        assert (decision.verdict, decision.stop) == (expected.verdict, expected.stop)
        got = [(m.level, m.n_before, m.verdict) for m in decision.milestones]
        assert got == [(m.level, m.n_before, m.verdict) for m in expected.milestones]
        if self.type == "median" or self.options.get("rule", "rank").startswith("quantile"):
            assert [m.cutoff for m in decision.milestones] == [m.cutoff for m in expected.milestones]
        if decision.milestones:
            self.check_explanation(event.trial, decision.milestones[-1])
        self.check_done()
        return decision

    def check_explanation(self, trial: int, last: Milestone) -> None:
        told = self.real.explain(trial)
        assert (told.level, told.n, told.verdict) == (last.level, last.n_before + 1, last.verdict)
        assert told.rank == self.naive.trials[trial].rank
        assert told.bracket == self.naive.trials[trial].bracket
        if self.type not in ("sha", "hyperband"):  # these know it only once the rung is complete
            assert told.cutoff == last.cutoff

    def refused(self, event: Report | Failure) -> None:
        before = self.real.state_dict()
        for scheduler in (self.real, self.naive):
            with pytest.raises(ProtocolError):
                scheduler.tell(event)
        assert self.real.state_dict() == before

    def extend(self, more: int) -> None:
        """Raise the number of trials; trials with a value that were dropped may go on again."""
        if self.naive.num_trials is None:
            with pytest.raises(ParameterError):
                self.real.extend(more)
            return
        self.naive.num_trials += more
        self.real.extend(self.naive.num_trials)
        assert self.real.num_trials == self.real.options.num_trials == self.naive.num_trials
        with pytest.raises(ParameterError):
            self.real.extend(self.naive.num_trials - 1)
        if isinstance(self.naive, NaivePromotion):
            lost = set(filter(self.naive.has_no_number, self.named))
            self.named &= lost
            self.naive.named &= lost
        self.check_done()

    def check_done(self) -> None:
        assert self.real.done == self.naive.done

    def reload(self) -> None:
        state = round_trip(self.real)
        self.real = make_real(self.type, self.options)
        self.real.load_state_dict(state)
        assert round_trip(self.real) == state

    def dropped(self) -> set[int]:
        """Take what the real one names, and hold it sound; in synchronous types equal."""
        new = list(self.real.dropped())
        assert len(new) == len(set(new))
        assert not self.named & set(new), "named twice"
        assert all(self.naive.trials[t].status == "paused" for t in new)
        self.named |= set(new)
        if isinstance(self.naive, NaiveSync):
            assert set(new) == self.naive.dropped()
        elif hasattr(self.naive, "dropped"):
            assert self.naive.dropped() <= self.named
        return set(new)

    # events
    def report(self, trial: Trial, value: float | None, beyond: float = 0) -> Any:
        return self.tell(Report(trial.number, trial.stop + beyond, value))

    def report_below(self, trial: Trial, value: float | None) -> None:
        low = max(trial.previous, 0.0)
        below = min(low + (trial.stop - low) / 2, math.nextafter(trial.stop, 0))  # levels may be neighbours
        decision = self.tell(Report(trial.number, below, value))
        assert decision.verdict is Verdict.CONTINUE
        assert decision.milestones == ()

    def fail(self, trial: Trial, kind: str) -> Any:
        return self.tell(Failure(trial.number, max(trial.previous, 0.0), kind))

    def illegal(self, which: int, value: float | None) -> None:
        """Tell something that cannot be: of an idle or unknown trial, no finite resource, a step back."""
        unknown = len(self.naive.trials)
        self.refused(Report(unknown, 1, value))
        for trial in self.idle()[which % 3 :: 3][:2]:
            self.refused(Report(trial.number, trial.levels[-1], value))
            self.refused(Failure(trial.number, trial.levels[-1], "lost"))
        for trial in self.running()[which % 3 :: 3][:2]:
            self.refused(Report(trial.number, math.nan, value))
            self.refused(Report(trial.number, math.inf, value))
            self.refused(Failure(trial.number, -math.inf))
            if trial.previous > -math.inf:
                self.refused(Report(trial.number, trial.previous - 1, value))
                self.refused(Failure(trial.number, trial.previous - 0.25))

    def drain(self) -> None:
        """Run everything to its end; needs num_trials."""
        for _ in range(10_000):
            if self.ask() is not None:
                continue
            running = self.running()
            if not running:
                break
            trial = running[-1]
            self.report(trial, float((trial.number * 7) % 5))
        assert self.real.done
        assert self.ask() is None
        self.dropped()
        paused = {trial.number for trial in self.naive.trials if trial.status == "paused"}
        assert self.named == paused
        assert not list(self.real.dropped())
