"""Which of the reported columns is the metric, which the resource and which the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from hbsim.errors import ParameterError, SurrogateError, nearest
from hbsim.surrogates.import_log import Log, Wanted

__all__ = ["Chosen", "choose", "the_metric"]


@dataclass(frozen=True)
class Chosen:
    """Names of columns.

    Attributes
    ----------
    metric, resource : str
        What decides, and what is counted.
    time : str or None
        Seconds of training, if a column has them.
    others : tuple of str
        Further metrics.
    notes : tuple of str
        What was taken for what, where that can be doubted.
    """

    metric: str
    resource: str
    time: str | None
    others: tuple[str, ...]
    notes: tuple[str, ...]


def choose(log: Log, wanted: Wanted) -> Chosen:
    """Choose columns: those that were named, else the likeliest.

    Raises
    ------
    ParameterError, SurrogateError
        A column is not there or holds no numbers, or several could be meant.
    """
    resource = _resource(log, wanted.resource)
    time = _time(log, wanted.time)
    taken = {resource, time}
    free = [n for n in log.rows.columns if n not in taken | log.hidden and not n.startswith("_")]
    metrics = [n for n in free if log.rows[n].dtype.is_numeric() and log.rows[n].count()]
    metric = the_metric(log.source, wanted.metric or log.metric, metrics, log.rows.columns)
    if metric in taken:
        role = "resource" if metric == resource else "time"
        raise ParameterError("metric", metric, f"is the {role} already")
    _numeric(log, "metric", metric)
    same = {n for n in metrics if log.rows[n].cast(pl.Float64).eq(log.rows[resource]).all()}
    others = [n for n in metrics if n != metric and n not in same]
    notes = _of_resource(log, resource, wanted.resource)
    texts = [n for n in free if n not in metrics and n != metric and log.rows[n].count()]
    if texts:
        notes.append(f"left out what is no number: {', '.join(texts)}")
    return Chosen(metric, resource, time, tuple(others), tuple(notes))


def the_metric(source: str, named: str | None, metrics: Sequence[str], columns: Sequence[str]) -> str:
    """Return the metric that was named, or the only one.

    Raises
    ------
    ParameterError
        None was named, and there are several.
    SurrogateError
        There is none, or not the named one.
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


def _resource(log: Log, named: str | None) -> str:
    if named is None:
        found = [name for name in log.resources if name in log.rows.columns]
        if not found:
            rule = f"is needed: {log.source} has none of the usual ({', '.join(log.resources)})"
            there = ", ".join(n for n in log.rows.columns if log.rows[n].dtype.is_numeric())
            raise ParameterError("resource", None, f"{rule}; there are: {there}")
        named = found[0]
    _there(log, "resource", named)
    _numeric(log, "resource", named)
    return named


def _of_resource(log: Log, resource: str, named: str | None) -> list[str]:
    if named is not None:
        return []
    others = [n for n in ("epoch", "step", "global_step") if n in log.rows.columns and n != resource]
    others = [n for n in others if log.rows[n].dtype.is_numeric()]
    others = [n for n in others if not log.rows[n].cast(pl.Float64).eq(log.rows[resource]).all()]
    return [f"the resource is {resource}; say resource={others[0]!r} for that"] if others else []


def _time(log: Log, named: str | None) -> str | None:
    if named is None:
        found = [n for n in log.times if n in log.rows.columns and log.rows[n].count()]
        if not found:
            return None
        named = found[0]
    elif named in log.refused:
        other = f"; {log.times[0]} is the time of training" if log.times else ""
        raise ParameterError("time", named, f"{log.refused[named]}{other}")
    _there(log, "time", named)
    _numeric(log, "time", named)
    return named


def _there(log: Log, field: str, name: str) -> None:
    if name not in log.rows.columns:
        near = nearest(name, log.rows.columns)
        there = ", ".join(log.rows.columns)
        raise SurrogateError(log.source, f"{field}={name!r} is not in it; there are: {there}.{near}")


def _numeric(log: Log, field: str, name: str) -> None:
    dtype = log.rows[name].dtype
    if not dtype.is_numeric():
        what = "text" if dtype == pl.String else str(dtype)
        raise SurrogateError(log.source, f"{field}={name!r} must hold numbers, not {what}")
    if not log.rows[name].count():
        raise SurrogateError(log.source, f"{field}={name!r} is empty everywhere")
