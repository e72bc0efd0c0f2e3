"""The interface of real workers, which run jobs, and their messages; local workers are one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

from hbsim.core.types import FailureKind

NEVER: Final = float("inf")  # a milestone that no report reaches


@dataclass(frozen=True, slots=True)
class Assignment:
    """The data that a worker needs to run a job.

    Attributes
    ----------
    job : int
        The number of the job, which every message about it has.
    trial, attempt : int
        The trial, and how often it has failed so far.
    start, stop : float
        The trial's present milestone, 0 if it is new; and its next one, where training waits. `NEVER` if
        it trains until the function returns.
    point : list of float
        The configuration, a point of the unit cube of the search space.
    seed : int
        The trial's seed.
    study : str
        The study's id.
    started : float
        Study seconds at which the job was started.
    earlier : list of (int, float, int)
        The trial's earlier jobs: number, start, and how many reports of each the journal has.
    best : float or None
        The study's best value when the job starts, if there is one.
    changed : dict of str to object
        The present values of hyperparameters and constants that the trial has reported with other values
        than it was given.
    """

    job: int
    trial: int
    attempt: int
    start: float
    stop: float
    point: list[float]
    seed: int
    study: str = ""
    started: float = 0.0
    earlier: list[tuple[int, float, int]] = field(default_factory=list)
    best: float | None = None
    changed: dict[str, object] = field(default_factory=dict)


class ReportRow(NamedTuple):
    """A report of a job.

    Attributes
    ----------
    at : float
        The time of the report: seconds on the monotonic clock of the machine that drives the study.
    trained : float
        Seconds of training in this job until then, without waits at milestones and without the time of
        saving and loading checkpoints.
    resource : float
        The resource reached; never below the one before in the same job.
    metrics : dict
        All reported metrics, including the one that decides; None for a value that is not finite.
    """

    at: float
    trained: float
    resource: float
    metrics: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Reported:
    """The message that a job has made reports, or that its training begins.

    Attributes
    ----------
    job : int
        Which one.
    rows : list of ReportRow
        The reports since the last message.
    first : int
        The number of the first of these reports in the job, from 0, by which duplicates and gaps are
        recognised.
    waits : bool
        Whether training waits for an answer after the last row, at or past its milestone.
    begun : float or None
        When the function was called, on the same clock as `ReportRow.at`, in the message that says so.
    changed : mapping of str to (object, object)
        Hyperparameters and constants that have other values than before from the first of these reports on:
        the given value and the present one.
    """

    job: int
    rows: list[ReportRow]
    first: int
    waits: bool = False
    begun: float | None = None
    changed: Mapping[str, Sequence[object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The message that a job's process and its children have ended; worker and GPU memory are free.

    Attributes
    ----------
    job : int
        Which one.
    rows, first : list of ReportRow, int
        Reports that no message has had yet; as in `Reported`.
    kind : FailureKind or None
        None if the function returned, or left as ordered; else how it failed.
    reason : str
        The failure in one line, as text for people.
    begun : float or None
        When the function was called, on the same clock as `ReportRow.at`; None if it never was.
    seconds : dict
        Measured times: ``load`` and ``save``, seconds of loading and saving checkpoints;
        ``start``, seconds from the order until the function was called; ``wait``, seconds at milestones;
        ``exit``, seconds from the end of the function to that of the process. Unknown times are absent.
    left : bool
        Whether the function left as ordered.
    """

    job: int
    rows: list[ReportRow] = field(default_factory=list)
    first: int = 0
    kind: FailureKind | None = None
    reason: str = ""
    begun: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    left: bool = False


@dataclass(frozen=True, slots=True)
class WorkerOpened:
    """The message that a worker takes jobs from now on: its host has joined, or is back.

    Attributes
    ----------
    worker : int
        The worker's number; no job runs on it.
    host : str
        The name of its machine.
    cpus : int
        How many CPU cores its trials get, or threads if they share cores.
    gpus : list of str
        The UUIDs of the GPUs that its trials see.
    """

    worker: int
    host: str
    cpus: int
    gpus: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WorkerClosed:
    """The message that a worker takes no jobs until it is opened again; its running job ends as any other.

    Attributes
    ----------
    worker : int
        Its number.
    reason : str
        The reason in one line, as text for people.
    """

    worker: int
    reason: str


Message: TypeAlias = Reported | JobEnded | WorkerOpened | WorkerClosed


class WorkerBackend(Protocol):
    """Runs each job in a process of its own, one job a worker at a time.

    Attributes
    ----------
    count : int
        How many workers there are from the start: 0 ... count - 1. Others come by `WorkerOpened`.
    """

    count: int

    def start(self, worker: int, task: Assignment) -> None:
        """Start a job on an idle worker. Returns at once; a failure to start comes as `JobEnded`."""
        ...

    def wait(self, timeout: float | None) -> Sequence[Message]:
        """Return the messages since the last call; wait up to `timeout` seconds for one, None for ever.

        Returns an empty sequence after the timeout, or after `wake`.
        """
        ...

    def wake(self) -> None:
        """Let `wait` return at once. May be called by a signal handler."""
        ...

    def go_on(self, job: int, stop: float) -> None:
        """Let a job that waits at a milestone train on to `stop`."""
        ...

    def leave(self, job: int, save: bool) -> None:
        """Order a job to leave where it waits, or at its next report; then comes its `JobEnded`.

        With `save` the function given to ``reporter.on_pause`` makes a checkpoint first.
        """
        ...

    def kill(self, job: int, reason: str = "") -> None:
        """End a job's process group by SIGTERM, and SIGKILL after a grace; then comes `JobEnded`, as lost."""
        ...

    def cut(self, reason: str) -> None:
        """Kill all jobs at once, without a grace; then comes their `JobEnded`, as lost."""
        ...

    def close(self) -> None:
        """Kill the remaining jobs at once, and free all resources. May be called twice."""
        ...
