"""The learning curves of a study that was run, as the file that `docs/how-to/record.md` describes."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from hbsim.core.types import Mode
from hbsim.errors import OutputError, ParameterError, nearest
from hbsim.runner.records import read_records
from hbsim.study.folder import StudyFolder
from hbsim.surrogates.table_files import check_out, fitting_space, free_name, write_curves

if TYPE_CHECKING:
    from hbsim.study.result import RunResult

__all__ = ["check_metric", "export"]

TIME = "seconds"
TAKEN = ("config", "row", "trial", TIME)  # what readers know columns by


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
        reasons = result.failures()["reason"].to_list()
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


def check_metric(metric: object, mode: object) -> None:
    """Check that a metric and its mode are given together, or neither.

    Raises
    ------
    ParameterError
        One is missing, or there is no such mode.
    """
    if mode not in (None, "max", "min"):
        raise ParameterError("mode", mode, "must be 'max' or 'min'")
    if (metric is None) != (mode is None):
        given, other = ("mode", "metric") if metric is None else ("metric", "mode")
        raise ParameterError(other, None, f"must be given with {given}")


def failed(result: RunResult) -> dict[str, str]:
    """Return why trials failed for good, by their number as text."""
    reasons = {row["trial"]: row["reason"] for row in result.failures().to_dicts()}
    trials = result.trials.filter(status="failed")["trial"].to_list()
    return {str(trial): reasons.get(trial, "") for trial in trials}


class _Reports(NamedTuple):
    """The reports that make up curves.

    Attributes
    ----------
    rows : polars.DataFrame
        By trial and resource: config (the trial), resource, seconds (of training, cumulative), and row, the
        place of the report in `metrics`.
    metrics : dict of str to Series
        A value for each report that was made: null where it lacked the metric, NaN where it was no number.
    """

    rows: pl.DataFrame
    metrics: dict[str, pl.Series]


def _reports(result: RunResult) -> _Reports:
    trials: dict[int, int] = {}
    rows: list[tuple[int, int, float, float]] = []
    metrics: dict[str, list[float | None]] = {}
    for record in read_records(StudyFolder(result.folder).journal):
        if "trial" in record:
            trials[record["job"]] = record["trial"]
        for _, trained, resource, reported in record.get("rows", ()):
            for name in reported:
                metrics.setdefault(name, [None] * len(rows))
            for name, column in metrics.items():
                value = reported.get(name)
                column.append(nan if value is None and name in reported else value)
            rows.append((trials[record["job"]], record["job"], resource, trained))
    kinds = {"config": pl.Int64, "job": pl.Int64, "resource": pl.Float64, "trained": pl.Float64}
    made = pl.DataFrame(rows, schema=kinds, orient="row")
    return _Reports(_curves(made), {name: _merged(made, column) for name, column in metrics.items()})


def _merged(rows: pl.DataFrame, column: list[float | None]) -> pl.Series:
    """Return a metric, in a report that lacks it as it was said before at the same resource."""
    frame = rows.with_columns(pl.Series("value", column, dtype=pl.Float64))
    return frame.select(pl.col("value").forward_fill().over("config", "job", "resource")).to_series()


def _curves(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one curve a trial: of what was trained again, or reported twice, the last report counts."""
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
    """Return what the file says of the metric: as given, as in the study, or as `hbsim.run` takes it."""
    for field, name in (("metric", metric), ("test_metric", test_metric)):
        if name is not None and name not in named:
            rule = f"no trial reported it, but {', '.join(named)}.{nearest(name, named)}"
            raise ParameterError(field, name, rule)
    if metric is None and result.spec.reward_attr is not None:
        metric, mode = result.spec.reward_attr, result.scheduler.mode
    elif metric is None and "accuracy" in named:
        metric, mode = "accuracy", "max"
    elif metric is None and len(named) == 1:
        metric = next(iter(named))
    others = {"metric": metric, "test_metric": test_metric}
    return {**{field: named.get(name) if name else None for field, name in others.items()}, "mode": mode}


def _settings(result: RunResult) -> dict[str, pl.Series]:
    """Return the values of each parameter, one a trial."""
    return dict(zip(result.spec.space, result.configurations.get_columns()[1:], strict=True))


def _space(
    result: RunResult, settings: Mapping[str, str], columns: Mapping[str, pl.Series]
) -> dict[str, Any] | None:
    """Return the search space as JSON, with the names of columns; None where these do not hold its values."""
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
    """Return numbers in half the bytes, where that loses nothing."""
    single = column.cast(pl.Float32)
    return single if bool(single.cast(pl.Float64).eq_missing(column).all()) else column
