"""Real workers: what starts jobs, hears of them and ends them. The local executor is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

__all__ = [
    "NEVER",
    "Assignment",
    "JobEnded",
    "Message",
    "ReportRow",
    "Reported",
    "WorkerBackend",
    "WorkerClosed",
    "WorkerOpened",
]

NEVER: Final = float("inf")  # a milestone that no report reaches


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker has to know to run a job.

    Attributes
    ----------
    job : int
        The number of the run; every message about it has the number.
    trial, attempt : int
        The trial, and how often it has failed so far.
    start, stop : float
        The milestone where the trial stands, 0 if it is new; its next one, where training waits. `NEVER`
        if it trains until the function returns.
    point : list of float
        The configuration, a point of the unit cube of the search space.
    seed : int
        The trial's own.
    study : str
        The study's id.
    started : float
        Study seconds at which the job was started.
    earlier : list of (int, float, int)
        The trial's jobs before this one: number, start, and how many reports the journal has of each.
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


class ReportRow(NamedTuple):
    """One report.

    Attributes
    ----------
    at : float
        When it was made: seconds on the monotonic clock of the machine that drives the study.
    trained : float
        Seconds of training in this job until then, without the waits at milestones and without what
        saving and loading checkpoints took.
    resource : float
        The resource reached; never below the one before in the same job.
    metrics : dict
        All numbers that were reported, the one that decides among them; None where it was no finite number.
    """

    at: float
    trained: float
    resource: float
    metrics: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Reported:
    """A job has reported.

    Attributes
    ----------
    job : int
        Which one.
    rows : list of ReportRow
        Its reports since the last time.
    first : int
        The number of the first of these among the reports of the job, from 0: what comes twice, or out of
        order, is known by it.
    waits : bool
        Whether training stands at the last row, at or past its milestone, and waits for an answer.
    """

    job: int
    rows: list[ReportRow]
    first: int
    waits: bool = False


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job's process is gone, with all that it started; its worker and its GPU memory are free.

    Attributes
    ----------
    job : int
        Which one.
    rows, first : list of ReportRow, int
        Reports that were not said yet; as in `Reported`.
    kind : str or None
        None if the function returned, or left as it was told to. Else what kind of `Failure` it was.
    reason : str
        The failure in one line, for people.
    begun : float or None
        When the function was called, on the same clock as `ReportRow.at`; None if it never was.
    seconds : dict
        What was measured of it: ``load`` and ``save``, seconds of loading and saving checkpoints;
        ``start``, seconds from the order until the function was called; ``wait``, seconds at milestones;
        ``exit``, seconds from the end of the function until the process was gone. What is unknown is absent.
    left : bool
        Whether the function was told to leave, and did.
    """

    job: int
    rows: list[ReportRow] = field(default_factory=list)
    first: int = 0
    kind: str | None = None
    reason: str = ""
    begun: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    left: bool = False


@dataclass(frozen=True, slots=True)
class WorkerOpened:
    """A worker takes jobs from now on: its host has joined, or is back.

    Attributes
    ----------
    worker : int
        Its number; one that nothing runs on.
    host : str
        The name of its machine.
    cpus : int
        How many CPU cores, or threads where cores are shared, its trials get.
    gpus : list of str
        The UUIDs of the GPUs that its trials see.
    """

    worker: int
    host: str
    cpus: int
    gpus: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WorkerClosed:
    """A worker takes no jobs any more until it is opened again; what it runs ends as any job.

    Attributes
    ----------
    worker : int
        Its number.
    reason : str
        Why, in one line, for people.
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
        """Return what has been said since the last time; waits `timeout` seconds for it, None for ever.

        Returns an empty sequence when the time is over, or after `wake`.
        """
        ...

    def wake(self) -> None:
        """Let `wait` return at once. May be called by a signal handler."""
        ...

    def go_on(self, job: int, stop: float) -> None:
        """Answer a job that waits at a milestone: train to `stop`."""
        ...

    def leave(self, job: int, save: bool) -> None:
        """Have a job leave its function, where it waits, or else at its next report; then it is `JobEnded`.

        With `save` the function given to ``reporter.on_pause`` makes a checkpoint first.
        """
        ...

    def kill(self, job: int, reason: str = "") -> None:
        """End a job's process group: SIGTERM, and after a grace SIGKILL. Then it is `JobEnded`, as lost."""
        ...

    def cut(self, reason: str) -> None:
        """Kill all jobs at once: there is no time left. Then they are `JobEnded`, as lost."""
        ...

    def close(self) -> None:
        """Kill what is left, at once, and free everything. May be called twice."""
        ...
