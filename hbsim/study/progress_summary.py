"""The progress of a running study in words: its trials, its workers and its best value."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from math import inf, isfinite
from pathlib import Path
from typing import Final

import numpy as np

from hbsim.core.types import COMPLETE, PAUSE, STOP, FailureKind, Verdict
from hbsim.runner.journal_state import JournalState, RunningJob
from hbsim.runner.records import (
    JobFailed,
    JobReports,
    JobRestarted,
    JobReturned,
    MilestoneReached,
    NothingToRun,
    ProcessEnded,
    Record,
    WorkerJoined,
    WorkerLeft,
)
from hbsim.study.folder import StudyFolder
from hbsim.study.spec import StudySpec, StudyState
from hbsim.terminal import shown

LONGEST: Final = 40  # characters of a hyperparameter's value


def hms(seconds: float) -> str:
    """Format seconds as hours, minutes and seconds: ``"0:12:03"``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def span(seconds: float) -> str:
    """Format a duration in its two largest units: ``"3m 12s"``."""
    whole = int(seconds)
    for first, size, second, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{first} {whole % size // part:02}{second}"
    return f"{whole}s"


def few(names: Sequence[str], most: int = 3) -> str:
    """Join names, at most the first `most`: ``"a, b, c and 9 more"``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def number(value: float) -> str:
    """Format a value in five digits, without a plus in its exponent; ``"no number"`` for NaN."""
    return "no number" if value != value else f"{value:.5g}".replace("e+", "e")


def amount(resource: float) -> str:
    """Format a resource in up to ten digits."""
    return f"{resource:.10g}"


def plain(text: str) -> str:
    """Return a text in one line, without control characters."""
    return " ".join(shown(text).split())


def value_text(value: object, digits: int = 4) -> str:
    """Return a hyperparameter's value as text for tables: floats in few digits, long texts cut."""
    if isinstance(value, float):
        return f"{value:.{digits}g}".replace("e+", "e")
    text = plain(str(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def value_texts(
    configuration: Mapping[str, object], changed: Mapping[str, tuple[object, object]], digits: int = 4
) -> dict[str, str]:
    """Return hyperparameters' values as text, with what the training function has changed: ``64 -> 16``.

    Parameters
    ----------
    configuration : mapping
        The hyperparameters.
    changed : mapping
        The given and the present value of those that have changed, and of constants that have.
    digits : int
        Of floats.
    """
    texts = {name: value_text(value, digits) for name, value in configuration.items()}
    for name, pair in changed.items():
        texts[name] = " -> ".join(value_text(value, digits) for value in pair)
    return texts


def near(path: Path) -> str:
    """Return a path relative to the working directory if it lies below it, else unchanged."""
    here = os.getcwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


NO_ANSWER: Final = "no answer"
NO_MEMORY: Final = "waiting for memory"
# Follows the name of a host that does not answer, so that the state of its jobs is unknown.
_SILENT: Final = " does not answer"
_GONE: Final = ": "


class WorkerSummary:
    """The workers of a study since this process began.

    Parameters
    ----------
    journal_state : JournalState
        The state of the study, which applies each record first.
    workers : int or None
        How many workers this machine has; None if the workers are on hosts.

    Attributes
    ----------
    hosts : dict of int to str
        The host of each worker, open or shut; empty if all are on this machine.
    shut : dict of int to str
        Why each shut worker takes no jobs: ``"no answer"``, ``"host is taken away"``.
    """

    def __init__(self, journal_state: JournalState, workers: int | None) -> None:
        self.hosts: dict[int, str] = {}
        self.shut: dict[int, str] = {}
        self._journal_state = journal_state
        self._fixed = None if workers is None else range(workers)
        self._there = 0 if workers is None else workers  # workers since the last record, and
        self._working = 0  # workers of these with a job
        self._since = journal_state.now  # the time of the last record
        self._seconds = self._busy = 0.0  # worker seconds of both, until then
        self._silent: dict[int, float] = {}  # since when each worker is shut because its host is silent

    def record(self, record: Record) -> None:
        """Handle a record that the journal state has applied."""
        now = record.time
        self._seconds += self._there * (now - self._since)
        self._busy += self._working * (now - self._since)
        self._since = now
        if isinstance(record, WorkerJoined):
            self.hosts[record.worker] = plain(record.host)
            self.shut.pop(record.worker, None)
            self._silent.pop(record.worker, None)
        elif isinstance(record, WorkerLeft):
            self._shut(record.worker, plain(record.reason), now)
        self._there = len(self.open)
        self._working = self._there - self.idle

    def _shut(self, worker: int, reason: str, now: float) -> None:
        own = reason.removeprefix(self.hosts.get(worker, ""))
        if own == _SILENT or own.startswith(_GONE):
            self._silent[worker] = now
        if own == _SILENT:
            self.shut[worker] = NO_ANSWER
        elif own.startswith(_GONE):
            self.shut[worker] = f"host is gone{own}"
        else:
            self.shut[worker] = reason if own == reason else f"host{own}"

    @property
    def open(self) -> Sequence[int]:
        """The workers that take jobs."""
        return sorted(self._journal_state.machines) if self._fixed is None else self._fixed

    @property
    def idle(self) -> int:
        """How many open workers have no job."""
        return sum(worker not in self._journal_state.workers for worker in self.open)

    @property
    def silent(self) -> dict[int, float]:
        """Since when each worker with a job is silent: it is unknown whether the job runs."""
        jobs = self._journal_state.workers
        return {worker: since for worker, since in self._silent.items() if worker in jobs}

    def rows(self) -> list[int]:
        """Return the workers to be shown: first those that have or take jobs, then those that are shut."""
        there = sorted({*self.open, *self._journal_state.workers})
        return [*there, *sorted(set(self.shut).difference(there))]

    def busy_share(self, now: float) -> float:
        """Return the share of worker seconds with a job."""
        passed = now - self._since
        busy, capacity = self._busy + self._working * passed, self._seconds + self._there * passed
        return min(1.0, busy / capacity) if capacity > 0 else 0.0

    def short_hosts(self) -> dict[int, str]:
        """Return each worker's host, without the domain if names stay distinct; empty for one host."""
        names = set(self.hosts.values())
        if len(names) < 2:
            return {}
        labels = {name: name.partition(".")[0] for name in names}
        numbers = (label.rpartition("@")[2].isdigit() for label in labels.values())
        if len(set(labels.values())) < len(names) or any(numbers):
            return self.hosts
        return {worker: labels[name] for worker, name in self.hosts.items()}


SILENT: Final = 60.0  # seconds without a report before it is mentioned
RUNG: Final = "the rung waits for its last trials"
REST: Final = {
    "promotion": ", nothing promotable",
    "pasha": ", nothing promotable",
    "sha": f", {RUNG}",
    "hyperband": f", {RUNG}",
}
WAITING: Final = "no workers: waiting for a host"
LEAVING: Final = {PAUSE: "paused, saving", STOP: "stopped, leaving", COMPLETE: "completed, leaving"}


@dataclass(frozen=True, slots=True)
class TrialFailure:
    """A failure of a trial.

    Attributes
    ----------
    time : float
        The time in study seconds.
    trial : int
        The trial that failed.
    resource : float
        The last resource that the trial reported.
    kind : FailureKind
        How it failed.
    reason : str
        The failure in one line.
    again : bool
        Whether the trial is tried again.
    """

    time: float
    trial: int
    resource: float
    kind: FailureKind
    reason: str
    again: bool


class ProgressSummary:
    """The present state of a study in words: an `Observer` that the displays read.

    Parameters
    ----------
    spec : StudySpec
        The description of the study.
    state : StudyState
        Its scheduler and journal state.
    study_folder : StudyFolder
        Its folder.
    workers : int or None
        How many workers there are; None if they are on hosts that come and go.
    clock : callable
        Seconds, monotonic.
    written : float, optional
        The time of the clock at the study's last record; by default now.

    Attributes
    ----------
    last_failure : TrialFailure or None
        The last failure since this process began.
    workers : WorkerSummary
        Its workers.
    """

    def __init__(
        self,
        spec: StudySpec,
        state: StudyState,
        study_folder: StudyFolder,
        workers: int | None,
        clock: Callable[[], float] = time.monotonic,
        written: float | None = None,
    ) -> None:
        self.spec, self.study_folder = spec, study_folder
        self.scheduler, self.journal_state = state.scheduler, state.journal_state
        self.workers = WorkerSummary(self.journal_state, workers)
        self.last_failure: TrialFailure | None = None
        self._clock = clock
        self._seen = (
            clock() if written is None else written
        )  # the time of the clock at the journal state's `now`
        self._configurations: dict[int, str] = {}
        self._in_vain = False  # whether the scheduler had no job since the last event
        self._said: dict[int, float] = {}  # study seconds of each job's last report
        self._no_memory: set[int] = set()  # trials to be tried again that ran out of memory

    def record(self, record: Record) -> None:
        """Handle a record that the journal state has applied."""
        self._seen = self._clock()
        self.workers.record(record)
        if isinstance(record, JobReports):
            self._said[record.job] = record.time
        match record:
            case ProcessEnded():
                self._said.pop(record.job, None)
            case NothingToRun():
                self._in_vain = True
            case JobFailed():
                self._in_vain = False
                self._fail(record)
                if record.kind == "oom" and record.verdict is Verdict.RETRY:
                    self._no_memory.add(self.journal_state.runs[record.job].trial)
            case JobRestarted():
                self._no_memory.discard(record.trial)
            case MilestoneReached() | JobReturned():
                self._in_vain = False

    def _fail(self, record: JobFailed) -> None:
        self.last_failure = TrialFailure(
            time=record.time,
            trial=self.journal_state.runs[record.job].trial,
            resource=record.resource,
            kind=record.kind,
            reason=plain(record.reason),
            again=record.verdict is Verdict.RETRY,
        )

    # The study

    @property
    def elapsed(self) -> float:
        """The study seconds now."""
        if self.journal_state.why is not None:
            return self.journal_state.now
        return self.journal_state.now + self._clock() - self._seen

    @property
    def ending(self) -> bool:
        """Whether the study is ending: no more jobs start, and running jobs are to leave."""
        return self.journal_state.closing and self.journal_state.why is None

    def name(self) -> str:
        """Name the training function and the scheduler."""
        return f"{self.scheduler.type} of {plain(self.spec.train)}"

    def trials(self) -> str:
        """Count trials: ``"37 of 100 started: 4 running, 8 paused, 20 stopped, 3 completed, 2 failed"``."""
        limit, counts = self.scheduler.num_trials, self.scheduler.status_counts()
        of = "" if limit is None else f" of {limit:,}"
        names = ("running", NO_ANSWER, NO_MEMORY, "paused", "stopped", "completed", "failed")
        counts[NO_ANSWER] = self._unknown()
        runs = self.journal_state.runs.values()
        counts[NO_MEMORY] = len(self._no_memory.difference(run.trial for run in runs))
        counts["running"] -= counts[NO_ANSWER] + counts[NO_MEMORY]
        said = {} if self.journal_state.why is None else {"running": "interrupted"}  # no trial runs any more
        parts = [f"{counts[name]:,} {said.get(name, name)}" for name in names if counts[name]]
        return f"{self.scheduler.started:,}{of} started{': ' if parts else ''}{', '.join(parts)}"

    def _unknown(self) -> int:
        """Count the running trials on hosts that do not answer."""
        if self.journal_state.why is not None:
            return 0
        silent = (self.journal_state.workers[worker] for worker in self.workers.silent)
        return len({run.trial for run in silent if run.ended is None})

    def top(self, most: int) -> list[tuple[int, float]]:
        """Return the trials with the best values so far, and these values, the best first."""
        sign = 1.0 if self.scheduler.mode == "max" else -1.0
        bests = dict(self.journal_state.bests)
        for run in self.journal_state.runs.values():
            if isfinite(run.best) and sign * run.best > sign * bests.get(run.trial, -sign * inf):
                bests[run.trial] = run.best
        return nlargest(most, bests.items(), key=lambda item: sign * item[1])

    def configuration(self, trial: int) -> str:
        """Return a trial's hyperparameters in a line: ``"lr=0.02 depth=4"``."""
        found = self._configurations.get(trial)
        if found is None:
            values = self.spec.space.mapping(np.array(self.journal_state.points[trial]))
            parts = (f"{plain(name)}={value_text(value, 3)}" for name, value in values.items())
            found = self._configurations[trial] = " ".join(parts)
        return found

    def best(self) -> str:
        """Describe the incumbent, its trial and resource; empty before there is one."""
        best = self.journal_state.best
        if best is None:
            return ""
        at = f"{plain(self.spec.time_attr)} {amount(best.resource)}"
        return f"{self.metric} {number(best.value)}: trial {best.trial} at {at}, after {hms(best.time)}"

    @property
    def metric(self) -> str:
        """The name of the metric that decides."""
        return plain(self.spec.metric or "")

    def state(self) -> str:
        """Say how busy the workers are, or why the study is over."""
        if self.journal_state.why is not None:
            return self.journal_state.why.state
        silent = self.workers.silent
        hosts = list(dict.fromkeys(self.workers.hosts[worker] for worker in silent))
        since = span(self.elapsed - min(silent.values(), default=0.0))
        more = f"; no answer from {few(hosts)} for {since}" if hosts else ""
        if not self.workers.open:
            return f"{WAITING}{more}"
        idle, why = self.workers.idle, self.idle()
        more += f"; {idle:,} idle: {why}" if idle and why else ""
        return f"workers busy {self.workers.busy_share(self.elapsed):.0%}{more}"

    def failure(self) -> str:
        """Describe the last failure, and count all failures; empty if there was none."""
        last, count = self.last_failure, len(self.journal_state.failures)
        if not count:
            return ""
        times = f"{count:,} time{'' if count == 1 else 's'}"
        return times if last is None else f"{times}; last {self.failure_text(last)}"

    def failure_text(self, failure: TrialFailure) -> str:
        """Describe a failure: trial, resource, kind and reason."""
        at = f" at {plain(self.spec.time_attr)} {amount(failure.resource)}" if failure.resource else ""
        again = ", tried again" if failure.again else ""
        return f"trial {failure.trial}{at} ({failure.kind}{again}): {failure.reason}"

    # The workers

    def what(self, worker: int) -> str:
        """Describe what a worker does."""
        if worker in self.workers.silent:
            since = span(self.elapsed - self.workers.silent[worker])
            why = self.workers.shut[worker]
            return f"{NO_ANSWER} for {since}" + ("" if why == NO_ANSWER else f": {why}")
        run, why = self.journal_state.workers.get(worker), self.workers.shut.get(worker, "")
        if run is not None:
            return self.doing(run) + (f"; {why}" if why else "")
        if why:
            return why
        why = self.idle()
        return f"idle: {why}" if why else "idle"

    def rung(self, run: RunningJob) -> str:
        """Return which of its rungs a trial trains to: ``"2/4"``."""
        levels = self.scheduler.geometry.of_bracket(run.bracket)
        if run.stop not in levels:
            return "-"
        return f"{levels.index(run.stop) + 1}/{len(levels)}"

    def far(self, run: RunningJob) -> str:
        """Return a trial's resource and its next milestone: ``"5/27"``."""
        done = amount(run.resource)
        return f"{done}/{amount(run.stop)}" if isfinite(run.stop) else done

    def doing(self, run: RunningJob) -> str:
        """Describe what a job is doing."""
        before = self._before(run)
        if before is not None:
            does = "saves" if before.ended == PAUSE else "ends"
            return f"waits: worker {before.worker} still {does} trial {run.trial}"
        if run.ended is not None:
            return LEAVING.get(run.ended, "failed")
        again = f", attempt {run.attempt + 1}" if run.attempt else ""
        if not run.rows:
            return f"no report yet{again}"
        if self.ending:
            return "leaves at next report"
        if run.resource <= run.stood:
            return f"trains again up to {amount(run.stood)}{again}"
        return self._silence(run) or f"training{again}"

    def _before(self, run: RunningJob) -> RunningJob | None:
        """Return the earlier job of the same trial that has to end before this one begins."""
        if run.rows or run.ended is not None:
            return None
        others = self.journal_state.runs.values()
        return next((s for s in others if s.trial == run.trial and s.job < run.job), None)

    def _silence(self, run: RunningJob) -> str:
        silent = self.elapsed - self._said.get(run.job, inf)
        usual = run.trained / run.rows
        return f"silent for {span(silent)}" if silent > max(SILENT, 5 * usual) else ""

    def idle(self) -> str:
        """Say why idle workers have no job; empty if that is not known yet."""
        if self.ending:
            return "the study ends"
        if not self._in_vain:
            return ""
        limit, kind = self.scheduler.num_trials, self.scheduler.type
        if limit is None or self.scheduler.started < limit:
            return RUNG
        return f"num_trials reached{REST.get(kind, '')}"
