"""The inputs and outputs of a scheduler: jobs, reports, failures, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

Mode: TypeAlias = Literal["max", "min"]


class Verdict(StrEnum):
    """What happens to a trial at a milestone, or after a failure."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"
    COMPLETE = "complete"
    RETRY = "retry"


# Numbers of statuses and verdicts, for columns. RETURNED: the training function returned below R.
RUNNING, WAITING, PAUSED, STOPPED, COMPLETED, FAILED, RETURNED = range(7)
STATUSES: Final = ("running", "running", "paused", "stopped", "completed", "failed", "completed")

CONTINUE, PAUSE, STOP, COMPLETE, RETRY = range(5)
VERDICTS: Final = (Verdict.CONTINUE, Verdict.PAUSE, Verdict.STOP, Verdict.COMPLETE, Verdict.RETRY)

FailureKind: TypeAlias = Literal["error", "oom", "lost", "preempted"]
FAILURE_KINDS: Final[tuple[FailureKind, ...]] = get_args(FailureKind)
LOSSES: Final[tuple[FailureKind, ...]] = ("lost", "preempted")  # of the host, not of the trial


class Job(NamedTuple):
    """Work for one worker: train `trial` from `start` to `stop`.

    Attributes
    ----------
    trial : int
        Trials are numbered 0, 1, 2, ... in the order they start.
    bracket : int
        The bracket in which the trial started; 0 starts at the grace period.
    start : float
        The milestone where the trial stands, 0 if it is new; units of the resource.
    stop : float
        Its next milestone.
    attempt : int
        How often the trial has failed so far.
    """

    trial: int
    bracket: int
    start: float
    stop: float
    attempt: int


@dataclass(slots=True)
class Report:
    """A running trial has reached `resource` with the metric at `value`.

    Attributes
    ----------
    trial : int
        A running trial.
    resource : float
        Finite, and not below the job's previous report.
    value : float or None
        The metric that decides. NaN, infinities and None are worse than any number, and never go on.
    """

    trial: int
    resource: float
    value: float | None


@dataclass(slots=True)
class Failure:
    """A running trial has failed at `resource`.

    Attributes
    ----------
    trial : int
        A running trial.
    resource : float
        The last resource reached; finite, and not below the job's previous report.
    kind : str
        A `FailureKind`: ``"error"``, ``"oom"``, ``"lost"`` or ``"preempted"``.
    reason : str
        The reason in one line, as text for people.
    """

    trial: int
    resource: float
    kind: str = "error"
    reason: str = ""


class Milestone(NamedTuple):
    """A milestone that a report was counted at, and the decision.

    Attributes
    ----------
    level : float
        The milestone.
    n_before : int
        How many values the rung had recorded before this one.
    cutoff : float or None
        The value that it was compared with; None if there was none.
    verdict : Verdict
        What was decided.
    """

    level: float
    n_before: int
    cutoff: float | None
    verdict: Verdict


class Decision(NamedTuple):
    """The answer to a report or a failure.

    Attributes
    ----------
    verdict : Verdict
        CONTINUE, PAUSE, STOP or COMPLETE; after a failure RETRY or STOP.
    stop : float or None
        The next milestone when the trial continues, else None.
    milestones : tuple of Milestone
        The milestones that the report was counted at, in order; empty below the next one.
    """

    verdict: Verdict
    stop: float | None
    milestones: tuple[Milestone, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a trial was stopped, paused or promoted at the last milestone that counted.

    Attributes
    ----------
    trial, bracket : int
        The trial, and the bracket in which it started.
    level : float or None
        The last milestone counted; None before the first.
    n : int
        How many values the rung had when it decided, this one included.
    rank : int or None
        The place of the trial's value among these, 1 for the best; ties go to the earlier recorded.
    cutoff : float or None
        The value that it was compared with; None if there was none.
    verdict : Verdict or None
        What was decided; None before any decision.
    text : str
        The explanation in a sentence.
    """

    trial: int
    bracket: int
    level: float | None
    n: int
    rank: int | None
    cutoff: float | None
    verdict: Verdict | None
    text: str
