"""From curves to a table in long form, with what `hbsim record` says of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from hbsim.surrogates.import_choose import Chosen
from hbsim.surrogates.import_log import Label, Log
from hbsim.surrogates.import_space import fitting
from hbsim.surrogates.import_tidy import Curves
from hbsim.surrogates.table_files import free_name

__all__ = ["Made", "make"]

_LEVELS: Final = ("resource", "epoch", "step", "level")  # what a table's column of levels may be called
_TAKEN: Final = frozenset({"config", "row", "trial", "seconds", *_LEVELS})


@dataclass(frozen=True)
class Made:
    """A table, and the names of its columns.

    Attributes
    ----------
    frame : polars.DataFrame
        ``trial``, the resource, the metrics, ``seconds`` where there is time, the hyperparameters.
    resource : str
        What the column of levels is called.
    metrics, hyperparameters : tuple of str
        Names; the first metric is the one that decides.
    space : dict or None
        The search space as JSON.
    notes : tuple of str
        What had to be renamed or turned into text.
    """

    frame: pl.DataFrame
    resource: str
    metrics: tuple[str, ...]
    hyperparameters: tuple[str, ...]
    space: dict[str, object] | None
    notes: tuple[str, ...]


def make(log: Log, chosen: Chosen, curves: Curves) -> Made:
    """Return the table of curves, sorted by trial and level."""
    resource = chosen.resource if chosen.resource in _LEVELS else "resource"
    renamed: dict[str, str] = {}
    taken = set(_TAKEN)
    metrics = {n: free_name(n, "metric_", taken, renamed) for n in (chosen.metric, *chosen.others)}
    order = list(dict.fromkeys(curves.trials))
    columns, mixed = _settings(log.settings, order)
    settings = {n: free_name(n, "hp_", taken, renamed) for n in columns}
    place = {trial: at for at, trial in enumerate(order)}
    of_trial = [place[trial] for trial in curves.trials]
    frame = pl.DataFrame(
        [
            pl.Series("trial", curves.trials),
            _whole(pl.Series(resource, curves.levels)),
            *(_metric(log.rows[n][curves.rows], new) for n, new in metrics.items()),
            *([] if curves.seconds is None else [_seconds(curves.seconds)]),
            *(columns[n][of_trial].alias(new) for n, new in settings.items()),
        ]
    )
    notes = _notes(renamed, mixed)
    if resource != chosen.resource:
        notes.insert(0, f"the resource {chosen.resource} is called {resource}")
    space = fitting(log.space, {n: column.to_list() for n, column in columns.items()})
    for part in space["parameters"] if space else ():  # type: ignore[attr-defined]
        part["name"] = settings[part["name"]]
    return Made(
        frame=frame.sort("trial", resource),
        resource=resource,
        metrics=tuple(metrics.values()),
        hyperparameters=tuple(settings.values()),
        space=space,
        notes=tuple(notes),
    )


def _settings(
    settings: Mapping[Label, Mapping[str, object]], order: Sequence[Label]
) -> tuple[dict[str, pl.Series], list[str]]:
    """Return a column a hyperparameter, a value a trial; and those of several types, now text."""
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
    """Return values of one type; whole numbers among others as floats; None where types differ."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if v is None else float(v) for v in values]  # type: ignore[arg-type]
    large = any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in values)
    return values if len(kinds) <= 1 and kinds <= {bool, int, float, str} and not large else None


def _metric(column: pl.Series, name: str) -> pl.Series:
    """Return a metric; what is infinite is no number: it would be the best of all where less is better."""
    values = column.cast(pl.Float64)
    return pl.select(
        pl.when(values.is_infinite()).then(float("nan")).otherwise(values).alias(name)
    ).to_series()


def _whole(levels: pl.Series) -> pl.Series:
    whole = levels.cast(pl.Int64)
    return whole if bool((whole.cast(pl.Float64) == levels).all()) else levels


def _seconds(seconds: np.ndarray) -> pl.Series:
    return pl.Series("seconds", seconds).fill_nan(None)


def _notes(renamed: Mapping[str, str], mixed: Iterable[str]) -> list[str]:
    notes = [f"{name} is called {new}, as its name is taken" for name, new in renamed.items()]
    return notes + [f"hyperparameter {name} has values of several types: they are text" for name in mixed]
