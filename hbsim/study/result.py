"""The result of a real study: its columns and figures, read from its journal."""

from __future__ import annotations

import math
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
import polars as pl

from hbsim.errors import ParameterError
from hbsim.runner import summaries
from hbsim.runner.journal_reader import read_records, read_reports, start_of
from hbsim.runner.journal_state import JournalState
from hbsim.runner.records import SessionEnded, WorkerJoined, WorkerLeft
from hbsim.runner.tables import DecisionTable, numbers
from hbsim.study.folder import StudyFolder
from hbsim.study.saved_objects import read_saved
from hbsim.study.spec import StudySpec, new_state, replay

if TYPE_CHECKING:
    from pathlib import Path

    from hbsim.bench.chart_style import Chart
    from hbsim.core.scheduler import Scheduler
    from hbsim.core.types import Mode
    from hbsim.study.best import BestTrial
    from hbsim.study.simulated_run import SimulatedResult


class RunResult:
    """The result of a real study: the tables of a simulated one, and every report.

    Attributes
    ----------
    folder : Path
        The study's folder.
    spec : StudySpec
        The description of the study.
    scheduler : Scheduler
        The scheduler at the end; `scheduler.explain(trial)` says why a trial was stopped.
    workers : int
        The largest number of workers.
    why : EndReason or None
        Why the study ended, equal to the text done, max_reward, max_time, failures or interrupted; None if
        its process was killed.
    journal_state : JournalState
        The state after the last record of the journal.
    decision_table : DecisionTable
        The decisions as packed rows.
    """

    def __init__(
        self,
        folder: StudyFolder,
        spec: StudySpec,
        scheduler: Scheduler,
        journal_state: JournalState,
        decisions: DecisionTable,
        workers: int,
    ) -> None:
        self.folder = folder.path
        self.spec = spec
        self.scheduler = scheduler
        self.workers = workers
        self.why = journal_state.why
        self.journal_state = journal_state
        self.decision_table = decisions
        self._journal, self._trials = folder.journal, folder.trials

    @cached_property
    def end_time(self) -> float:
        """The study seconds at which the last job ended."""
        return float(self.journal_state.jobs.ended()["end_time"].max(initial=0.0))

    @cached_property
    def jobs(self) -> pl.DataFrame:
        """A row for each job: one stay of a trial on a worker; columns as `hbsim.Result.jobs`.

        Times are study seconds: without the time between an interruption and the resumption. `value` is
        the job's last report. A job that was interrupted is censored.
        """
        return self.journal_state.jobs.frame(self.scheduler.trial_brackets())

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """A row for each milestone, in the order of time; columns as `hbsim.Result.decisions`."""
        return self.decision_table.frame(self.scheduler.levels, self.scheduler.trial_brackets())

    @cached_property
    def reports(self) -> pl.DataFrame:
        """A row for each report, in the order in which the study received them.

        Columns: job, trial, time (study seconds), trained (seconds of training in this job until then),
        resource, value (null if it is not a number), and a struct `metrics` of all reported metrics.
        """
        reports, jobs, trials = read_reports(self._journal)
        who = {"job": np.array(jobs, dtype=np.int64), "trial": np.array(trials, dtype=np.int64)}
        whose = pl.DataFrame({name: np.repeat(column, reports.counts) for name, column in who.items()})
        return whose.hstack(reports.frame(self.spec.metric))

    @cached_property
    def hosts(self) -> pl.DataFrame:
        """The hosts of workers: a row for each period of a worker on a host; empty without hosts.

        Columns: worker, host, opened and shut (study seconds; null while it is open). Jobs name their
        workers, so a join on `worker` by time gives the host of each job.
        """
        periods: list[dict[str, Any]] = []
        open_: dict[int, dict[str, Any]] = {}
        for record in read_records(self._journal, together=True):
            ended: list[int] = []
            if isinstance(record, WorkerJoined | WorkerLeft):
                ended = [record.worker]
            elif isinstance(record, SessionEnded):
                ended = list(open_)
            for worker in ended:
                open_.pop(worker, {})["shut"] = record.time
            if isinstance(record, WorkerJoined):
                period = {
                    "worker": record.worker,
                    "host": record.host,
                    "opened": record.time,
                    "shut": None,
                }
                open_[record.worker] = period
                periods.append(period)
        times = {"opened": pl.Float64, "shut": pl.Float64}
        return pl.DataFrame(periods, schema={"worker": pl.Int64, "host": pl.String, **times})

    @cached_property
    def trials(self) -> pl.DataFrame:
        """A row for each trial.

        Columns as `hbsim.Result.trials`: trial, bracket, status, resource (the last milestone counted; of a
        trial whose function returned below R, the last one reported), best and final (of all reports),
        trained_seconds; then reached, the highest resource reported.
        """
        frame = summaries.trials(self.scheduler, self.journal_state.jobs, self.decisions)
        columns = dict(zip(("final", "best", "reached"), self.journal_state.reported(), strict=True))
        trials = range(len(frame))
        frame = frame.with_columns(
            numbers([found.get(trial, math.nan) for trial in trials]).alias(name)
            for name, found in columns.items()
        )
        rows = self.journal_state.jobs.ended()
        ends = pl.DataFrame({"trial": rows["trial"].astype(np.int64), "end": rows["milestone"]})
        ends = ends.group_by("trial", maintain_order=True).last()
        end = pl.when(status="completed").then("end")
        frame = frame.join(ends, on="trial", how="left", maintain_order="left")
        frame = frame.with_columns(resource=pl.coalesce(end, "resource")).drop("end")
        names = ("trial", "bracket", "status", "resource", "best", "final", "trained_seconds", "reached")
        return frame.select(names)

    @cached_property
    def configurations(self) -> pl.DataFrame:
        """A row for each trial: trial, then a column for each parameter; null if it is not active.

        Choices that are not plain values are text. A parameter called trial is ``hp_trial`` here.
        """
        space = self.spec.space
        points = np.array(self.journal_state.points, dtype=np.float64).reshape(-1, space.dimension)
        return summaries.configurations(space, points)

    @property
    def best(self) -> BestTrial | None:
        """The best report so far, with its trial, configuration and kept model; None without a report."""
        from hbsim.study.best import BestTrial, find_checkpoint

        best = self.journal_state.best
        if best is None:
            return None
        report = (best.trial, best.resource, best.value)
        found = find_checkpoint(self._trials, self.spec.study, *report)
        configuration = self.configuration(best.trial)
        changed = {name: now for name, (_, now) in self.changed(best.trial, best.resource).items()}
        return BestTrial(best.trial, configuration, best.value, best.resource, found, changed)

    @property
    def best_config(self) -> dict[str, object] | None:
        """The incumbent's configuration; None if nothing was reported."""
        best = self.journal_state.best
        return None if best is None else self.configuration(best.trial)

    def __repr__(self) -> str:
        best = self.journal_state.best
        found = "nothing reported" if best is None else f"best {self.spec.metric} {best.value:g}"
        trials, why = self.scheduler.started, self.why or "not over"
        return f"<RunResult in {self.folder}: {trials} trials, {found}, {why}>"

    def configuration(self, trial: int) -> dict[str, object]:
        """Return a trial's configuration, without parameters that are not active."""
        count = len(self.journal_state.points)
        if not 0 <= trial < count:
            raise ParameterError("trial", trial, f"must be one of the trials 0 ... {count - 1}")
        return self.spec.space.mapping(np.array(self.journal_state.points[trial]))

    def changed(self, trial: int, resource: float = math.inf) -> dict[str, tuple[object, object]]:
        """Return what a trial's training function had changed by its report at a resource, or by its last.

        Returns
        -------
        dict
            By the name of a hyperparameter or constant: its given value and the one that was reported last.
        """
        return self.journal_state.changed(trial, resource)

    def incumbent(self, at: Literal["any", "max_t"] = "any") -> pl.DataFrame:
        """Return the strict improvements of the best value so far, by the time of reports.

        Parameters
        ----------
        at : "any" or "max_t"
            Whether values of all reports count, or only of completed trials at R.

        Returns
        -------
        polars.DataFrame
            Columns time, trial, resource, value.
        """
        if at not in ("any", "max_t"):
            raise ParameterError("at", at, "must be 'any' or 'max_t'")
        if at == "max_t":
            rows, levels = self.decision_table.rows(), self.scheduler.levels
            return summaries.incumbent(rows, levels, self.scheduler.mode, at_max=True)
        return self.journal_state.improvements.frame()

    def rungs(self) -> pl.DataFrame:
        """Return counts by bracket and level; columns as `hbsim.Result.rungs`."""
        return summaries.rungs(self.scheduler, self.decision_table.rows(), self.journal_state.jobs.ended())

    @cached_property
    def failures(self) -> pl.DataFrame:
        """A row for each failure, in order: trial, kind, reason."""
        schema = {"trial": pl.Int64, "kind": pl.String, "reason": pl.String}
        rows = [(trial, kind, unicode(reason)) for trial, kind, reason in self.journal_state.failures]
        return pl.DataFrame(rows, schema=schema, orient="row")

    @property
    def capacity(self) -> float:
        """The worker seconds of the study; workers of hosts count while they were available."""
        opened = self.journal_state.capacity
        return self.workers * self.end_time if opened is None else opened

    def summary(self) -> dict[str, object]:
        """Return the figures of the study in plain types.

        Keys: trials, jobs, completed, stopped, paused, failed, running; returned (completed below R: their
        function returned); seconds (study seconds at the last end); busy_share and training_share (of worker
        seconds); trained_resource, and of it wasted_resource (trained again, lost in failures, or past the
        last milestone of a trial that was paused or stopped); best (the incumbent's value), best_trial;
        late_reports (dropped); why it ended; scheduler, train, metric, mode, workers.
        """
        best = self.journal_state.best
        more = {"returned": len(self.journal_state.returned), "seconds": self.end_time}
        return {
            **summaries.summary(self.scheduler, self.journal_state.jobs, self.capacity, more),
            "best": None if best is None else best.value,
            "best_trial": None if best is None else best.trial,
            "late_reports": self.journal_state.late,
            "why": None if self.why is None else self.why.value,
            "scheduler": self.scheduler.options.as_dict(),
            "train": self.spec.train,
            "metric": self.spec.metric,
            "mode": self.scheduler.mode,
            "workers": self.workers,
        }

    def export(
        self,
        out: Path | str,
        metric: str | None = None,
        mode: Mode | None = None,
        test_metric: str | None = None,
        force: bool = False,
    ) -> None:
        """Write the learning curves to a file for the simulator; `docs/how-to/record.md` describes it.

        The curve of a trial that did not train to its end ends early. Of repeated reports at a resource the
        last one counts.

        Parameters
        ----------
        out : path
            The file, ``.parquet`` or ``.csv``.
        metric, mode : str, optional
            The metric that decides and its mode, noted in the file. Unless given, those of the study; if that
            has no metric, ``accuracy``, maximised, if it was reported.
        test_metric : str, optional
            The metric to judge a chosen trial by.
        force : bool
            Replace an existing file.

        Raises
        ------
        ParameterError
            `out` exists already or has another ending, or no trial reported the metric.
        OutputError
            No trial reported anything, or the file cannot be written.
        """
        from hbsim.study.record import export

        export(self, out, metric, mode, test_metric, force)

    def plot(self) -> Chart:
        """Return the learning curves as an Altair chart: a line for each trial, with the rung levels."""
        from hbsim.bench.study_charts import training_curves

        return training_curves(self)

    def page(self, path: Path | str | None = None) -> str:
        """Return a page of the study as HTML, which needs no network: charts, and a table of all trials.

        Parameters
        ----------
        path : path, optional
            A file to which the page is written as well; an existing file is replaced.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from pathlib import Path

        from hbsim.bench.html_page import write_page
        from hbsim.bench.study_page import render_study
        from hbsim.study.status import read_status

        text = render_study(read_status(self.folder))
        if path is not None:
            write_page(text, Path(path))
        return text

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows: how the study stands, its best trials, and its curves."""
        from hbsim.bench.study_page import notebook
        from hbsim.study.status import read_status

        return notebook(read_status(self.folder, forecast=False))

    def write(self) -> None:
        """Write the tables as Parquet files and the summary into the study's folder.

        The reports are only in the journal, since there may be millions.
        """
        import json

        frames = {
            "jobs": self.jobs,
            "trials": self.trials,
            "decisions": self.decisions,
            "configurations": self.configurations,
            "incumbent": self.incumbent(),
        }
        if len(self.hosts):
            frames["hosts"] = self.hosts
        for name, frame in frames.items():
            frame.write_parquet(self.folder / f"{name}.parquet")
        content = {"schema": 1, "summary": self.summary(), "rungs": self.rungs().to_dicts()}
        (self.folder / "summary.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")


ALL_FAILED: Final = r"all \d+ trials failed|the only trial failed"  # how the text of `all_failed` begins


def all_failed(result: RunResult | SimulatedResult) -> str:
    """Return why the first trial failed, if all trials of a study have failed for good; else nothing."""
    failed = result.scheduler.status_counts()["failed"]
    if not failed or failed < result.scheduler.started:
        return ""
    which = "the only trial failed" if failed == 1 else f"all {failed} trials failed; the first"
    return f"{which}: {result.failures['reason'][0]}"


def unicode(text: str) -> str:
    """Return a text with unpaired surrogates, as in names of files, replaced by their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def load(folder: Path | str) -> RunResult:
    """Read a real study from its folder, finished or not; or a file that `hbsim.save` wrote.

    Parameters
    ----------
    folder : path
        The study's folder, or the file.

    Returns
    -------
    RunResult
        The study so far. For a file, the object that was saved.

    Raises
    ------
    ParameterError
        The folder holds no study.
    JournalError
        The journal is damaged, or of another version.
    OutputError
        The file cannot be read, or `hbsim.save` has not written it.
    """
    if os.path.isfile(folder):
        return cast("RunResult", read_saved(folder))
    study_folder = StudyFolder(folder)
    study_folder.check_holds_study()
    records = read_records(study_folder.journal, together=True)
    spec = StudySpec.from_dict(start_of(records).spec, str(study_folder.journal))
    state = new_state(spec, spec.make_scheduler())
    replay(state, records, str(study_folder.journal), dimension=spec.space.dimension)
    workers = max(1, state.journal_state.workers_seen)
    return RunResult(study_folder, spec, state.scheduler, state.journal_state, state.decisions, workers)
