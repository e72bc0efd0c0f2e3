"""The status of a study, running or over: its state, running trials, best trials, failures, time left."""

from __future__ import annotations

import json
import os
import platform
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from hbsim.errors import HbsimWarning
from hbsim.executors.local import trial_folder
from hbsim.runner.lock import writer
from hbsim.runner.records import EndReason
from hbsim.study.folder import StudyFolder
from hbsim.study.progress_summary import ProgressSummary, hms, span
from hbsim.study.result import RunResult, load, unicode
from hbsim.study.spec import StudyState
from hbsim.study.time_left import TimeLeft, time_left

if TYPE_CHECKING:
    from hbsim.runner.journal_state import RunningJob

KILLED: Final = "killed"  # the state of a study whose process is gone, and did not end it
TAIL: Final = 1000  # bytes, in which the last line of a study that is over fits
LEFT_IN: Final = ("running", "interrupted", KILLED)  # states in which there is work left


@dataclass(frozen=True, slots=True)
class RunningTrial:
    """A trial that trains now.

    Attributes
    ----------
    trial, bracket, worker : int
        Its number, its bracket and the worker that trains it.
    rung : str
        The rung to which it trains, and how many its bracket has: ``"2/4"``.
    resource, stop : float or None
        The last resource reported, and the next milestone (None if it waits at none).
    value : float or None
        The last value reported.
    seconds : float
        How long its job has been on the worker.
    doing : str
        What the job does: ``"training"``.
    configuration : mapping
        Its hyperparameters.
    """

    trial: int
    bracket: int
    worker: int
    rung: str
    resource: float
    stop: float | None
    value: float | None
    seconds: float
    doing: str
    configuration: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TopTrial:
    """One of the best trials.

    Attributes
    ----------
    trial, bracket : int
        Its number and its bracket.
    best : float
        The best value that it reported.
    resource : float
        The resource at which it reported that value, for the first time.
    reached : float
        The highest resource reported.
    status : str
        running, interrupted, paused, stopped, completed or failed.
    configuration : mapping
        Its hyperparameters.
    changed : mapping
        The values that its training function had changed at its best report.
    """

    trial: int
    bracket: int
    best: float
    resource: float
    reached: float
    status: str
    configuration: Mapping[str, object]
    changed: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """The status of a study at a moment.

    Attributes
    ----------
    result : RunResult
        The study by its journal so far.
    summary : ProgressSummary
        Its progress in words.
    state : str
        ``running``, or why it is over: ``done``, ``max_time``, ``max_reward``, ``failures``,
        ``interrupted`` or ``killed`` (its process ended without a word).
    process : str
        The process that runs it: ``"process 123"``; empty if none does.
    since : datetime or None
        When the present process began to run it; or when it ended. None if that is not known.
    elapsed : float
        Its study seconds now.
    time_left : TimeLeft or None
        How long it is going to take, if it runs or can be resumed; None if it is over.
    """

    result: RunResult
    summary: ProgressSummary
    state: str
    process: str
    since: datetime | None
    elapsed: float
    time_left: TimeLeft | None

    @property
    def over(self) -> bool:
        """Whether no process runs the study."""
        return self.state != "running"

    @property
    def state_text(self) -> str:
        """The state in words, with when and how long."""
        since = "" if self.since is None else f"{self.since:%Y-%m-%d %H:%M}"
        if self.over:
            said = "its process was killed" if self.state == KILLED else self.summary.state()
            return f"{said}, at {since} after {hms(self.elapsed)}"
        count = len(self.summary.journal_state.workers)
        busy = f"{count:,} worker{'' if count == 1 else 's'} with a trial"
        since = f", since {since}" if since else ""
        return f"running for {hms(self.elapsed)}{since}, by {self.process}; {busy}"

    @property
    def time_left_text(self) -> str:
        """The time left in words; empty if the study is over."""
        left = self.time_left
        if left is None:
            return ""
        bound = "" if left.at_most is None else f"; at most {short_span(left.at_most)}, by max_time"
        if left.seconds is None or left.low is None or left.high is None:
            return f"unknown: {left.reason}{bound}"
        low, high = short_span(left.low), short_span(left.high)
        within = f" (80 %: {low} to {high})" if low != high else ""
        resumed = ", once it is resumed" if self.over else ""
        about = f"about {short_span(left.seconds)}{within}"
        return f"{about}, by {left.simulations} simulations of the rest{bound}{resumed}"

    @property
    def checkpoint(self) -> Path | None:
        """The folder of the best trial's checkpoint; None if none was kept."""
        best = self.result.best
        return None if best is None else best.checkpoint

    def running(self) -> list[RunningTrial]:
        """Return the trials on workers, in the order of workers."""
        if self.over:
            return []
        runs = self.summary.journal_state.workers
        return [self._running(runs[worker]) for worker in sorted(runs)]

    def _running(self, run: RunningJob) -> RunningTrial:
        return RunningTrial(
            run.trial,
            run.bracket,
            run.worker,
            self.summary.rung(run),
            run.resource,
            run.stop if isfinite(run.stop) else None,
            run.value if isfinite(run.value) else None,
            max(0.0, self.elapsed - run.start_time),
            self.summary.doing(run),
            self._configuration(run.trial),
        )

    def top(self, most: int = 10) -> list[TopTrial]:
        """Return the trials with the best values, the best first."""
        trials = self.result.trials.filter(self.result.trials["best"].is_not_null())
        best = trials.sort("best", descending=self.result.scheduler.mode == "max", maintain_order=True).head(
            most
        )
        columns = best.select("trial", "bracket", "best", "reached", "status")
        if self.over:
            columns = columns.with_columns(status=pl.col("status").replace("running", "interrupted"))
        at = best_resources(self.result, columns)
        return [self._top(row, at[row["trial"]]) for row in columns.iter_rows(named=True)]

    def _top(self, row: Mapping[str, Any], resource: float) -> TopTrial:
        configuration = self._configuration(row["trial"])
        changed = {name: now for name, (_, now) in self.result.changed(row["trial"], resource).items()}
        return TopTrial(**row, resource=resource, configuration=configuration, changed=changed)

    def failures(self) -> list[dict[str, object]]:
        """Return the last failure of each trial that failed: trial, kind, reason, log, count, final."""
        statuses, found = self.result.scheduler.trial_statuses(), dict[int, dict[str, object]]()
        for trial, kind, reason in self.summary.journal_state.failures:
            count = int(str(found[trial]["count"])) + 1 if trial in found else 1
            log = trial_folder(self.result.folder / "trials", trial) / "log.txt"
            found[trial] = {
                "trial": trial,
                "kind": kind,
                "reason": unicode(reason),
                "log": unicode(str(log)),
                "count": count,
                "final": statuses[trial] == "failed",
            }
        return [found[trial] for trial in sorted(found)]

    def _configuration(self, trial: int) -> dict[str, object]:
        configuration = self.result.configuration(trial)
        return {name: plain_value(value) for name, value in configuration.items()}

    def as_dict(self) -> dict[str, object]:
        """Return the status in plain types."""
        result = self.result
        return {
            "folder": str(result.folder),
            "train": result.spec.train,
            "state": self.state,
            "process": self.process or None,
            "since": None if self.since is None else self.since.isoformat(timespec="seconds"),
            "elapsed": self.elapsed,
            "time_left": None if self.time_left is None else asdict(self.time_left),
            "num_trials": result.scheduler.num_trials,
            "summary": result.summary(),
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            "running": [asdict(one) for one in self.running()],
            "top": [asdict(one) for one in self.top()],
            "rungs": [] if result.spec.until_return else result.rungs().to_dicts(),
            "failures": self.failures(),
        }


def best_resources(result: RunResult, trials: pl.DataFrame) -> dict[int, float]:
    """Return the resource at which each trial first reported its best value.

    Parameters
    ----------
    result : RunResult
        The study.
    trials : polars.DataFrame
        Some trials that reported a number. Columns: trial, best.
    """
    with warnings.catch_warnings():  # the last line may be half written
        warnings.simplefilter("ignore", HbsimWarning)
        reports = result.reports
    reports = reports.join(trials.select("trial", "best"), on="trial", maintain_order="left")
    found = reports.filter(pl.col("value") == pl.col("best")).unique(
        "trial", keep="first", maintain_order=True
    )
    return dict(found.select("trial", "resource").iter_rows())


def plain_value(value: object) -> object:
    """Return a value, as text if it is no JSON value."""
    if isinstance(value, Mapping):
        return {str(name): plain_value(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(part) for part in value]
    return value if isinstance(value, bool | int | float | str | None) else repr(value)


def ended(folder: Path) -> bool:
    """Return whether a study's journal has ended, by its last line, or no process writes it any more."""
    study_folder = StudyFolder(folder)
    try:
        with study_folder.journal.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            if b'"e":"close"' in file.read().rstrip(b"\n").rpartition(b"\n")[2]:
                return True
    except OSError:
        return True
    return not writer(study_folder.journal, _last_run(study_folder).get("host") == platform.node())


def short_span(seconds: float) -> str:
    """Format a duration in its two largest units; below ten seconds in two digits."""
    return span(seconds) if seconds >= 10 or not seconds else f"{seconds:.2g}s"


def read_status(folder: Path | str, forecast: bool = True) -> StudyStatus:
    """Read the status of a study from its folder; a process that runs it is not disturbed.

    Parameters
    ----------
    folder : path
        The study's folder.
    forecast : bool
        Whether the rest of the study is simulated for `StudyStatus.time_left`.

    Raises
    ------
    ParameterError
        The folder holds no study.
    JournalError
        The journal is damaged, or of another version.
    """
    study_folder = StudyFolder(folder)
    study_folder.check_holds_study()
    how = _last_run(study_folder)
    process = writer(study_folder.journal, how.get("host") == platform.node())
    written = os.stat(study_folder.journal).st_mtime
    with warnings.catch_warnings():  # the last line may be half written
        warnings.simplefilter("ignore", HbsimWarning)
        result = load(study_folder.path)
    state = StudyState(result.scheduler, result.journal_state, result.decision_table)
    journal_state = state.journal_state
    runs = bool(process) and journal_state.why is None
    if not runs and journal_state.why is None:
        journal_state.why = EndReason.INTERRUPTED  # in texts: no trial runs any more
    workers = None if journal_state.machines else result.workers
    summary = ProgressSummary(result.spec, state, study_folder, workers, time.time, min(written, time.time()))
    elapsed = summary.elapsed
    left = None
    now = "running" if runs else str(result.why or KILLED)
    if forecast and now in LEFT_IN:
        left = time_left(
            state,
            elapsed,
            runs=runs,
            until_return=result.spec.until_return,
            max_time=how.get("max_time"),
            max_reward=how.get("max_reward"),
        )
    since = _begun(how) if runs else datetime.fromtimestamp(written).astimezone()
    return StudyStatus(result, summary, now, process if runs else "", since, elapsed, left)


def _last_run(study_folder: StudyFolder) -> Mapping[str, Any]:
    """Return what is known of the last process that ran the study; empty if nothing is."""
    try:
        run = json.loads((study_folder.path / "environment.json").read_text("utf-8"))["runs"][-1]
        limits = {name: run.get(name) for name in ("max_time", "max_reward")}
        numbers = {
            name: float(value)
            for name, value in limits.items()
            if isinstance(value, int | float) and 0 <= abs(value) < inf
        }
        return {"time": run.get("time"), "host": run.get("host"), **numbers}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _begun(run: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(run["time"]).astimezone()
    except (KeyError, TypeError, ValueError):
        return None
