"""The reader of Optuna's studies, from a SQLite file or a journal, without Optuna."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import polars as pl

from hbsim.core.space import Int, Real
from hbsim.core.space.parameters import Parameter
from hbsim.errors import ParameterError, SurrogateError, counted, nearest
from hbsim.surrogates.import_log import ImportOptions, RunLog, choice_of, read_text, space_of_parts

_UNFINISHED: Final = ("RUNNING", "WAITING", "FAIL")
T = TypeVar("T")


@dataclass
class StoredTrial:
    """A trial as it is stored.

    `params` has, by name, the stored number and the distribution's JSON; `values` the reported ones by step.
    """

    number: int
    state: str
    start: str | None = None
    complete: str | None = None
    params: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)


@dataclass
class StoredStudy:
    """A study: the directions and the names of its objectives, and its trials."""

    name: str
    directions: list[str]
    metrics: list[str] = field(default_factory=list)
    trials: list[StoredTrial] = field(default_factory=list)


@dataclass(frozen=True)
class OptunaStorage:
    """All studies of a file."""

    studies: list[StoredStudy]
    notes: tuple[str, ...] = ()


def sqlite_path(source: str) -> Path:
    """Return the path of ``sqlite:///FILE``, or of a plain path.

    Raises
    ------
    ParameterError
        The source is the address of another database.
    """
    scheme, separator, rest = source.partition("://")
    if not separator:
        return Path(source)
    if scheme.partition("+")[0] != "sqlite":
        rule = (
            "is a server's; copy the study into a file first: optuna.copy_study(to_storage='sqlite:///x.db')"
        )
        raise ParameterError("source", source.rpartition("@")[2], rule)
    return Path(rest.removeprefix("/").partition("?")[0])


def read_optuna(storage: OptunaStorage, source: str, options: ImportOptions) -> RunLog:
    """Convert a study of a storage to reports.

    Raises
    ------
    ParameterError
        There are several studies and none was named, or the named study does not exist.
    SurrogateError
        The study has several objectives, or no intermediate values.
    """
    study = _study(storage.studies, source, options.study)
    if len(study.directions) != 1:
        problem = (
            f"study {study.name!r} has {len(study.directions)} objectives; Optuna keeps no curves for those"
        )
        raise SurrogateError(source, problem)
    reported = sorted((t for t in study.trials if t.values), key=lambda trial: trial.number)
    if not reported:
        problem = f"none of the {len(study.trials)} trials of study {study.name!r} has intermediate values"
        raise SurrogateError(source, f"{problem}: the objective must call trial.report(value, step)")
    name = options.metric or (study.metrics[0] if len(study.metrics) == 1 else "value")
    pairs = [(number, *pair) for number, of in _of_each(source, reported, _reports).items() for pair in of]
    silent = len(study.trials) - len(reported)
    return RunLog(
        source=source,
        kind="Optuna",
        trials=[number for number, *_ in pairs],
        rows=pl.DataFrame(
            {"step": [step for _, step, _ in pairs], name: [value for *_, value in pairs]},
            schema={"step": pl.Float64, name: pl.Float64},
        ),
        settings=_of_each(source, reported, _settings),
        resources=("step",),
        durations=_of_each(source, reported, _duration),
        metric=name,
        mode={"MINIMIZE": "min", "MAXIMIZE": "max"}.get(study.directions[0]),
        space=_space(reported),
        notes=(*storage.notes, *_said(reported, silent)),
    )


def _study(studies: Sequence[StoredStudy], source: str, named: str | None) -> StoredStudy:
    names = [study.name for study in studies]
    if not studies:
        raise SurrogateError(source, "holds no study")
    if named is not None:
        if named not in names:
            near = nearest(named, names)
            raise ParameterError("study", named, f"is not in {source}; it has: {', '.join(names)}.{near}")
        return studies[names.index(named)]
    if len(studies) > 1:
        rule = f"is needed: {source} has {len(names)}: {', '.join(names)}"
        raise ParameterError("study", None, rule)
    return studies[0]


def _of_each(
    source: str, trials: Sequence[StoredTrial], what: Callable[[StoredTrial], T]
) -> dict[int | str, T]:
    """Collect a value of each trial by its number; raise a SurrogateError for data not written by Optuna."""
    found: dict[int | str, T] = {}
    for trial in trials:
        try:
            found[trial.number] = what(trial)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            problem = (
                f"trial {trial.number} holds what Optuna does not write: {type(error).__name__}: {error}"
            )
            raise SurrogateError(source, problem) from error
    return found


def _reports(trial: StoredTrial) -> list[tuple[float, float]]:
    if not -(2**63) <= trial.number < 2**63:
        raise ValueError("its number has more than 64 bits")
    return [(float(step), float(value)) for step, value in sorted(trial.values.items())]


def _settings(trial: StoredTrial) -> dict[str, object]:
    return {name: value_of(*stored) for name, stored in trial.params.items()}


def value_of(stored: float, distribution: dict[str, Any]) -> object:
    """Convert the number that Optuna stores to a hyperparameter."""
    kind, options = str(distribution.get("name")), distribution.get("attributes", {})
    if kind == "CategoricalDistribution":
        choice = options["choices"][int(stored)]
        return choice if choice is None or isinstance(choice, bool | int | float | str) else str(choice)
    return int(stored) if kind.startswith("Int") else float(stored)


def _duration(trial: StoredTrial) -> float:
    if trial.start is None or trial.complete is None:
        return math.nan
    start, end = map(datetime.fromisoformat, (trial.start, trial.complete))
    return (end - start).total_seconds()


def _space(trials: list[StoredTrial]) -> Any:
    """Return the space if all trials have the same one, since a distribution may depend on the trial."""
    first = {name: distribution for name, (_, distribution) in trials[0].params.items()}
    same = all({n: d for n, (_, d) in t.params.items()} == first for t in trials)
    return space_of_parts(first, _parameter) if same else None


def _said(reported: list[StoredTrial], silent: int) -> list[str]:
    notes = [f"left out {counted(silent, 'trial')} without intermediate values"] if silent else []
    for state in _UNFINISHED:
        count = sum(trial.state == state for trial in reported)
        if count:
            notes.append(f"{counted(count, 'trial')} in state {state}: the curve is kept as far as it goes")
    return notes


def _parameter(distribution: Mapping[str, Any]) -> Parameter:
    kind, options = distribution["name"], distribution["attributes"]
    if kind == "CategoricalDistribution":
        return choice_of(options["choices"])
    step, log = options.get("step"), options.get("log", "Log" in kind)
    if kind in ("FloatDistribution", "UniformDistribution", "LogUniformDistribution") and step is None:
        return Real(options["low"], options["high"], log=log)
    if kind in ("IntDistribution", "IntUniformDistribution", "IntLogUniformDistribution") and step in (
        None,
        1,
    ):
        return Int(options["low"], options["high"], log=log)
    raise ValueError(kind)  # a grid


# Optuna's own numbers of operations and states.
_NEW_STUDY, _NO_STUDY, _STUDY_ATTRIBUTE, _NEW_TRIAL, _PARAM, _NEW_STATE, _VALUE = 0, 1, 3, 4, 5, 6, 7
_STATE_NAMES: Final = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
_ERRORS: Final = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError),
)
_DIRECTIONS: Final = ("NOT_SET", "MINIMIZE", "MAXIMIZE")


def read_journal(path: Path, source: str) -> OptunaStorage:
    """Read all studies.

    Raises
    ------
    SurrogateError
        A line is no operation of Optuna's journal.
    """
    studies: list[StoredStudy | None] = []
    trials: list[tuple[StoredStudy, StoredTrial]] = []
    lines = read_text(path, source).splitlines()
    notes: tuple[str, ...] = ()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            _apply(json.loads(line), studies, trials)
        except _ERRORS as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError):
                notes = ("left out the last line, which was not written to its end",)
                break
            problem = "is no operation of Optuna's journal"
            raise SurrogateError(f"{source}, line {number}", problem) from error
    return OptunaStorage([study for study in studies if study is not None], notes)


def _apply(
    entry: dict[str, Any], studies: list[StoredStudy | None], trials: list[tuple[StoredStudy, StoredTrial]]
) -> None:
    """Apply an operation; studies and trials are numbered in order, over the whole file."""
    kind = entry["op_code"]
    if kind == _NEW_STUDY:
        if all(study is None or study.name != entry["study_name"] for study in studies):
            studies.append(
                StoredStudy(str(entry["study_name"]), [_DIRECTIONS[d] for d in entry["directions"]])
            )
    elif kind == _NO_STUDY:
        studies[entry["study_id"]] = None
    elif kind == _STUDY_ATTRIBUTE:
        study = studies[entry["study_id"]]
        names = entry["system_attr"].get("study:metric_names")
        if study is not None and names:
            study.metrics = [str(name) for name in names]
    elif kind == _NEW_TRIAL:
        study = studies[entry["study_id"]]
        if study is not None:
            trial = _new_trial(entry, len(study.trials))
            study.trials.append(trial)
            trials.append((study, trial))
    elif kind in (_PARAM, _NEW_STATE, _VALUE):
        _change(trials[entry["trial_id"]][1], kind, entry)
    elif not isinstance(kind, int):
        raise ValueError(kind)


def _new_trial(entry: dict[str, Any], number: int) -> StoredTrial:
    """Make a trial; an entry with a state is a complete trial copied from elsewhere."""
    trial = StoredTrial(
        number,
        _STATE_NAMES[entry.get("state", 0)],
        entry.get("datetime_start"),
        entry.get("datetime_complete"),
    )
    distributions = entry.get("distributions") or {}
    for name, value in (entry.get("params") or {}).items():
        trial.params[name] = (value, json.loads(distributions[name]))
    for step, value in (entry.get("intermediate_values") or {}).items():
        trial.values[int(step)] = float(value)
    return trial


def _change(trial: StoredTrial, kind: int, entry: dict[str, Any]) -> None:
    if kind == _PARAM:
        trial.params[str(entry["param_name"])] = (
            entry["param_value_internal"],
            json.loads(entry["distribution"]),
        )
    elif kind == _VALUE:
        trial.values[int(entry["step"])] = float(entry["intermediate_value"])
    else:
        trial.state = _STATE_NAMES[entry["state"]]
        trial.start = entry.get("datetime_start") or trial.start
        trial.complete = entry.get("datetime_complete") or trial.complete


_TABLES: Final = ("studies", "study_directions", "trials", "trial_params", "trial_intermediate_values")
_SCHEMA: Final = 12  # the schema versions of Optuna 1.5 to 5.0
_SPECIAL: Final = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}


def read_sqlite(path: Path, source: str) -> OptunaStorage:
    """Read all studies; the file is opened for reading only.

    Raises
    ------
    SurrogateError
        The file is no SQLite file, or was not written by Optuna.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as file:
            tables = {
                str(name) for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            _check(source, tables)
            studies = _sql_studies(file, tables)
            _add_trials(file, studies)
            notes = _version(file, tables)
    except SurrogateError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise SurrogateError(source, f"cannot be read as a SQLite file: {error}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        problem = f"holds what Optuna does not write: {type(error).__name__}: {error}"
        raise SurrogateError(source, problem) from error
    return OptunaStorage(list(studies.values()), notes)


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


def _sql_studies(file: sqlite3.Connection, tables: set[str]) -> dict[int, StoredStudy]:
    found = {
        key: StoredStudy(str(name), [])
        for key, name in file.execute("SELECT study_id, study_name FROM studies")
    }
    order = "objective" if "objective" in _columns(file, "study_directions") else "study_direction_id"
    for key, direction in file.execute(f"SELECT study_id, direction FROM study_directions ORDER BY {order}"):
        found[key].directions.append(direction)
    if "study_system_attributes" in tables:
        named = "SELECT study_id, value_json FROM study_system_attributes WHERE key = 'study:metric_names'"
        for key, value in file.execute(named):
            found[key].metrics = [str(name) for name in json.loads(value)]
    return found


def _add_trials(file: sqlite3.Connection, studies: dict[int, StoredStudy]) -> None:
    trials: dict[int, StoredTrial] = {}
    columns = "trial_id, study_id, number, state, datetime_start, datetime_complete"
    query = f"SELECT {columns} FROM trials ORDER BY trial_id"
    for key, study, number, state, start, complete in file.execute(query):
        trials[key] = StoredTrial(int(number), str(state), start, complete)
        studies[study].trials.append(trials[key])
    query = "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params ORDER BY param_id"
    for key, name, value, distribution in file.execute(query):
        trials[key].params[str(name)] = (value, json.loads(distribution))
    for key, step, value in _values(file):
        trials[key].values[step] = value


def _values(file: sqlite3.Connection) -> Iterator[tuple[int, int, float]]:
    """Yield trial, step and value; before Optuna 3 there was no column for infinite values and NaN."""
    kind = "intermediate_value_type"
    kind = kind if kind in _columns(file, "trial_intermediate_values") else "'FINITE'"
    for key, step, value, special in file.execute(
        f"SELECT trial_id, step, intermediate_value, {kind} FROM trial_intermediate_values"
    ):
        number = math.nan if value is None else float(value)
        yield key, int(step), _SPECIAL.get(special, number)


def _columns(file: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in file.execute(f"PRAGMA table_info({table})")}
