"""Optuna's studies in a SQLite file, read without Optuna."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from hbsim.errors import SurrogateError
from hbsim.surrogates.import_optuna import Storage, Study, Trial

__all__ = ["read_sqlite"]

_TABLES: Final = ("studies", "study_directions", "trials", "trial_params", "trial_intermediate_values")
_SCHEMA: Final = 12  # of Optuna 1.5 to 5.0
_SPECIAL: Final = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}


def read_sqlite(path: Path, source: str) -> Storage:
    """Read all studies; the file is opened for reading only.

    Raises
    ------
    SurrogateError
        It is no SQLite file, or none that Optuna wrote.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as file:
            tables = {
                str(name) for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            _check(source, tables)
            studies = _studies(file, tables)
            _add_trials(file, studies)
            notes = _version(file, tables)
    except SurrogateError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise SurrogateError(source, f"cannot be read as a SQLite file: {error}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        problem = f"holds what Optuna does not write: {type(error).__name__}: {error}"
        raise SurrogateError(source, problem) from error
    return Storage(list(studies.values()), notes)


def _check(source: str, tables: set[str]) -> None:
    if {"experiments", "runs", "metrics"} <= tables:
        raise SurrogateError(
            source, "is MLflow's database; export its metrics as CSV, as docs/how-to/import.md says"
        )
    missing = [name for name in _TABLES if name not in tables]
    if missing:
        raise SurrogateError(source, f"is no storage of Optuna: it has no table {missing[0]}")


def _version(file: sqlite3.Connection, tables: set[str]) -> tuple[str, ...]:
    rows = (
        file.execute("SELECT schema_version FROM version_info").fetchall() if "version_info" in tables else []
    )
    if not rows or rows[0][0] == _SCHEMA:
        return ()
    return (f"the storage has schema {rows[0][0]}; hbsim knows {_SCHEMA}: look at the result twice",)


def _studies(file: sqlite3.Connection, tables: set[str]) -> dict[int, Study]:
    found = {
        key: Study(str(name), []) for key, name in file.execute("SELECT study_id, study_name FROM studies")
    }
    order = "objective" if "objective" in _columns(file, "study_directions") else "study_direction_id"
    for key, direction in file.execute(f"SELECT study_id, direction FROM study_directions ORDER BY {order}"):
        found[key].directions.append(direction)
    if "study_system_attributes" in tables:
        named = "SELECT study_id, value_json FROM study_system_attributes WHERE key = 'study:metric_names'"
        for key, value in file.execute(named):
            found[key].metrics = [str(name) for name in json.loads(value)]
    return found


def _add_trials(file: sqlite3.Connection, studies: dict[int, Study]) -> None:
    trials: dict[int, Trial] = {}
    columns = "trial_id, study_id, number, state, datetime_start, datetime_complete"
    query = f"SELECT {columns} FROM trials ORDER BY trial_id"
    for key, study, number, state, start, complete in file.execute(query):
        trials[key] = Trial(int(number), str(state), start, complete)
        studies[study].trials.append(trials[key])
    query = "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params ORDER BY param_id"
    for key, name, value, distribution in file.execute(query):
        trials[key].params[str(name)] = (value, json.loads(distribution))
    for key, step, value in _values(file):
        trials[key].values[step] = value


def _values(file: sqlite3.Connection) -> Iterator[tuple[int, int, float]]:
    """Give trial, step and value; before Optuna 3 there was no column for values that are no numbers."""
    kind = "intermediate_value_type"
    kind = kind if kind in _columns(file, "trial_intermediate_values") else "'FINITE'"
    for key, step, value, special in file.execute(
        f"SELECT trial_id, step, intermediate_value, {kind} FROM trial_intermediate_values"
    ):
        number = math.nan if value is None else float(value)
        yield key, int(step), _SPECIAL.get(special, number)


def _columns(file: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in file.execute(f"PRAGMA table_info({table})")}
