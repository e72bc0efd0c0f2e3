"""The reader of metric histories of MLflow runs, CSV with a row for each logged value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from hbsim.errors import SurrogateError
from hbsim.surrogates.import_log import (
    ImportOptions,
    Label,
    RunLog,
    join_params,
    labels_of,
    params_table,
    read_csv,
    read_text,
    typed,
)
from hbsim.surrogates.import_table import choose_metric

_NAMES: Final = {
    "run": ("run_id", "Run ID", "run_uuid", "Run", "run", "run_name"),
    "key": ("key", "metric", "Metric"),
    "value": ("value", "Value"),
    "step": ("step", "Step"),
    "timestamp": ("timestamp", "Timestamp"),
}
_STARTS: Final = ("start_time", "Start Time")
_MILLISECONDS: Final = 1e11  # larger dates are milliseconds: as seconds they would lie beyond the year 5000


def columns_of(columns: Sequence[str]) -> dict[str, str]:
    """Return the names of the columns of run, key, value, step and timestamp that exist."""
    found = {what: next((n for n in names if n in columns), None) for what, names in _NAMES.items()}
    return {what: name for what, name in found.items() if name is not None}


def read_mlflow(path: Path, options: ImportOptions) -> RunLog:
    """Read metric histories; hyperparameters and starts come from the table of runs, if there is one.

    Raises
    ------
    SurrogateError
        A column is missing or holds no numbers.
    """
    source = str(path)
    frame = read_csv(read_text(path, source), source)
    names = columns_of(frame.columns)
    for what in ("run", "key", "value", "step"):
        if what not in names:
            there = ", ".join(frame.columns)
            raise SurrogateError(source, f"has no column {' or '.join(_NAMES[what])}; columns: {there}")
    frame = frame.filter(pl.col(names["run"]).is_not_null() & pl.col(names["key"]).is_not_null())
    for what in ("value", "step", "timestamp"):
        if what in names and not typed(frame[names[what]]).dtype.is_numeric():
            raise SurrogateError(source, f"column {names[what]!r} must hold numbers")
    keys = sorted(set(frame[names["key"]].to_list()))
    metric = choose_metric(source, options.metric, keys, keys)
    trials, rows = _wide(frame, names, metric)
    settings, notes = join_params(options, trials, keys)
    return RunLog(
        source=source,
        kind="MLflow",
        trials=trials,
        rows=rows,
        settings=settings,
        resources=("step",),
        times=("timestamp",) if "timestamp" in names else (),
        hidden=frozenset({"step", "timestamp"}),
        starts=_starts(options, trials),
        metric=metric,
        notes=tuple(notes),
    )


def _wide(frame: pl.DataFrame, names: dict[str, str], metric: str) -> tuple[list[Label], pl.DataFrame]:
    """Pivot to a row a run and step, and a column a metric; dates are those of the deciding metric."""
    long = pl.DataFrame(
        {
            "run": frame[names["run"]],
            "key": frame[names["key"]],
            "step": typed(frame[names["step"]]).cast(pl.Float64),
            "value": typed(frame[names["value"]]).cast(pl.Float64),
        }
    )
    dates = typed(frame[names["timestamp"]]).cast(pl.Float64) if "timestamp" in names else None
    long = long.with_columns(
        pl.lit(None, dtype=pl.Float64).alias("date") if dates is None else dates.alias("date")
    )
    long = long.sort("date", maintain_order=True, nulls_last=True)
    wide: dict[tuple[str, float], dict[str, float]] = {}
    for run, key, step, value, date in long.iter_rows():
        if step is None or value is None:
            continue
        cell = wide.setdefault((run, step), {"step": step})
        cell[key if key not in ("step", "timestamp") else f"metric_{key}"] = value
        if key == metric and date is not None:
            cell["timestamp"] = date / 1e3 if date > _MILLISECONDS else date
    order = {run: at for at, run in enumerate(dict.fromkeys(frame[names["run"]].to_list()))}
    pairs = sorted(wide, key=lambda pair: (order[pair[0]], pair[1]))
    columns = dict.fromkeys(["step", "timestamp", *(name for cell in wide.values() for name in cell)])
    rows = pl.DataFrame(
        {name: [wide[pair].get(name) for pair in pairs] for name in columns},
        schema=dict.fromkeys(columns, pl.Float64),
    )
    return labels_of(pl.Series([run for run, _ in pairs], dtype=pl.String)), rows


def _starts(options: ImportOptions, trials: Sequence[Label]) -> dict[Label, float]:
    """Return the starts of runs in seconds, if the table of runs gives them."""
    if options.params is None:
        return {}
    table, key = params_table(options, trials)
    name = next((name for name in _STARTS if name in table.columns), None)
    if name is None:
        return {}
    texts = {str(trial): trial for trial in trials}
    pairs = zip(table[key].to_list(), table[name].to_list(), strict=True)
    return {texts[str(run)]: _date(value) for run, value in pairs if str(run) in texts}


def _date(value: object) -> float:
    """Return a date in seconds; NaN for text without a time zone, which is ambiguous."""
    if isinstance(value, int | float):
        return value / 1e3 if value > _MILLISECONDS else float(value)
    try:
        date = datetime.fromisoformat(str(value))
    except ValueError:
        return math.nan
    return date.timestamp() if date.tzinfo else math.nan
