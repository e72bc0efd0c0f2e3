"""The table of an import: the choice of metric, resource and time columns, and the written files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import polars as pl

from hbsim.core.types import Mode
from hbsim.errors import ParameterError, SurrogateError, nearest
from hbsim.surrogates.import_curves import LoggedCurves
from hbsim.surrogates.import_log import ImportOptions, Label, RunLog
from hbsim.surrogates.table_files import check_out, fitting_space, free_name, write_curves

_LEVELS: Final = ("resource", "epoch", "step", "level")  # possible names of a table's column of levels
_TAKEN: Final = frozenset({"config", "row", "trial", "seconds", *_LEVELS})


@dataclass(frozen=True)
class Chosen:
    """The chosen columns of a log.

    Attributes
    ----------
    metric, resource : str
        The metric that decides, and the resource.
    time : str or None
        Seconds of training, if a column has them.
    others : tuple of str
        Further metrics.
    notes : tuple of str
        Remarks on choices of columns that can be doubted.
    """

    metric: str
    resource: str
    time: str | None
    others: tuple[str, ...]
    notes: tuple[str, ...]


def choose(log: RunLog, options: ImportOptions) -> Chosen:
    """Choose columns of a log: the named ones, else the likeliest.

    Raises
    ------
    ParameterError, SurrogateError
        A column does not exist or holds no numbers, or several columns could be meant.
    """
    resource = _resource(log, options.resource)
    time = _time(log, options.time)
    taken = {resource, time}
    free = [n for n in log.rows.columns if n not in taken | log.hidden and not n.startswith("_")]
    metrics = [n for n in free if log.rows[n].dtype.is_numeric() and log.rows[n].count()]
    metric = choose_metric(log.source, options.metric or log.metric, metrics, log.rows.columns)
    if metric in taken:
        role = "resource" if metric == resource else "time"
        raise ParameterError("metric", metric, f"is the {role} already")
    _check_column(log, "metric", metric)
    same = {n for n in metrics if log.rows[n].cast(pl.Float64).eq(log.rows[resource]).all()}
    others = [n for n in metrics if n != metric and n not in same]
    notes = _resource_notes(log, resource, options.resource)
    texts = [n for n in free if n not in metrics and n != metric and log.rows[n].count()]
    if texts:
        notes.append(f"left out what is no number: {', '.join(texts)}")
    return Chosen(metric, resource, time, tuple(others), tuple(notes))


def choose_metric(source: str, named: str | None, metrics: Sequence[str], columns: Sequence[str]) -> str:
    """Return the named metric, or the only one.

    Raises
    ------
    ParameterError
        No metric was named, and there are several.
    SurrogateError
        There is no metric, or not the named one.
    """
    there = ", ".join(metrics)
    if named is not None:
        if named not in columns:
            problem = f"metric={named!r} is not in it; there are: {there or 'none'}."
            raise SurrogateError(source, problem + nearest(named, metrics))
        return named
    if len(metrics) == 1:
        return metrics[0]
    if not metrics:
        raise SurrogateError(source, "holds no metric: no column of numbers is left")
    raise ParameterError("metric", None, f"is needed for {source}: one of {there}")


def _resource(log: RunLog, named: str | None) -> str:
    if named is None:
        found = [name for name in log.resources if name in log.rows.columns]
        if not found:
            rule = f"is needed: {log.source} has none of the usual ({', '.join(log.resources)})"
            there = ", ".join(n for n in log.rows.columns if log.rows[n].dtype.is_numeric())
            raise ParameterError("resource", None, f"{rule}; there are: {there}")
        named = found[0]
    _check_column(log, "resource", named)
    return named


def _resource_notes(log: RunLog, resource: str, named: str | None) -> list[str]:
    if named is not None:
        return []
    others = [n for n in ("epoch", "step", "global_step") if n in log.rows.columns and n != resource]
    others = [n for n in others if log.rows[n].dtype.is_numeric()]
    others = [n for n in others if not log.rows[n].cast(pl.Float64).eq(log.rows[resource]).all()]
    return [f"the resource is {resource}; say resource={others[0]!r} for that"] if others else []


def _time(log: RunLog, named: str | None) -> str | None:
    if named is None:
        found = [n for n in log.times if n in log.rows.columns and log.rows[n].count()]
        if not found:
            return None
        named = found[0]
    elif named in log.refused:
        other = f"; {log.times[0]} is the time of training" if log.times else ""
        raise ParameterError("time", named, f"{log.refused[named]}{other}")
    _check_column(log, "time", named)
    return named


def _check_column(log: RunLog, field: str, name: str) -> None:
    """Raise a SurrogateError unless there is a column `name` that holds numbers; `field` asked for it."""
    if name not in log.rows.columns:
        near = nearest(name, log.rows.columns)
        columns = ", ".join(log.rows.columns)
        raise SurrogateError(log.source, f"{field}={name!r} is not in it; there are: {columns}.{near}")
    dtype = log.rows[name].dtype
    if not dtype.is_numeric():
        what = "text" if dtype == pl.String else str(dtype)
        raise SurrogateError(log.source, f"{field}={name!r} must hold numbers, not {what}")
    if not log.rows[name].count():
        raise SurrogateError(log.source, f"{field}={name!r} is empty everywhere")


@dataclass(frozen=True)
class Imported:
    """Imported curves of other tools' runs; `docs/how-to/import.md` explains how columns are chosen.

    Attributes
    ----------
    source, kind : str
        The source of the runs, and its tool.
    frame : polars.DataFrame
        Long form, a row for each trial and level: ``trial``, the resource, metrics, ``seconds`` where there
        is time, hyperparameters.
    metric : str
        The metric that decides, as its column is called.
    mode : "max" or "min" or None
        Whether it is maximised; None where the source does not say it.
    resource : str
        The column of levels.
    time : str or None
        The origin of the seconds: a column of the source, or ``duration``; None where there is no time.
    metrics, hyperparameters : tuple of str
        Names of columns.
    space : dict or None
        The search space as `Space.to_json` writes it, if the tool gives it.
    trials, levels : int
        How many trials and levels there are.
    max_resource : float
        The last level.
    early : int
        How many curves end before the last level: loading needs `censored` if there are any.
    no_number : int
        In how many rows the metric is no number.
    notes : tuple of str
        Remarks on what was left out, joined and renamed.
    """

    source: str
    kind: str
    frame: pl.DataFrame
    metric: str
    mode: Mode | None
    resource: str
    time: str | None
    metrics: tuple[str, ...]
    hyperparameters: tuple[str, ...]
    space: dict[str, object] | None
    trials: int
    levels: int
    max_resource: float
    early: int
    no_number: int
    notes: tuple[str, ...]

    def write(self, out: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the table, as Parquet with the metadata of `hbsim record`, or as CSV with a file of metadata.

        Parameters
        ----------
        out : path
            A ``.parquet`` or ``.csv`` file.
        force : bool
            Whether an existing file is replaced.

        Raises
        ------
        ParameterError
            `out` has another ending, is a folder or the source, or exists already.
        OutputError
            The file cannot be written; an existing file is unchanged.
        """
        write_curves(check_out(out, force=force, sources=(self.source,)), self.frame, self._metadata())

    def _metadata(self) -> dict[str, object]:
        """Return the metadata that `docs/how-to/record.md` describes."""
        return {
            "schema": 1,
            "resource": self.resource,
            "metrics": list(self.metrics),
            "metric": self.metric,
            "mode": self.mode,
            "test_metric": None,
            "time": None if self.time is None else "seconds",
            "hyperparameters": list(self.hyperparameters),
            "space": self.space,
            "trials": self.trials,
            "imported": {"from": self.kind, "time": self.time, "notes": list(self.notes)},
        }


def imported_table(log: RunLog, chosen: Chosen, curves: LoggedCurves, mode: Mode | None) -> Imported:
    """Return the table of curves, sorted by trial and level, with remarks on it."""
    resource = chosen.resource if chosen.resource in _LEVELS else "resource"
    renamed: dict[str, str] = {}
    taken = set(_TAKEN)
    metrics = {n: free_name(n, "metric_", taken, renamed) for n in (chosen.metric, *chosen.others)}
    labels = list(dict.fromkeys(curves.trials))
    columns, mixed = _setting_columns(log.settings, labels)
    settings = {n: free_name(n, "hp_", taken, renamed) for n in columns}
    place = {trial: at for at, trial in enumerate(labels)}
    of_trial = [place[trial] for trial in curves.trials]
    seconds = [] if curves.seconds is None else [pl.Series("seconds", curves.seconds).fill_nan(None)]
    frame = pl.DataFrame(
        [
            pl.Series("trial", curves.trials),
            _whole(pl.Series(resource, curves.levels)),
            *(_metric(log.rows[n][curves.rows], new) for n, new in metrics.items()),
            *seconds,
            *(columns[n][of_trial].alias(new) for n, new in settings.items()),
        ]
    ).sort("trial", resource)
    space = fitting_space(log.space, {n: column.to_list() for n, column in columns.items()})
    for part in space["parameters"] if space else ():  # type: ignore[attr-defined]
        part["name"] = settings[part["name"]]
    notes = [*log.notes, *chosen.notes, *curves.notes]
    if resource != chosen.resource:
        notes.append(f"the resource {chosen.resource} is called {resource}")
    notes += [f"{name} is called {new}, as its name is taken" for name, new in renamed.items()]
    notes += [f"hyperparameter {name} has values of several types: they are text" for name in mixed]
    if not settings:
        notes.append("no hyperparameters: curves can be replayed, but not fitted")
    ends = frame.group_by("trial").agg(pl.col(resource).max())[resource]
    top = float(cast("float", ends.max()))
    metric = metrics[chosen.metric]
    known_mode = log.mode if chosen.metric == log.metric else None
    return Imported(
        source=log.source,
        kind=log.kind,
        frame=frame,
        metric=metric,
        mode=cast("Mode | None", mode or known_mode),
        resource=resource,
        time=(chosen.time or "duration") if seconds else None,
        metrics=tuple(metrics.values()),
        hyperparameters=tuple(settings.values()),
        space=space,
        trials=len(ends),
        levels=frame[resource].n_unique(),
        max_resource=top,
        early=int((ends < top).sum()),
        no_number=int(frame[metric].is_nan().sum()),
        notes=tuple(notes),
    )


def _setting_columns(
    settings: Mapping[Label, Mapping[str, object]], order: Sequence[Label]
) -> tuple[dict[str, pl.Series], list[str]]:
    """Return a column for each hyperparameter, and the names of those of mixed types, which become text."""
    names = dict.fromkeys(name for trial in order for name in settings.get(trial, {}))
    columns, mixed = {}, []
    for name in names:
        values = [settings.get(trial, {}).get(name) for trial in order]
        plain = _plain(values)
        if plain is None:
            mixed.append(name)
            plain = [
                None if v is None else v if isinstance(v, str) else json.dumps(v, default=str) for v in values
            ]
        columns[name] = pl.Series(name, plain, strict=False)
    return columns, mixed


def _plain(values: list[object]) -> list[object] | None:
    """Convert values to one type, whole numbers among floats to floats; return None where types differ."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if v is None else float(v) for v in values]  # type: ignore[arg-type]
    large = any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in values)
    return values if len(kinds) <= 1 and kinds <= {bool, int, float, str} and not large else None


def _metric(column: pl.Series, name: str) -> pl.Series:
    """Return a metric with NaN for infinite values, as -inf would be the best where less is better."""
    values = column.cast(pl.Float64)
    return pl.select(
        pl.when(values.is_infinite()).then(float("nan")).otherwise(values).alias(name)
    ).to_series()


def _whole(levels: pl.Series) -> pl.Series:
    whole = levels.cast(pl.Int64)
    return whole if bool((whole.cast(pl.Float64) == levels).all()) else levels
