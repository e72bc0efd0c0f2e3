"""Hyperparameters from a second file: a table of runs, one row a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import polars as pl

from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates.import_log import Label, Wanted, counted, read_csv, read_text, typed

__all__ = ["join_params", "params_table"]

_RUN: Final = ("run_id", "Run ID", "run.id", "ID", "id", "Name", "Run Name", "Run", "name", "run_name", "run")
_PREFIXES: Final = ("params.", "config.")
_OTHER: Final = frozenset(
    {
        "state",
        "status",
        "notes",
        "user",
        "tags",
        "created",
        "runtime",
        "sweep",
        "hostname",
        "start_time",
        "end_time",
        "artifact_uri",
        "experiment_id",
        "duration",
        "source",
        "version",
        "github",
    }
) | {"start time", "source type", "source name", "run name", "run id", "end time"}


def join_params(
    wanted: Wanted, trials: Sequence[Label], metrics: Sequence[str]
) -> tuple[dict[Label, dict[str, object]], list[str]]:
    """Return each trial's hyperparameters from the second file, and notes.

    Columns ``params.NAME`` or ``config.NAME`` if there are any; else all that are no metric and nothing that
    the tool adds.

    Raises
    ------
    SurrogateError
        The file cannot be read, names no runs, or none of these.
    """
    settings: dict[Label, dict[str, object]] = {trial: {} for trial in trials}
    if wanted.params is None:
        return settings, []
    table, key = params_table(wanted, trials)
    marked = {c: c[len(p) :] for c in table.columns for p in _PREFIXES if c.startswith(p)}
    free = [c for c in table.columns if c.lower() not in _OTHER and c not in (*metrics, *_RUN)]
    free = [c for c in free if not c.startswith(("metrics.", "tags.", "_"))]
    columns = marked or {name: name for name in free}
    texts = {str(trial): trial for trial in settings}
    for row in table.select(key, *columns).to_dicts():
        trial = texts.get(str(row[key]))
        if trial is not None:
            settings[trial] = {name: row[c] for c, name in columns.items() if row[c] is not None}
    lacking = sum(not values for values in settings.values())
    return settings, [f"{wanted.params} lacks {counted(lacking, 'trial')}"] if lacking else []


def params_table(wanted: Wanted, trials: Sequence[Label]) -> tuple[pl.DataFrame, str]:
    """Return the second file and its column that names the runs.

    Raises
    ------
    ParameterError, SurrogateError
        As `join_params`.
    """
    if wanted.params is None or not os.path.isfile(wanted.params):
        raise ParameterError("params", str(wanted.params), "no such file")
    source = str(wanted.params)
    table = read_csv(read_text(wanted.params, source), source)
    here = set(map(str, trials))
    for key in (name for name in _RUN if name in table.columns):
        if here & set(table[key].to_list()):
            if table[key].drop_nulls().is_duplicated().any():
                raise SurrogateError(source, f"names a run twice in column {key!r}")
            return pl.DataFrame([c if c.name == key else typed(c) for c in table]), key
    if not set(_RUN) & set(table.columns):
        problem = (
            f"has no column that names runs: one of {', '.join(_RUN)}; columns: {', '.join(table.columns)}"
        )
        raise SurrogateError(source, problem)
    such_as = f", such as {min(here)}" if here else ""
    raise SurrogateError(source, f"names none of the {len(here)} runs{such_as}")
