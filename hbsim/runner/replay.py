"""The replay of a journal through the scheduler on resume, with a check that it decides the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np

from hbsim.core.types import VERDICTS, Job
from hbsim.errors import JournalError
from hbsim.runner.journal_state import JournalState, RunningJob
from hbsim.runner.loop import END, FAILURE, MILESTONE, NOTHING, Event
from hbsim.runner.records import (
    JobBegun,
    JobFailed,
    JobReports,
    JobRestarted,
    JobReturned,
    JobStarted,
    MilestoneReached,
    MissingReports,
    NothingToRun,
    ProcessEnded,
    Record,
    ReportBatch,
    StudyResumed,
    ValuesChanged,
)
from hbsim.searchers import Searcher

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

# The scheduler's answers for an idle worker, and the events that the loop waits for; all other records only
# change the journal state.
ANSWERS: Final = (JobStarted, NothingToRun)
EVENTS: Final = (MilestoneReached, JobFailed, JobReturned)


class Replay:
    """An `Executor` that replays the events of a journal.

    After the loop, scheduler, searcher and journal state are as they were when the last record was written.

    Parameters
    ----------
    records : iterable of Record
        The records of the journal after the first, in order; one is read ahead.
    journal_state : JournalState
        A new journal state.
    path : str
        The journal's file, for errors.
    scheduler : Scheduler
        The scheduler that decides again.
    searcher : Searcher, optional
        The searcher, which gets each configuration as its trial starts.
    dimension : int, optional
        How many numbers a configuration has.

    Raises
    ------
    JournalError
        From the loop, if the scheduler decides something else than the journal says, or a record does not
        fit the earlier ones; it names the line.
    """

    def __init__(
        self,
        records: Iterable[Record],
        journal_state: JournalState,
        path: str,
        scheduler: Scheduler,
        searcher: Searcher | None = None,
        dimension: int | None = None,
    ) -> None:
        self.now, self.trial, self.at, self.value, self.kind = 0.0, -1, 0, 0.0, "error"
        self.journal_state = journal_state
        self._records = iter(records)
        self._ahead = next(self._records, None)
        self._line = 1  # of the record that was taken last, or of the first of a batch
        self._next_line = 2
        self._path = path
        self._scheduler, self._searcher, self._dimension = scheduler, searcher, dimension

    @property
    def over(self) -> bool:
        """Whether all records have been replayed."""
        return self._ahead is None

    def idle(self) -> int:
        """Return the idle worker if the next record is the scheduler's answer for one, else -1."""
        while (record := self._ahead) is not None and not isinstance(record, (*ANSWERS, *EVENTS)):
            self._apply(self._take())
        return record.worker if isinstance(record, ANSWERS) else -1

    def start(self, worker: int, job: Job) -> None:
        """Compare a job with the one that the journal says."""
        record = self._take()
        if not isinstance(record, JobStarted) or not _is_of(record, job):
            self._differs(record, f"trial {job.trial} from {job.start:g} to {job.stop:g}")
        self._apply(record)
        if self._searcher is not None and record.point is not None:
            self._searcher.resume(np.array([record.point], dtype=np.float64))

    def no_job(self, worker: int) -> None:
        """Compare the answer that there is no job with the one that the journal says."""
        record = self._take()
        if not isinstance(record, NothingToRun):
            self._differs(record, "no job")
        self._apply(record)

    def wait(self) -> Event:
        """Return the next event; NOTHING at the end of the journal, or where the number of trials grew."""
        while (record := self._ahead) is not None:
            match record:
                case MilestoneReached():
                    self.at = record.at
                    if self.journal_state.milestone(self._set_event(record)) != record.at:
                        self._take()
                        self._wrong(f"job {record.job} is not at milestone number {record.at}")
                    self.value = nan if record.value is None else record.value
                    return MILESTONE
                case JobFailed():
                    self._set_event(record)
                    self.kind = record.kind
                    return FAILURE
                case JobReturned():
                    self._set_event(record)
                    return END
                case JobStarted():
                    self._differs(self._take(), "no job")
            self._apply(self._take())
            if isinstance(record, StudyResumed) and record.trials is not None:
                return NOTHING  # the scheduler has to be asked again
        return NOTHING

    def answer(self, code: int) -> None:
        """Compare a decision with the one that the journal says."""
        record = self._take()
        verdict = VERDICTS[code]
        if isinstance(record, MilestoneReached | JobFailed) and record.verdict is not verdict:
            self._differs(record, f"{verdict} for trial {self.trial}")
        self._apply(record)

    def _set_event(self, record: MilestoneReached | JobFailed | JobReturned) -> RunningJob:
        """Set the time and the trial of an event, and return its job, which has to be running."""
        run = self.journal_state.runs.get(record.job)
        if run is None or run.ended is not None:
            self._take()
            self._wrong(f"job {record.job} is not running")
        self.now, self.trial = record.time, run.trial
        return run

    def _take(self) -> Record:
        record = self._ahead
        assert record is not None  # the loop calls only what the next record allows
        self._ahead = next(self._records, None)
        self._line = self._next_line
        self._next_line += record.lines if isinstance(record, ReportBatch) else 1
        return record

    def _apply(self, record: Record) -> None:
        """Apply the record that was taken last to the journal state, if it fits the earlier records."""
        journal_state = self.journal_state
        jobs: Sequence[int] = ()
        match record:
            case JobBegun():
                self._check_begun(record)
            case ReportBatch():
                jobs = record.jobs
            case JobReports() | ValuesChanged() | JobFailed() | JobReturned():
                jobs = [record.job]
            case ProcessEnded() | MissingReports():
                jobs = [record.job]
        for place, job in enumerate(jobs):
            if job not in journal_state.runs:
                self._wrong(f"job {job} is on no worker", place)
        try:
            journal_state.apply(record)
            if isinstance(record, StudyResumed) and record.trials is not None:
                self._scheduler.extend(record.trials)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            self._wrong(f"{record.tag} does not fit what came before: {error!r}")

    def _check_begun(self, record: JobBegun) -> None:
        """Check that a job that begins has the next number, and that a new trial has a configuration."""
        trial, point = record.trial, record.point
        known, expected = len(self.journal_state.points), self.journal_state.jobs.started
        if record.job != expected:
            self._wrong(f"job {record.job} starts, where job {expected} is the next")
        if isinstance(record, JobRestarted):
            self._check_restarted(record)
        is_new = trial == known
        if is_new != (point is not None):
            rule = "has no configuration" if is_new else "has a configuration already"
            self._wrong(f"trial {trial} {rule}")
        if point is not None and self._dimension not in (None, len(point)):
            problem = f"a configuration of {len(point)} parameters, where the space has"
            self._wrong(f"{problem} {self._dimension}")

    def _check_restarted(self, record: JobRestarted) -> None:
        """Check that a restarted job was cut off before, and is unchanged."""
        trial = record.trial
        is_running = any(run.trial == trial and run.ended is None for run in self.journal_state.runs.values())
        if is_running or not any(_is_of(record, job) for job in self._scheduler.running_jobs()):
            self._wrong(f"trial {trial} was not cut off on its way there")

    def _wrong(self, problem: str, place: int = 0) -> NoReturn:
        """Raise the error for the record that was taken last; `place` is the line within a batch."""
        problem += "; the journal was made with another version, or changed by hand"
        raise JournalError(self._path, self._line + place, problem)

    def _differs(self, record: Record, now: str) -> NoReturn:
        match record:
            case NothingToRun():
                then = "no job"
            case JobStarted():
                stop = "its return" if record.stop is None else f"{record.stop:g}"
                then = f"trial {record.trial} from {record.start:g} to {stop}"
            case MilestoneReached() | JobFailed():
                then = f"{record.verdict} for trial {self.trial}"
            case _:
                then = f"a record {record.tag!r}"
        self._wrong(f"the scheduler answers {now}, where it answered {then}")


def _is_of(record: JobBegun, job: Job) -> bool:
    """Return whether a record begins this job; it has no stop if the job trains until it returns."""
    known = Job(record.trial, record.bracket, record.start, job.stop, record.attempt)
    return known == job and record.stop in (job.stop, None)
