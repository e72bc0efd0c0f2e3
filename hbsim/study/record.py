"""The recording of learning curves: every trial trains to its end, and a file gets its reports."""

from __future__ import annotations

import platform
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import polars as pl

from hbsim.core.factory import make_scheduler
from hbsim.core.types import Mode
from hbsim.errors import HbsimWarning, OutputError, ParameterError, nearest
from hbsim.options import named_options
from hbsim.runner.journal_reader import read_records
from hbsim.runner.lock import StudyLock
from hbsim.runner.records import JobBegun, JobReports
from hbsim.study.folder import StudyFolder
from hbsim.study.options import RunOptions, check_metric
from hbsim.study.run import run_study
from hbsim.surrogates.table_files import check_out, fitting_space, free_name, write_curves

if TYPE_CHECKING:
    from hbsim.study.callbacks import Callback
    from hbsim.study.result import RunResult


@named_options
def record(
    train: str | Callable[..., object],
    num_trials: int,
    out: Path | str,
    *,
    max_t: float | None = None,
    metric: str | None = None,
    mode: Mode | None = None,
    test_metric: str | None = None,
    workers: int | None = None,
    resource: Mapping[str, object] | None = None,
    resume: bool = False,
    force: bool = False,
    seed: int = 0,
    time_attr: str = "epoch",
    args: Mapping[str, object] | None = None,
    hang_timeout: float | str | None = None,
    trial_timeout: float | str | None = None,
    grace: float | str = 5.0,
    keep: Literal["best", "completed", "all", "none"] = "best",
    fsync: Literal["second", "always", "never"] = "second",
    start: Literal["fork", "spawn"] | None = None,
    callbacks: Sequence[str | Callback] = (),
    progress: Literal["auto", "table", "lines", "none"] = "auto",
) -> RunResult:
    """Train `num_trials` random configurations to their ends, and write their learning curves to a file.

    This is a study of `hbsim.run` with the scheduler fifo, in the folder ``OUT.study`` beside the file; the
    folder is kept. Trial i has the same configuration and the same ``args.seed`` whatever `num_trials` and
    `workers` are. A trial that fails is a curve that ends early.

    Parameters
    ----------
    train : str or callable
        The training function, decorated with `hbsim.args`: itself, or ``"FILE.py:NAME"``. Or an
        `hbsim.Command`, for a script.
    num_trials : int
        How many configurations. With `resume` there may be more than before.
    out : path
        The file to write, ``.parquet`` or ``.csv``.
    max_t : float, optional
        End a trial at its first report at or past this resource; else when the function returns.
    metric, mode : str, optional
        The metric that decides, and ``"max"`` or ``"min"``: noted in the file for its users. Every report
        must have the metric. Unless given, ``accuracy``, maximised, if it is reported.
    test_metric : str, optional
        The metric to judge a chosen trial by, on data that no choice was based on.
    resume : bool
        Go on with an earlier recording to `out`; an existing file is replaced.
    force : bool
        Replace an earlier recording, both the file and its folder.
    workers, resource, seed, time_attr, args, hang_timeout, trial_timeout, grace, keep, fsync, start
        As for `hbsim.run`.
    callbacks, progress
        As for `hbsim.run`.

    Returns
    -------
    RunResult
        The study.

    Raises
    ------
    ParameterError
        An option breaks a rule, or a trial does not report `metric`.
    OutputError
        The file cannot be written, no trial reported anything, or the study ended before all its trials.
    Interrupted
        As for `hbsim.run`; `resume` goes on with the recording.

    Warns
    -----
    HbsimWarning
        If trials failed: how many, and the reason of the first.
    """
    if not resume:
        check_metric(metric, mode)
    most = 1 if max_t is None else max_t  # without max_t trials wait at no level
    try:
        scheduler = make_scheduler("fifo", max_t=most, mode=mode or "max", num_trials=num_trials, seed=seed)
        options = RunOptions.checked(
            workers=workers,
            resource=resource,
            folder=prepare(out, resume, force),
            resume=resume,
            seed=seed,
            time_attr=time_attr,
            metric=metric,
            args=args,
            hang_timeout=hang_timeout,
            trial_timeout=trial_timeout,
            grace=grace,
            keep=keep,
            fsync=fsync,
            start=start,
            callbacks=callbacks,
            until_return=max_t is None,
            progress=progress,
        )
        result = run_study(train, scheduler, options)
    except ParameterError as error:
        if error.field != "until_return":
            raise
        raise ParameterError("max_t", max_t, error.rule) from error
    finish(result, out, test_metric)
    return result


def study_folder(out: Path | str) -> Path:
    """Return the folder of the study of a recording, beside its file."""
    return Path(f"{out}.study")


def prepare(out: Path | str, resume: bool, force: bool) -> Path:
    """Return the folder of the study of a recording; with `force`, remove an earlier one.

    Raises
    ------
    ParameterError
        The file cannot be written, or exists already.
    OutputError
        The earlier recording is still running.
    """
    folder = study_folder(check_out(out, force=force or resume))
    if force and not resume and StudyFolder(folder).holds_study:
        with StudyLock(folder):
            shutil.rmtree(folder)
    return folder


def finish(result: RunResult, out: Path | str, test_metric: str | None) -> None:
    """Write the curves of a recording, and say how many trials failed."""
    if result.why != "done" and not result.reports.is_empty():
        raise OutputError(str(out), "not written: the study ended before all trials had; it can be resumed")
    export(result, out, test_metric=test_metric, force=True)
    reasons = failed(result)
    if reasons:
        trial, first = next(iter(reasons.items()))
        text = f"{len(reasons)} of {result.scheduler.started} trials failed: their curves end early. "
        warnings.warn(HbsimWarning(f"{text}Trial {trial}: {first}"), stacklevel=3)


TIME = "seconds"
TAKEN = ("config", "row", "trial", TIME)  # column names with a meaning for readers


def export(
    result: RunResult,
    out: Path | str,
    metric: str | None = None,
    mode: Mode | None = None,
    test_metric: str | None = None,
    force: bool = False,
) -> None:
    """Write the curves of a study; see `RunResult.export`, which calls this."""
    path = check_out(out, force=force)
    check_metric(metric, mode)
    rows, metrics = _reports(result)
    if rows.is_empty():
        reasons = result.failures["reason"].to_list()
        first = f". The first one: {reasons[0]}" if reasons else ""
        raise OutputError(str(path), f"not written: no trial reported anything{first}")
    spec = result.spec
    renamed: dict[str, str] = {}
    taken = set(TAKEN)
    resource = free_name(spec.time_attr, "resource_", taken, {})
    named = {name: free_name(name, "metric_", taken, renamed) for name in metrics}
    settings = {name: free_name(name, "hp_", taken, renamed) for name in spec.space}
    decides = _decides(result, metric, mode, test_metric, named)
    columns = _settings(result)
    frame = pl.DataFrame(
        [
            rows["config"].cast(pl.Int32),
            _whole(rows["resource"]).alias(resource),
            *(_narrow(column.gather(rows["row"])).alias(named[name]) for name, column in metrics.items()),
            rows[TIME],
            *(columns[name].gather(rows["config"]).alias(new) for name, new in settings.items()),
        ]
    )
    said = {
        "schema": 1,
        "resource": resource,
        "metrics": list(named.values()),
        **decides,
        "time": TIME,
        "hyperparameters": list(settings.values()),
        "space": _space(result, settings, columns),
        "trials": result.scheduler.started,
        "failed": failed(result),
        "recorded": _recorded(result, renamed),
    }
    write_curves(path, frame, said)


def failed(result: RunResult) -> dict[str, str]:
    """Return the reason of each trial that failed for good, by its number as text."""
    reasons = {row["trial"]: row["reason"] for row in result.failures.to_dicts()}
    trials = result.trials.filter(status="failed")["trial"].to_list()
    return {str(trial): reasons.get(trial, "") for trial in trials}


class _Reports(NamedTuple):
    """The reports that learning curves are made of.

    Attributes
    ----------
    rows : polars.DataFrame
        In the order of trial and resource: config (the trial), resource, seconds (of training, cumulative),
        and row, the index of the report in `metrics`.
    metrics : dict of str to Series
        A value for each report: null if it lacked the metric, NaN if the value was not a number.
    """

    rows: pl.DataFrame
    metrics: dict[str, pl.Series]


def _reports(result: RunResult) -> _Reports:
    trials: dict[int, int] = {}
    rows: list[tuple[int, int, float, float]] = []
    metrics: dict[str, list[float | None]] = {}
    for record in read_records(StudyFolder(result.folder).journal):
        if isinstance(record, JobBegun):
            trials[record.job] = record.trial
        if not isinstance(record, JobReports):
            continue
        for _, trained, resource, reported in record.rows:
            for name in reported:
                metrics.setdefault(name, [None] * len(rows))
            for name, column in metrics.items():
                value = reported.get(name)
                column.append(nan if value is None and name in reported else value)
            rows.append((trials[record.job], record.job, resource, trained))
    kinds = {"config": pl.Int64, "job": pl.Int64, "resource": pl.Float64, "trained": pl.Float64}
    made = pl.DataFrame(rows, schema=kinds, orient="row")
    return _Reports(_curves(made), {name: _merged(made, column) for name, column in metrics.items()})


def _merged(rows: pl.DataFrame, column: list[float | None]) -> pl.Series:
    """Return a metric, filled from the report before at the same resource where a report lacks it."""
    frame = rows.with_columns(pl.Series("value", column, dtype=pl.Float64))
    return frame.select(pl.col("value").forward_fill().over("config", "job", "resource")).to_series()


def _curves(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a curve for each trial; of repeated reports at a resource the last one counts."""
    later = pl.col("resource").cum_min(reverse=True).shift(-1).over("config")
    before = pl.col("trained").shift(1, fill_value=0.0).over("config", "job")
    rows = rows.with_row_index("row").sort("config", maintain_order=True)
    rows = rows.filter(later.is_null() | (pl.col("resource") < later))
    return rows.with_columns((pl.col("trained") - before).cum_sum().over("config").alias(TIME))


def _decides(
    result: RunResult,
    metric: str | None,
    mode: Mode | None,
    test_metric: str | None,
    named: Mapping[str, str],
) -> dict[str, object]:
    """Return the metric and mode for the file: as given, of the study, or the default of `hbsim.run`."""
    for field, name in (("metric", metric), ("test_metric", test_metric)):
        if name is not None and name not in named:
            rule = f"no trial reported it, but {', '.join(named)}.{nearest(name, named)}"
            raise ParameterError(field, name, rule)
    if metric is None and result.spec.metric is not None:
        metric, mode = result.spec.metric, result.scheduler.mode
    elif metric is None and "accuracy" in named:
        metric, mode = "accuracy", "max"
    elif metric is None and len(named) == 1:
        metric = next(iter(named))
    others = {"metric": metric, "test_metric": test_metric}
    return {**{field: named.get(name) if name else None for field, name in others.items()}, "mode": mode}


def _settings(result: RunResult) -> dict[str, pl.Series]:
    """Return the values of each parameter, one for each trial."""
    return dict(zip(result.spec.space, result.configurations.get_columns()[1:], strict=True))


def _space(
    result: RunResult, settings: Mapping[str, str], columns: Mapping[str, pl.Series]
) -> dict[str, Any] | None:
    """Return the search space as JSON, with the names of columns; None if columns cannot hold its values."""
    values = {name: column.to_list() for name, column in columns.items()}
    space: dict[str, Any] | None = fitting_space(result.spec.space, values)
    for part in space["parameters"] if space else ():
        part["name"] = settings[part["name"]]
        if "when" in part:
            part["when"] = {settings[name]: values for name, values in part["when"].items()}
    return space


def _recorded(result: RunResult, renamed: Mapping[str, str]) -> dict[str, object]:
    spec, options = result.spec, result.scheduler.options
    max_t = None if spec.until_return else options.max_t
    by = {"scheduler": options.type, "searcher": spec.searcher, "max_t": max_t, "renamed": dict(renamed)}
    function = {"train": spec.train, "sha256": spec.digest, "seed": spec.seed, "time_attr": spec.time_attr}
    return {**function, **by, "hbsim": version("hbsim"), "python": platform.python_version()}


def _whole(column: pl.Series) -> pl.Series:
    whole = column.cast(pl.Int64, strict=False)
    return whole if bool((whole.cast(pl.Float64) == column).all()) else column


def _narrow(column: pl.Series) -> pl.Series:
    """Return numbers as 32-bit ones if that loses no precision."""
    single = column.cast(pl.Float32)
    return single if bool(single.cast(pl.Float64).eq_missing(column).all()) else column
