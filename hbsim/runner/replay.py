"""The replay of a journal through the scheduler on resume, with a check that it decides the same."""

from __future__ import annotations

from collections.abc import Iterable
from math import nan
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np

from hbsim.core.types import VERDICTS, Job
from hbsim.errors import JournalError
from hbsim.runner.loop import END, FAILURE, MILESTONE, NOTHING, Event
from hbsim.runner.records import Record
from hbsim.runner.state import JobRun, JournalState
from hbsim.searchers import Searcher

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

__all__ = ["Replay"]

ASK_RECORDS: Final = ("start", "none")
EVENT_RECORDS: Final = {"reach": MILESTONE, "fail": FAILURE, "return": END}
ANSWERED: Final = (*ASK_RECORDS, *EVENT_RECORDS)  # the other kinds only change the journal state
BEGUN: Final = ("start", "restart")
NEW_TRIAL_COUNT: Final = "trials"  # the field of a "resume" with the new number of trials
JOB_RECORDS: Final = ("rows", "gone", "missing", *EVENT_RECORDS)  # of jobs on workers


class Replay:
    """An `Executor` that replays the events of a journal.

    After the loop, scheduler, searcher and journal state are as they were when the last record was written.

    Parameters
    ----------
    records : iterable of dict
        The records of the journal, in order; one is read ahead.
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
        self._path = path
        self._scheduler, self._searcher, self._dimension = scheduler, searcher, dimension

    @property
    def over(self) -> bool:
        """Whether all records have been replayed."""
        return self._ahead is None

    def idle(self) -> int:
        """Return the idle worker if the next record is the scheduler's answer for one, else -1."""
        while (record := self._peek()) is not None and record["e"] not in ANSWERED:
            self._apply(self._take())
        return record["worker"] if record is not None and record["e"] in ASK_RECORDS else -1

    def start(self, worker: int, job: Job) -> None:
        """Compare a job with the one that the journal says."""
        record = self._take()
        if record["e"] != "start" or not _is_of(record, job):
            self._differs(record, f"trial {job.trial} from {job.start:g} to {job.stop:g}")
        self._apply(record)
        if self._searcher is not None and "point" in record:
            self._searcher.resume(np.array([record["point"]], dtype=np.float64))

    def no_job(self, worker: int) -> None:
        """Compare the answer that there is no job with the one that the journal says."""
        record = self._take()
        if record["e"] != "none":
            self._differs(record, "no job")
        self._apply(record)

    def wait(self) -> Event:
        """Return the next event; NOTHING at the end of the journal, or where the number of trials grew."""
        while (record := self._peek()) is not None:
            event = EVENT_RECORDS.get(record["e"])
            if event is None:
                if record["e"] == "start":
                    self._differs(self._take(), "no job")
                self._apply(self._take())
                if NEW_TRIAL_COUNT in record:
                    return NOTHING  # the scheduler has to be asked again
                continue
            run = self._running(record)
            self.now, self.trial = record["t"], run.trial
            if event is MILESTONE:
                self.at = self._milestone(record, run)
                self.value = nan if record["value"] is None else record["value"]
            elif event is FAILURE:
                self.kind = record["kind"]
            return event
        return NOTHING

    def answer(self, code: int) -> None:
        """Compare a decision with the one that the journal says."""
        record = self._take()
        verdict = VERDICTS[code].value
        if record["e"] != "return" and record.get("verdict") != verdict:
            self._differs(record, f"{verdict} for trial {self.trial}")
        self._apply(record)

    def _peek(self) -> Record | None:
        return self._ahead

    def _take(self) -> Record:
        record = self._ahead
        assert record is not None  # the loop calls only what the next record allows
        self._ahead = next(self._records, None)
        return record

    def _running(self, record: Record) -> JobRun:
        run = self.journal_state.runs.get(record["job"])
        if run is None or run.ended is not None:
            self._wrong(self._take(), f"job {record['job']} is not running")
        return run

    def _milestone(self, record: Record, run: JobRun) -> int:
        at: int = record["at"]
        if self.journal_state.milestone(run) != at:
            self._wrong(self._take(), f"job {record['job']} is not at milestone number {at}")
        return at

    def _apply(self, record: Record) -> None:
        """Apply a record to the journal state, if it fits the earlier records."""
        kind, journal_state = record["e"], self.journal_state
        if kind in BEGUN:
            self._check_begun(record)
        jobs = record.get("jobs") or ([record["job"]] if kind in JOB_RECORDS else [])
        for place, job in enumerate(jobs):
            if job not in journal_state.runs:
                self._wrong({"n": record["n"] + place}, f"job {job} is on no worker")
        try:
            journal_state.apply(record)
            if NEW_TRIAL_COUNT in record:
                self._scheduler.extend(record[NEW_TRIAL_COUNT])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            self._wrong(record, f"{kind} does not fit what came before: {error!r}")

    def _check_begun(self, record: Record) -> None:
        """Check that a job that begins has the next number, and that a new trial has a configuration."""
        trial, known, expected = (
            record["trial"],
            len(self.journal_state.points),
            self.journal_state.jobs.started,
        )
        if record["job"] != expected:
            self._wrong(record, f"job {record['job']} starts, where job {expected} is the next")
        if record["e"] == "restart":
            self._check_restarted(record)
        is_new = trial == known
        if is_new != ("point" in record):
            rule = "has no configuration" if is_new else "has a configuration already"
            self._wrong(record, f"trial {trial} {rule}")
        if is_new and self._dimension not in (None, len(record["point"])):
            problem = f"a configuration of {len(record['point'])} parameters, where the space has"
            self._wrong(record, f"{problem} {self._dimension}")

    def _check_restarted(self, record: Record) -> None:
        """Check that a restarted job was cut off before, and is unchanged."""
        trial = record["trial"]
        is_running = any(run.trial == trial and run.ended is None for run in self.journal_state.runs.values())
        if is_running or not any(_is_of(record, job) for job in self._scheduler.running_jobs()):
            self._wrong(record, f"trial {trial} was not cut off on its way there")

    def _wrong(self, record: Record, problem: str) -> NoReturn:
        problem += "; the journal was made with another version, or changed by hand"
        raise JournalError(self._path, int(record["n"]) + 1, problem)

    def _differs(self, record: Record, now: str) -> NoReturn:
        if record["e"] == "none":
            then = "no job"
        elif record["e"] == "start":
            stop = "its return" if record["stop"] is None else f"{record['stop']:g}"
            then = f"trial {record['trial']} from {record['start']:g} to {stop}"
        else:
            then = f"{record.get('verdict')} for trial {self.trial}"
        self._wrong(record, f"the scheduler answers {now}, where it answered {then}")


def _is_of(record: Record, job: Job) -> bool:
    """Return whether a record begins this job; it has no stop if the job trains until it returns."""
    same = all(record[name] == getattr(job, name) for name in ("trial", "bracket", "start", "attempt"))
    return same and record["stop"] in (job.stop, None)
