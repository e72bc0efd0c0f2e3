"""The reader of Weights & Biases histories, CSV from a panel or in long form with a row a logged step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates.import_log import (
    ImportOptions,
    Label,
    RunLog,
    join_params,
    labels_of,
    read_csv,
    read_text,
    typed,
)

_RUN: Final = ("run_id", "run.id", "run", "run_name", "run.name", "name", "Name", "Run", "id", "trial")
_RUNS_TABLE: Final = {"Name", "State", "Runtime", "Created", "Sweep", "User", "Tags", "Notes"}
_CONFIG: Final = ("config.", "config/", "config_", "config:")
_AXES: Final = ("relative time", "wall time", "runtime", "_runtime", "_timestamp")
_DATE: Final = "is a date: _runtime counts from a run's start"


def read_wandb(path: Path, options: ImportOptions) -> RunLog:
    """Read a CSV of histories.

    Raises
    ------
    SurrogateError
        The file is a table of runs, which has no curves, or its columns have neither form.
    """
    source = str(path)
    frame = read_csv(read_text(path, source), source)
    if any(" - " in name for name in frame.columns[1:]):
        return _panel(source, frame, options)
    return _long(source, frame, options)


def _panel(source: str, frame: pl.DataFrame, options: ImportOptions) -> RunLog:
    axis, *others = frame.columns
    if axis.lower().startswith(_AXES):
        problem = f"counts along {axis!r}: choose Step or an epoch as the panel's X axis and export again"
        raise SurrogateError(source, problem)
    if any(name.startswith("Group: ") for name in others):
        raise SurrogateError(source, "holds means over groups of runs: ungroup the panel and export again")
    resource = "step" if axis == "Step" else axis
    runs: dict[str, dict[str, pl.Series]] = {}
    for name in others:
        run, dash, metric = name.rpartition(" - ")
        if dash and not metric.endswith(("__MIN", "__MAX")):
            runs.setdefault(run, {})[metric] = typed(frame[name])
    levels = typed(frame[axis])
    if not levels.dtype.is_numeric():
        raise SurrogateError(source, f"its X axis {axis!r} must hold numbers")
    parts = [pl.DataFrame({resource: levels, **columns}) for columns in runs.values()]
    trials: list[Label] = [run for run in runs for _ in range(frame.height)]
    rows = pl.concat(parts, how="diagonal_relaxed")
    any_value = rows.select(pl.any_horizontal(pl.exclude(resource).is_not_null())).to_series()
    trials = [trial for trial, there in zip(trials, any_value, strict=True) if there]
    settings, notes = join_params(options, trials, [c for c in rows.columns if c != resource])
    return RunLog(
        source=source,
        kind="W&B",
        trials=trials,
        rows=rows.filter(any_value),
        settings=settings,
        resources=(resource,),
        times=("_runtime",),
        refused={"_timestamp": _DATE},
        counts_from_first=True,
        hidden=frozenset({"_step", "_runtime", "_timestamp"}),
        notes=tuple(notes),
    )


def _long(source: str, frame: pl.DataFrame, options: ImportOptions) -> RunLog:
    name = next((name for name in _RUN if name in frame.columns), None)
    if "_step" not in frame.columns and len(_RUNS_TABLE & set(frame.columns)) > 2:
        problem = "is a table of runs, one row a run: it has no curves; export a line panel or run.history()"
        raise SurrogateError(source, problem)
    if name is None:
        problem = (
            f"has no column that names the run: one of {', '.join(_RUN)}; columns: {', '.join(frame.columns)}"
        )
        raise SurrogateError(source, problem)
    if "_step" not in frame.columns and (options.resource or "step") not in frame.columns:
        rule = f"is needed: {source} has no column _step; columns: {', '.join(frame.columns)}"
        raise ParameterError("resource", options.resource, rule)
    frame = frame.filter(pl.col(name).is_not_null())
    trials = labels_of(frame[name])
    frame = pl.DataFrame([typed(column) for column in frame if column.name != name])
    config = _config(frame, trials, options)
    settings = _settings(frame, trials, config)
    joined, notes = join_params(options, trials, [c for c in frame.columns if c not in config])
    return RunLog(
        source=source,
        kind="W&B",
        trials=trials,
        rows=frame.select(pl.exclude(list(config))),
        settings={trial: {**own, **joined.get(trial, {})} for trial, own in settings.items()},
        resources=("_step", "step"),
        times=("_runtime",),
        refused={"_timestamp": _DATE},
        counts_from_first=True,
        hidden=frozenset({"_step", "_runtime", "_timestamp", *_RUN}),
        notes=tuple(notes),
    )


def _config(frame: pl.DataFrame, trials: list[Label], options: ImportOptions) -> dict[str, str]:
    """Return the names of hyperparameters by column: those of ``config``, else constant columns."""
    marked = {c: c[len(p) :] for c in frame.columns for p in _CONFIG if c.startswith(p) and len(c) > len(p)}
    if marked:
        return marked
    named = {options.metric, options.resource, options.time, *_RUN}
    free = [c for c in frame.columns if c not in named and not c.startswith("_")]
    if not free:
        return {}
    grouped = frame.select(free).with_columns(pl.Series("_trial", list(map(str, trials)))).group_by("_trial")
    kinds = grouped.agg(pl.all().drop_nulls().n_unique()).select(pl.exclude("_trial").max())
    full = frame.select(free).null_count()
    return {c: c for c in free if kinds[c][0] == 1 and full[c][0] == 0}


def _settings(
    frame: pl.DataFrame, trials: list[Label], config: Mapping[str, str]
) -> dict[Label, dict[str, object]]:
    settings: dict[Label, dict[str, object]] = {trial: {} for trial in trials}
    for column, name in config.items():
        for trial, value in zip(trials, frame[column].to_list(), strict=True):
            if value is not None:
                settings[trial][name] = value
    return settings
