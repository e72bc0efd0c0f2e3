"""The base class of all schedulers: ask and tell, retries, failures, explanations."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from array import array
from collections import deque
from dataclasses import replace
from math import inf, nan
from operator import index
from typing import Final

from hbsim.core.levels import BracketSampler, Levels, bracket_probabilities
from hbsim.core.numbers import finite, metric, whole
from hbsim.core.options import Options
from hbsim.core.types import (
    COMPLETE,
    COMPLETED,
    CONTINUE,
    FAILED,
    FAILURE_KINDS,
    LOSSES,
    PAUSE,
    PAUSED,
    RETRY,
    RETURNED,
    RUNNING,
    STATUSES,
    STOP,
    STOPPED,
    VERDICTS,
    WAITING,
    Decision,
    Explanation,
    Failure,
    Job,
    Milestone,
    Mode,
    Report,
    Verdict,
)
from hbsim.errors import HbsimWarning, ParameterError, ProtocolError

ROOM: Final = 4096  # trials
new: Final = tuple.__new__  # makes a NamedTuple in a third of the time of calling its class
ENDED: Final = {PAUSE: PAUSED, STOP: STOPPED, COMPLETE: COMPLETED}


class Scheduler(ABC):
    """The base class of all schedulers: a state machine that decides which trial trains next, and how far.

    It has no clock, no files and no threads, and knows no configurations: its caller asks for jobs and
    reports their values and failures. Make one with `make_scheduler`. A subclass decides which trial
    comes next (`_choose`) and what happens at a milestone (`_decide`).

    Applications call `ask` and `tell`. Engines that know that a trial has reached its next milestone may
    call `reach` and `fail` instead, as `tell` does.

    Attributes
    ----------
    type : str
        ``"stopping"``, ``"promotion"``, ``"sha"``, ``"hyperband"``, ``"pasha"``, ``"median"`` or
        ``"fifo"``.
    geometry : Levels
        The rung levels of all brackets.
    levels : tuple of float
        The rung levels of bracket 0, ascending; the last is R.
    brackets : int
        In how many brackets trials start.
    started, running : int
        How many trials have started, and how many run now.
    n_before, cutoff :
        How many values the rung had, and the value that decided, at the last milestone.
    """

    def __init__(self, options: Options, geometry: Levels, brackets: int = 1) -> None:
        self.options = options
        self.type = options.type
        self.mode: Mode = options.mode
        self.geometry = geometry
        self.levels = geometry.levels
        self.brackets = brackets
        self.started = 0
        self.running = 0
        self.n_before = 0
        self.cutoff: float | None = None
        self._sign = 1.0 if options.mode == "max" else -1.0
        self._limit = inf if options.num_trials is None else options.num_trials
        self._most = inf  # see `limit_trials`
        self._extended_from: list[int] = []  # the numbers of trials before each extension
        self._top = len(geometry.levels) - 1
        self._attempts: dict[int, int] = {}  # failures of all kinds
        self._losses: dict[int, int] = {}  # failures that loss_retries counts
        self._reported: dict[int, float] = {}  # the last resource reported, of running jobs
        self._retries: deque[int] = deque()
        self._warned = False
        sampling = bracket_probabilities(geometry.k, brackets, geometry.eta, options.bracket_sampling)
        self._sampler = BracketSampler(sampling, options.seed)
        # Columns with an entry for each trial, and room for more trials. `_at` is the index in `levels` of
        # the next milestone, `_position` the place among the values of the rung that recorded the trial last.
        self._bracket = array("H")
        self._status = bytearray()
        self._at = array("H")
        self._position = array("q")
        self._code = bytearray()  # the verdict at its last milestone
        self._cutoff = array("d")  # the value that decided there; NaN for none

    @property
    def num_trials(self) -> int | None:
        """How many trials are started in all; None if there is no limit."""
        return None if self._limit == inf else int(self._limit)

    def limit_trials(self, most: int) -> None:
        """Start no more than `most` trials in all, as there are no more configurations.

        This is neither an option nor part of the state: call it again after a restart.
        """
        self._most = min(self._most, whole("most", most, 0))
        self._limit = min(self._limit, self._most)

    def extend(self, num_trials: int) -> None:
        """Raise the number of trials that are started in all, also when the scheduler is done.

        The rungs stay as they are, and trials that `dropped` returned may go on again. A bracket of a
        synchronous type that `num_trials` cut short is filled up while its lowest rung is not complete.

        Parameters
        ----------
        num_trials : int
            The new number, at least the present one.

        Raises
        ------
        ParameterError
            If the number is lower, or the scheduler has no limit.
        """
        now = self.options.num_trials
        if now is None:
            raise ParameterError(
                "num_trials", num_trials, "the scheduler starts any number of trials already"
            )
        if whole("num_trials", num_trials, 1) < now:
            raise ParameterError("num_trials", num_trials, f"the scheduler has {now}; it can only have more")
        if num_trials > now:
            self._extended_from.append(now)
            self.options = replace(self.options, num_trials=num_trials)
            self._limit = min(num_trials, self._most)
            self._extend()

    @property
    def extensions(self) -> tuple[int, ...]:
        """The number of trials after each extension so far."""
        now = self.options.num_trials
        return (*self._extended_from[1:], now) if self._extended_from and now is not None else ()

    def _extend(self) -> None:  # noqa: B027 (not every type has something to do)
        """Update the rungs for a higher number of trials."""

    # Jobs

    def ask(self) -> Job | None:
        """Return the next job, or None if there is none until the next `tell`."""
        if self._retries:
            trial = self._retries.popleft()
        else:
            trial = self._choose()
            if trial < 0:
                return None
        self._status[trial] = RUNNING
        self.running += 1
        return self._job(trial)

    def running_jobs(self) -> list[Job]:
        """Return the running jobs, in the order of trials; after a restart their reports come next."""
        return [self._job(t) for t in range(self.started) if self._status[t] == RUNNING]

    def _job(self, trial: int) -> Job:
        bracket = self._bracket[trial]
        at = self._at[trial]
        start = self.levels[at - 1] if at > self.geometry.first[bracket] else 0
        attempt = self._attempts.get(trial, 0) if self._attempts else 0
        return new(Job, (trial, bracket, start, self.levels[at], attempt))

    @property
    def done(self) -> bool:
        """Whether no trial is running and `ask` will never return a job again."""
        return not (self.running or self._retries or self._has_work())

    # The steps of `ask`, for a caller that chooses brackets itself: sample, then promote or else start.

    def sample_bracket(self) -> int:
        """Return a random bracket, the one in which `ask` would look next."""
        bracket = self._sampler.peek()
        self._sampler.take()
        return bracket

    def promote(self, bracket: int) -> Job | None:
        """Return the job of the paused trial that goes on next in a bracket, or None."""
        return None

    def start(self, bracket: int) -> Job:
        """Return the job of a new trial in a bracket, whatever else waits; `num_trials` does not limit it.

        Not for the synchronous types, which plan all trials of a bracket together.

        Raises
        ------
        ParameterError
            There is no such bracket, or the type is synchronous.
        """
        if self.type in ("sha", "hyperband"):
            raise ParameterError("type", self.type, "plans its trials together: only ask starts them")
        if isinstance(bracket, bool) or bracket not in range(self.brackets):
            raise ParameterError("bracket", bracket, f"must be one of 0 ... {self.brackets - 1}")
        return self._begin(self._start(bracket))

    def _begin(self, trial: int) -> Job:
        self._status[trial] = RUNNING
        self.running += 1
        return self._job(trial)

    def _choose(self) -> int:
        """Return the trial that goes on or starts, or -1. `ask` handles retries before it calls this."""
        if self.started >= self._limit:
            return -1
        if self.brackets == 1:
            return self._start(0)
        return self._start(self.sample_bracket())

    def _has_work(self) -> bool:
        """Return whether `_choose` would return a trial."""
        return self.started < self._limit

    def _start(self, bracket: int) -> int:
        """Add a new trial that starts in `bracket`."""
        trial = self.started
        if trial == len(self._status):
            self._make_room()
        self._bracket[trial] = bracket
        self._at[trial] = self.geometry.first[bracket]
        self.started = trial + 1
        return trial

    def _make_room(self) -> None:
        """Lengthen the columns by many entries at once, which is faster than one entry a trial."""
        self._bracket.frombytes(bytes(ROOM * self._bracket.itemsize))
        self._at.frombytes(bytes(ROOM * self._at.itemsize))
        self._status.extend(bytes(ROOM))
        self._code.extend(bytes(ROOM))
        self._position.extend(array("q", [-1]) * ROOM)
        self._cutoff.extend(array("d", [nan]) * ROOM)

    def _known(self, trial: int) -> int:
        """Return the number of a trial that has started, as a plain integer."""
        try:
            number = -1 if isinstance(trial, bool) else index(trial)
        except TypeError:
            number = -1
        if not 0 <= number < self.started:
            known = f"0 ... {self.started - 1}" if self.started else "none yet"
            raise ProtocolError(trial, "an unknown trial", f"one of the trials started: {known}")
        return number

    # Reports and failures

    def tell(self, event: Report | Failure) -> Decision:
        """Process a report or a failure of a running trial.

        Returns
        -------
        Decision
            What happens to the trial.

        Raises
        ------
        ProtocolError
            If the trial is not running, or the resource is not a finite number or went back. The
            state does not change.
        ParameterError
            If a failure's kind is unknown.
        """
        if isinstance(event, Report):
            return self._report(event)
        if isinstance(event, Failure):
            return self._failure(event)
        raise ParameterError("event", event, "must be a Report or a Failure")

    def _report(self, report: Report) -> Decision:
        trial = self._running(report.trial, "a report")
        resource = self._resource(trial, report.resource, "a report")
        value = metric(trial, report.value)
        at = self._at[trial]
        if at < self._top and resource >= self.levels[at + 1]:
            self._warn_skipped(trial, resource)
        self._reported[trial] = resource
        stop = self.levels[at]
        if resource < stop:
            return Decision(Verdict.CONTINUE, stop)
        passed = []
        while True:
            level = self.levels[self._at[trial]]
            code = self.reach(trial, value)
            passed.append(new(Milestone, (level, self.n_before, self.cutoff, VERDICTS[code])))
            if code != CONTINUE:
                return new(Decision, (VERDICTS[code], None, tuple(passed)))
            stop = self.levels[self._at[trial]]
            if resource < stop:
                return new(Decision, (VERDICTS[CONTINUE], stop, tuple(passed)))

    def _failure(self, failure: Failure) -> Decision:
        if failure.kind not in FAILURE_KINDS:
            raise ParameterError("kind", failure.kind, f"must be one of {', '.join(FAILURE_KINDS)}")
        trial = self._running(failure.trial, "a failure")
        self._resource(trial, failure.resource, "a failure")
        return Decision(VERDICTS[self.fail(trial, failure.kind)], None)

    def reach(self, trial: int, value: float) -> int:
        """Record that a running trial has reached its next milestone with `value`; NaN for none.

        Returns
        -------
        int
            The index in `VERDICTS` of the decision. Nothing is checked: see `tell`.
        """
        value *= self._sign
        if not -inf < value < inf:
            value = -inf
        at = self._at[trial]
        self._at[trial] = at + 1
        code = self._code[trial] = self._decide(trial, at, value)
        cutoff = self.cutoff
        self._cutoff[trial] = nan if cutoff is None else cutoff
        if code:
            self._status[trial] = ENDED[code]
            self.running -= 1
            if self._reported:
                self._reported.pop(trial, None)
        return code

    @abstractmethod
    def _decide(self, trial: int, at: int, value: float) -> int:
        """Record a signed value at level `at`, set `n_before` and `cutoff`; return CONTINUE ... COMPLETE."""

    def fail(self, trial: int, kind: str = "error") -> int:
        """Record that a running trial has failed; return RETRY or STOP as an index in `VERDICTS`."""
        attempt = self._attempts[trial] = self._attempts.get(trial, 0) + 1
        lost, most = self._losses.get(trial, 0), self.options.retries
        count = attempt - lost
        if self.options.loss_retries is not None and kind in LOSSES:
            count, most = lost + 1, self.options.loss_retries
            self._losses[trial] = count
        self._reported.pop(trial, None)
        self.running -= 1
        if count <= most:
            self._status[trial] = WAITING
            self._retries.append(trial)
            return RETRY
        self._status[trial] = FAILED
        self._lose(trial, self._at[trial])
        return STOP

    def end(self, trial: int) -> None:
        """Record that the training function of a running trial returned below R.

        The trial counts as completed. Its recorded values and places in rungs remain; a synchronous rung
        no longer waits for it.

        Raises
        ------
        ProtocolError
            If the trial is not running.
        """
        trial = self._running(trial, "the end")
        self._status[trial] = RETURNED
        self._reported.pop(trial, None)
        self.running -= 1
        self._leave(trial, self._at[trial])

    def _lose(self, trial: int, at: int) -> None:  # noqa: B027 (not every type has something to do)
        """Update the rungs for a trial that has failed for good on its way to level `at`."""

    def _leave(self, trial: int, at: int) -> None:  # noqa: B027
        """Update the rungs for a trial whose training function returned on the way to level `at`."""

    def _running(self, trial: int, what: str) -> int:
        if type(trial) is int and 0 <= trial < self.started and self._status[trial] == RUNNING:
            return trial
        trial = self._known(trial)
        status = self._status[trial]
        if status != RUNNING:
            state = "waiting for a retry" if status == WAITING else STATUSES[status]
            raise ProtocolError(trial, f"{what} of a trial that is {state}", "a trial that is running")
        return trial

    def _resource(self, trial: int, resource: float, what: str) -> float:
        number = finite(resource)
        if number is None:
            raise ProtocolError(trial, f"{what} at resource {resource!r}", "a finite number")
        last = self._reported.get(trial)
        if last is not None and number < last:
            raise ProtocolError(
                trial, f"{what} at resource {resource}", f"at least {last}, as reported before"
            )
        return number

    def _warn_skipped(self, trial: int, resource: float) -> None:
        if not self._warned:
            self._warned = True
            text = (
                f"trial {trial} reported at {resource}, past several milestones; it counts at each in order, "
                "as far as the trial goes on"
            )
            warnings.warn(HbsimWarning(text), stacklevel=4)

    # Status and explanations

    def status(self, trial: int) -> str:
        """Return ``"running"``, ``"paused"``, ``"stopped"``, ``"completed"`` or ``"failed"``.

        Raises
        ------
        ProtocolError
            If there is no such trial.
        """
        return STATUSES[self._status[self._known(trial)]]

    def bracket_of(self, trial: int) -> int:
        """Return the bracket in which a trial started."""
        return self._bracket[self._known(trial)]

    def trial_brackets(self) -> array[int]:
        """Return the brackets in which the trials started, in the order of trials."""
        return self._bracket[: self.started]

    def trial_statuses(self) -> list[str]:
        """Return the `status` of every trial, in the order of trials."""
        return [STATUSES[status] for status in self._status[: self.started]]

    def status_counts(self) -> dict[str, int]:
        """Return how many trials are running, paused, stopped, completed, failed."""
        statuses = self._status[: self.started]
        counts = dict.fromkeys(STATUSES, 0)
        for status, name in enumerate(STATUSES):
            counts[name] += statuses.count(status)
        return counts

    def trial_levels(self) -> list[float]:
        """Return the milestone at which each trial stands, 0 before the first, in the order of trials."""
        stands = (0.0, *self.levels)
        first = self.geometry.first
        columns = zip(self._at[: self.started], self._bracket, strict=False)
        return [stands[at] if at > first[b] else 0.0 for at, b in columns]

    def dropped(self) -> list[int]:
        """Return the paused trials that can never go on and were not returned before, in ascending order.

        Their checkpoints can be deleted. Trials only pause in promotion, pasha and the synchronous types.
        """
        return []

    def explain(self, trial: int) -> Explanation:
        """Return why a trial was stopped, paused or promoted at the last milestone that counted.

        Computed on each call: a rank costs a pass over the trial's rung.

        Raises
        ------
        ProtocolError
            If there is no such trial.
        """
        trial = self._known(trial)
        bracket, since = self._bracket[trial], self.standing_since(trial)
        if self._position[trial] < 0:
            first = self.levels[self.geometry.first[bracket]]
            text = f"Trial {trial} (bracket {bracket}) has reached no milestone yet; its first is {first}."
            return Explanation(trial, bracket, None, 0, None, None, None, f"{text} {since}".rstrip())
        verdict, level = VERDICTS[self._code[trial]], self.levels[self._at[trial] - 1]
        value, n, rank, cutoff = self.standing(trial)
        shown = "no number" if value is None else f"{value:g}"
        held = ", with no cutoff yet" if cutoff is None else f", against a cutoff of {cutoff:g}"
        rule = ""
        if verdict is Verdict.COMPLETE:
            held = ""
        elif value is None:
            held, rule = "", " What is no number never goes on."
        text = (
            f"Trial {trial} (bracket {bracket}) came to level {level} with {shown}, "
            f"rank {rank} of {n} there{held}: {verdict.value}.{rule}"
        )
        text = f"{text} {since}".rstrip()
        return Explanation(trial, bracket, level, n, rank, cutoff, verdict, text)

    def standing(self, trial: int) -> tuple[float | None, int, int, float | None]:
        """Return a trial's last value, n, its rank and the cutoff, as of the decision."""
        order = self._position[trial]
        values = self._rung_values(trial)
        value = values[order]
        rank = 1 + sum(other >= value for other in values[:order])
        cutoff = self._cutoff[trial]
        return self._shown(value), order + 1, rank, None if cutoff != cutoff else cutoff

    def standing_since(self, trial: int) -> str:
        """Say in a sentence what happened to a trial since its last milestone; empty if nothing did."""
        status = self._status[trial]
        if status == FAILED:
            return "It has failed for good since."
        if status == RETURNED:
            return "Its training came to an end of its own since."
        if status == WAITING:
            return "It has failed since and waits for a retry."
        return self._since(trial) if self._code[trial] == PAUSE else ""

    def _since(self, trial: int) -> str:
        """Return the same for a trial that paused at its last milestone."""
        return ""

    def _shown(self, value: float) -> float | None:
        return None if value == -inf else value * self._sign + 0.0

    @abstractmethod
    def _rung_values(self, trial: int) -> list[float]:
        """Return the signed values of the rung that recorded `trial` last."""

    # State

    def state_dict(self) -> dict[str, object]:
        """Return the whole state in plain JSON types, for `load_state_dict`."""
        from hbsim.core.state import save

        return save(self)

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore a state that a scheduler of the same options returned.

        Raises
        ------
        ParameterError
            If the options differ, or the state is not valid; the scheduler is unchanged then.
        """
        from hbsim.core.state import load

        load(self, state)

    @abstractmethod
    def _extra_state(self) -> dict[str, object]:
        """Return the state of a subclass beside the columns, in plain JSON types."""

    @abstractmethod
    def _load_extra(self, state: dict[str, object]) -> None:
        """Restore what `_extra_state` returned; the columns are restored already."""

    @abstractmethod
    def _check_extra(self) -> None:
        """Check the restored state against the columns; raise a ValueError if they do not fit."""

    def __repr__(self) -> str:
        return f"<{self.type} scheduler: {self.started} trials, {self.running} running, levels {self.levels}>"
