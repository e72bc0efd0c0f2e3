"""Measurements of real runs: what each job spent its time on, and the cluster's parameters from that."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hbsim.core.types import Verdict
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.runner.journal_reader import read_records
from hbsim.runner.journal_state import JournalState, value_of
from hbsim.runner.records import (
    EndReason,
    JobBegun,
    JobFailed,
    JobReports,
    JobReturned,
    MilestoneReached,
    NothingToRun,
    ProcessEnded,
    Record,
    StudyResumed,
    WorkerJoined,
    WorkerLeft,
)
from hbsim.searchers import learns
from hbsim.study.folder import StudyFolder
from hbsim.study.result import load

if TYPE_CHECKING:
    from hbsim.simulation import Cluster
    from hbsim.study.result import RunResult


class JobReport(NamedTuple):
    """One report of a job: the resource, the seconds of training until then, the metric (NaN for none)."""

    resource: float
    trained: float
    value: float


class ReachedMilestone(NamedTuple):
    """A milestone of a job: the value of the decision, and the seconds of training until then."""

    value: float
    trained: float


@dataclass(slots=True)
class RecordedJob:
    """A job on a worker, as the journal has it. Times are study seconds.

    Attributes
    ----------
    job, trial, worker : int
        The job, its trial and its worker.
    start_time, end_time : float
        From the order to the moment at which the worker was free again.
    stood, start_resource : float
        The trial's milestone; and the resource from which the job trained, 0 if it began anew.
    held_back : bool
        Whether the trial's last process still saved its checkpoint at the start.
    begun : float or None
        When the training function was called.
    seconds : dict
        Seconds measured within the process: start, load, save, wait, exit.
    gap : float or None
        How long its worker was idle before, although there was a job for it; None where it waited for one.
    reports : list of JobReport
        In order.
    decided : dict of int to ReachedMilestone
        By the index of the level.
    verdict : str or None
        The decision that ended it, or failed; None if it was cut.
    kept : bool
        Whether its checkpoint was used: if the trial went on, it went on from there. The time of a refused
        checkpoint does not count as that of a checkpoint.
    """

    job: int
    trial: int
    worker: int
    start_time: float
    stood: float
    gap: float | None
    held_back: bool = False
    start_resource: float = 0.0
    end_time: float = nan
    begun: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    reports: list[JobReport] = field(default_factory=list)
    decided: dict[int, ReachedMilestone] = field(default_factory=dict)
    verdict: str | None = None
    kept: bool = True

    @property
    def trained(self) -> float:
        """Seconds of training until the last report."""
        return self.reports[-1].trained if self.reports else 0.0

    @property
    def whole(self) -> bool:
        """Whether a decision ended it: then all its seconds are accounted for."""
        return self.begun is not None and self.verdict not in (None, "failed")

    @property
    def held(self) -> float:
        """Seconds until the process was started, where it was held back."""
        if not self.held_back or self.begun is None or "start" not in self.seconds:
            return 0.0
        return max(0.0, self.begun - self.start_time - self.seconds["start"])

    @property
    def wait(self) -> float:
        """Seconds at milestones."""
        return self.seconds.get("wait", 0.0)

    @property
    def save(self) -> float:
        """Seconds of saving checkpoints; of refused ones they are start-up."""
        return self.seconds.get("save", 0.0) if self.kept else 0.0

    @property
    def load(self) -> float:
        """Seconds of loading the checkpoint that a trial went on from; to look for none is start-up."""
        return self.seconds.get("load", 0.0) if self.start_resource else 0.0

    @property
    def rest(self) -> float:
        """The other seconds of the job: start-up, refused checkpoints, and the exit of the process."""
        spent = self.trained + self.wait + self.save + self.load + self.held
        return max(0.0, self.end_time - self.start_time - spent)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A real study and its jobs.

    Attributes
    ----------
    name : str
        The name of its folder.
    result : RunResult
        As `hbsim.load` reads it: the scheduler has given the same answers again.
    jobs : list of RecordedJob
        In the order of starts.
    resumed : int
        How often the study went on in a new process.
    """

    name: str
    result: RunResult
    jobs: Sequence[RecordedJob]
    resumed: int

    @property
    def complete(self) -> bool:
        """Whether nothing but the scheduler ended it."""
        return self.result.why == EndReason.DONE

    def same_trials(self, other: RecordedRun) -> bool:
        """Whether trial i is the same in both: all but the scheduler is, and the searcher does not learn."""
        spec = self.result.spec
        ours, theirs = spec.as_dict(), other.result.spec.as_dict()
        is_same = all(ours[name] == theirs[name] for name in ours if name != "scheduler")
        return spec.digest is not None and not learns(spec.searcher) and is_same


def read(folder: Path | str) -> RecordedRun:
    """Read a study that was run.

    Raises
    ------
    ParameterError
        There is no study in the folder, or nothing was decided in it.
    OutputError
        The study is still running.
    JournalError
        The journal is damaged, or the scheduler does not answer as it did in the recorded order.
    """
    study_folder = StudyFolder(folder)
    study_folder.check_holds_study("folders")
    with _at_rest(study_folder.path):
        result = load(study_folder.path)
        with warnings.catch_warnings():  # `load` has said it
            warnings.simplefilter("ignore", HbsimWarning)
            records = list(read_records(study_folder.journal))
    if result.spec.until_return:
        rule = "its trials ran until their functions returned: no decision was made that could be predicted"
        raise ParameterError("folders", str(folder), rule)
    if result.decisions.is_empty() or result.spec.metric is None:
        rule = "is a study in which nothing was decided: there is nothing to hold the simulator against"
        raise ParameterError("folders", str(folder), rule)
    resumed = sum(isinstance(record, StudyResumed) for record in records)
    return RecordedRun(study_folder.path.name, result, _Reading(result).read(records), resumed)


@contextmanager
def _at_rest(path: Path) -> Iterator[None]:
    """Hold the study's lock, if this process may write there: nobody else writes while it is read."""
    from hbsim.runner.lock import StudyLock

    if not os.access(path, os.W_OK):
        yield
        return
    with StudyLock(path):
        yield


def went_on(jobs: Iterable[RecordedJob]) -> list[bool]:
    """Return of each job of a trial that had trained before whether it went on from where the trial stood."""
    return [job.start_resource > 0 for job in jobs if job.stood and job.reports]


def _note_refused(jobs: Sequence[RecordedJob]) -> None:
    """Mark jobs whose checkpoints were refused: their trials trained from zero again.

    A trial that did not go on counts like the majority of the others.
    """
    going = went_on(jobs)
    usual = 2 * sum(going) >= len(going)
    last: dict[int, RecordedJob] = {}
    for job in jobs:
        before = last.get(job.trial)
        if before is not None and job.stood and job.reports:
            before.kept = job.start_resource > 0
        last[job.trial] = job
    for job in last.values():
        job.kept = usual


class _Reading:
    """Turns records into jobs."""

    def __init__(self, result: RunResult) -> None:
        spec = result.spec
        self._journal_state = JournalState(result.scheduler.levels, result.scheduler.mode, spec.metric)
        self._metric = spec.metric
        self._jobs: dict[int, RecordedJob] = {}
        self._free = dict.fromkeys(range(result.workers), 0.0)  # since when, of those with work to do

    def read(self, records: Sequence[Record]) -> list[RecordedJob]:
        for record in records:
            self._note_free(record)
            match record:
                case StudyResumed():
                    self._end_all()
                case ProcessEnded():
                    self._end(record)
                case JobBegun():
                    self._begin(record)
            self._journal_state.apply(record)
            match record:
                case JobReports():
                    self._hear(record)
                case JobFailed():
                    self._jobs[record.job].verdict = "failed"
                case JobReturned():
                    self._jobs[record.job].verdict = "complete"
        self._end_all()
        jobs = list(self._jobs.values())
        _note_refused(jobs)
        return jobs

    def _end_all(self) -> None:
        """End the running jobs: the process of the study has ended, and its jobs with it."""
        for job in self._jobs.values():
            if isnan(job.end_time):
                job.end_time = self._journal_state.now

    def _note_free(self, record: Record) -> None:
        """Update which workers wait for a job after a record."""
        match record:
            case NothingToRun() | StudyResumed():
                self._free.clear()
            case WorkerLeft():
                self._free.pop(record.worker, None)
            case WorkerJoined():
                self._free[record.worker] = record.time

    def _begin(self, record: JobBegun) -> None:
        since = self._free.pop(record.worker, None)
        trial, runs = record.trial, self._journal_state.runs.values()
        self._jobs[record.job] = RecordedJob(
            job=record.job,
            trial=trial,
            worker=record.worker,
            start_time=record.time,
            stood=record.start,
            gap=None if since is None else max(0.0, record.time - since),
            held_back=any(run.trial == trial for run in runs),
        )

    def _hear(self, record: JobReports) -> None:
        job = self._jobs[record.job]
        for _, trained, resource, metrics in record.rows:
            job.reports.append(JobReport(resource, trained, value_of(metrics, self._metric)))
        job.start_resource = self._journal_state.runs[record.job].start_resource
        if isinstance(record, MilestoneReached):
            value = nan if record.value is None else record.value
            job.decided[record.at] = ReachedMilestone(value, job.trained)
            if record.verdict is not Verdict.CONTINUE:
                job.verdict = record.verdict.value

    def _end(self, record: ProcessEnded) -> None:
        job = self._jobs[record.job]
        job.end_time, job.begun = record.time, record.begun
        job.seconds = dict(record.seconds)
        self._free[job.worker] = record.time


LEAST: Final = 0.01  # a fit of noise below this is none
ENOUGH: Final = 10  # degrees of freedom that a fit of noise takes
MOST: Final = 0.5  # the variation beyond which 1 + |z| is no model of the noise any more
# Of |z|, z ~ Normal(0, 1): the mean and the standard deviation.
MEAN: Final = math.sqrt(2 / math.pi)
DEVIATION: Final = math.sqrt(1 - 2 / math.pi)


@dataclass(frozen=True, slots=True)
class Measured:
    """A parameter's value, and how many observations it is based on; without any it is the default."""

    value: float
    observations: int


@dataclass(frozen=True, slots=True)
class Costs:
    """The measured parameters of a cluster, each with its number of observations.

    Attributes
    ----------
    startup : Measured
        Seconds of a job that are no training, no wait and no checkpoint: from the order until the function
        is called, and from its end until the worker has the next job; and what it took to save where there
        was no pause, or the checkpoint was refused, as the simulator saves at pauses only. An observation a
        job.
    report_delay : Measured
        Seconds at a milestone until its decision arrived. An observation a milestone.
    save, load : Measured
        Seconds of a checkpoint, over the jobs that paused and those that went on. An observation a job that
        saved; a job that loaded.
    straggler_std : Measured
        Noise of the seconds that a unit of the resource takes, beside the trial's own rate. An observation
        a stretch between two levels.
    drop_rate : Measured
        Failures, as a probability per second. An observation a failure.
    resume : Measured
        1 if trials that were promoted or retried went on from a checkpoint, 0 if they trained from zero. An
        observation such a job.
    """

    startup: Measured
    report_delay: Measured
    save: Measured
    load: Measured
    straggler_std: Measured
    drop_rate: Measured
    resume: Measured

    def options(self) -> dict[str, object]:
        """Return the keyword arguments of `hbsim.Cluster`, without the number of workers."""
        names = ("startup", "report_delay", "save", "load", "straggler_std")
        rounded: dict[str, object] = {name: round(getattr(self, name).value, 6) for name in names}
        rate = float(f"{self.drop_rate.value:.6g}")
        return {**rounded, "drop_rate": rate, "resume": bool(self.resume.value), "report": "blocking"}

    def cluster_options(self, workers: int | None) -> dict[str, object]:
        """Return the keyword arguments of `hbsim.Cluster`; without `workers` where that is None."""
        return {**({} if workers is None else {"workers": workers}), **self.options()}

    def observations(self) -> dict[str, int]:
        """Return how many observations each parameter has."""
        return {name: getattr(self, name).observations for name in self.__slots__}

    def cluster(self, workers: int) -> Cluster:
        """Return the cluster on which recorded seconds are replayed: their noise is in them already."""
        from hbsim.simulation import Cluster

        options = {**self.options(), "straggler_std": 0.0}
        return Cluster(workers=workers, **options)  # type: ignore[arg-type]

    def with_resume(self, resume: Measured) -> Costs:
        """Return the same with another `resume`."""
        return replace(self, resume=resume)


def measure(runs: Iterable[Sequence[RecordedJob]]) -> Costs:
    """Measure the parameters from the jobs of one or more runs."""
    parts = [list(jobs) for jobs in runs]
    jobs = [job for part in parts for job in part]
    whole = [job for job in jobs if job.whole]
    gaps = [job.gap for job in jobs if job.gap is not None]
    pauses = [job for job in whole if job.verdict == "pause" and job.kept]
    besides = [job.rest + (0.0 if job.verdict == "pause" else job.save) for job in whole]
    startup = _mean(besides)
    milestones = sum(len(job.decided) for job in whole)
    waited = math.fsum(job.wait for job in whole)
    return Costs(
        startup=Measured(startup.value + _mean(gaps).value, startup.observations),
        report_delay=Measured(waited / milestones if milestones else 0.0, milestones),
        save=_mean_of_those_with([job.save for job in pauses]),
        load=_mean_of_those_with([job.load for job in whole if job.start_resource]),
        straggler_std=straggler_std(parts),
        drop_rate=_drop_rate(jobs),
        resume=_resume(jobs),
    )


def _mean(values: Sequence[float]) -> Measured:
    return Measured(math.fsum(values) / len(values) if values else 0.0, len(values))


def _mean_of_those_with(values: Sequence[float]) -> Measured:
    """Return the mean of all, as the simulator takes it of all; observed are those that are not 0."""
    return Measured(_mean(values).value, sum(value > 0 for value in values))


def _resume(jobs: Sequence[RecordedJob]) -> Measured:
    """Measure whether most trials that had trained before went on from their milestones."""
    later = went_on(jobs)
    return Measured(float(2 * sum(later) >= len(later)), len(later))


def _drop_rate(jobs: Sequence[RecordedJob]) -> Measured:
    failures = sum(job.verdict == "failed" for job in jobs)
    exposed = math.fsum(job.end_time - job.start_time - job.wait - job.save - job.held for job in jobs)
    rate = failures / exposed if failures and exposed > 0 else 0.0
    return Measured(-math.expm1(-rate), failures)


def straggler_std(runs: Iterable[Sequence[RecordedJob]]) -> Measured:
    """Fit the noise of the model 1 + |z| to the seconds that stretches between two levels take.

    The variation of a trial's seconds a unit around their mean is that of 1 + s |z|: its standard deviation
    is 0.603 s, and its mean 1 + 0.798 s.
    """
    squares, freedom, count = 0.0, 0, 0
    for jobs in runs:
        for rates in _rates(jobs).values():
            if len(rates) < 2:
                continue
            mean = math.fsum(rates) / len(rates)
            squares += math.fsum((rate / mean - 1) ** 2 for rate in rates)
            freedom += len(rates) - 1
            count += len(rates)
    if freedom < ENOUGH:
        return Measured(0.0, count)
    variation = min(MOST, math.sqrt(squares / freedom))
    fitted = variation / (DEVIATION - MEAN * variation)
    return Measured(fitted if fitted >= LEAST else 0.0, count)


def _rates(jobs: Sequence[RecordedJob]) -> dict[int, list[float]]:
    """Return the seconds a unit of each trial's stretches.

    A job's first report is where its first stretch begins: before it the function also builds its model.
    """
    rates: dict[int, list[float]] = {}
    for job in jobs:
        if not job.reports:
            continue
        resource, trained = job.reports[0].resource, job.reports[0].trained
        by_seconds = {report.trained: report.resource for report in job.reports}
        for milestone in job.decided.values():
            reached = by_seconds[milestone.trained]
            if reached > resource and milestone.trained > trained:
                rates.setdefault(job.trial, []).append((milestone.trained - trained) / (reached - resource))
            resource, trained = reached, milestone.trained
    return rates
