"""The log of a tool's runs in one form, and functions that the readers of all tools share.

A reader returns a `RunLog`: all reports, and each trial's hyperparameters. Nothing is decided yet:
`import_table` chooses columns, and `import_curves` makes curves.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl

from hbsim.core.space import Bool, Choice, Space
from hbsim.core.space.parameters import Parameter
from hbsim.errors import ParameterError, SurrogateError, counted

Label: TypeAlias = int | str

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
_WORDS = {"nan": "NaN", "inf": "inf", "+inf": "inf", "-inf": "-inf"} | {
    "infinity": "inf",
    "+infinity": "inf",
    "-infinity": "-inf",
}


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import, None where not given: `import_runs` describes them."""

    metric: str | None = None
    mode: str | None = None
    resource: str | None = None
    time: str | None = None
    study: str | None = None
    params: Path | None = None


@dataclass(frozen=True)
class RunLog:
    """The reports of runs as they were logged.

    Attributes
    ----------
    source, kind : str
        The source of the log, and its tool.
    trials : sequence of int or str
        The trial of each row of `rows`.
    rows : polars.DataFrame
        A row for each report, a column for each reported name. Null: not reported. NaN: no number.
    settings : mapping
        By trial, its hyperparameters. A trial that reported nothing may be in it.
    resources, times : tuple of str
        Columns that may be the resource and the seconds of training, the likeliest first.
    refused : mapping of str to str
        Columns that are not training time, with the reason.
    hidden : frozenset of str
        Columns that the tool adds, which are never metrics.
    fresh : polars.Series or None
        Whether a row is the first of a new job that continues its trial.
    restarts : bool
        Whether `times` count from the start of a job, not of the trial.
    ordered : bool
        Whether rows are in the order of reports, so that a step back is a restart.
    starts : mapping of label to float, or None
        Given where times are dates, in seconds: when each trial began, as far as it is known.
    counts_from_first : bool
        Whether a time of 0 means that a run's clock began with its first report, not with its training.
    durations : mapping of label to float
        Seconds from begin to end, where only these are known.
    metric, mode : str or None
        The metric that decides and its mode, if the source gives them.
    space : Space or None
        The search space, if the source gives it.
    notes : tuple of str
        Remarks for the user.
    """

    source: str
    kind: str
    trials: Sequence[Label]
    rows: pl.DataFrame
    settings: Mapping[Label, Mapping[str, object]]
    resources: tuple[str, ...]
    times: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    fresh: pl.Series | None = None
    restarts: bool = False
    ordered: bool = False
    starts: Mapping[Label, float] | None = None
    counts_from_first: bool = False
    durations: Mapping[Label, float] = field(default_factory=dict)
    metric: str | None = None
    mode: str | None = None
    space: Space | None = None
    notes: tuple[str, ...] = ()


def read_text(path: Path, source: str) -> str:
    """Read a text file; raise a SurrogateError for any other content."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise SurrogateError(source, f"cannot be read: {reason}") from error


def read_json(text: str, source: str) -> object:
    """Parse a JSON text; raise a SurrogateError if it is invalid."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SurrogateError(source, f"is no JSON: {error}") from error
    return found


def read_csv(text: str, source: str) -> pl.DataFrame:
    """Parse CSV as a table whose columns are all text, with null for empty cells.

    Raises
    ------
    SurrogateError
        The text is no CSV, names a column twice, or has no rows.
    """
    if not text.strip():
        raise SurrogateError(source, "is empty")
    names = next(csv.reader(io.StringIO(text)), [])
    if twice := [name for name, count in Counter(names).items() if count > 1 and name.strip()]:
        raise SurrogateError(source, f"names a column twice: {twice[0]!r}; rename or remove one of them")
    try:
        frame = pl.read_csv(io.StringIO(text), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        problem = " ".join(str(error).split(".")[0].split())
        raise SurrogateError(source, f"cannot be read as CSV: {problem}") from error
    if frame.height == 0:
        raise SurrogateError(source, "has a header, but no rows")
    stripped = pl.all().str.strip_chars()
    return frame.with_columns(pl.when(stripped != "").then(stripped).name.keep())


def typed(column: pl.Series) -> pl.Series:
    """Convert a column of text to whole numbers, numbers or bools; leave other text unchanged."""
    if column.dtype != pl.String:
        return column
    lower = column.str.to_lowercase()
    numbers = lower.replace(_WORDS).cast(pl.Float64, strict=False)
    if numbers.null_count() == column.null_count():
        whole = column.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == column.null_count() else numbers
    if set(lower.unique().drop_nulls()) <= {"true", "false"}:
        return lower == "true"
    return column


def labels_of(column: pl.Series) -> list[Label]:
    """Return the labels of trials: whole numbers, where all are, else text."""
    whole = column.cast(pl.Int64, strict=False)
    plain = whole.null_count() == 0 and bool((whole.cast(pl.String) == column.cast(pl.String)).all())
    return list(whole if plain else column.cast(pl.String))


def as_float(value: float) -> float:
    """Convert a number to a float; a number too large for a float becomes infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def begins_again(trials: Sequence[Label], counter: pl.Series) -> pl.Series:
    """Return where a trial's counter of reports restarts, as a new job has begun; shape (rows,)."""
    frame = pl.DataFrame({"trial": list(map(str, trials)), "counter": counter})
    before = pl.col("counter").shift(1).over("trial")
    return frame.select((pl.col("counter") <= before).fill_null(False))["counter"]


def choice_of(choices: Iterable[Any]) -> Parameter:
    """Return the parameter with these choices: `Bool` for True and False."""
    choices = list(choices)
    if sorted(map(repr, choices)) == ["False", "True"]:
        return Bool()
    return Choice(choices)


def space_of_parts(parts: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Parameter]) -> Space | None:
    """Return the space of parameters that `make` makes; None where a part has no counterpart in hbsim."""
    try:
        return Space({name: make(part) for name, part in parts.items()}) if parts else None
    except (ParameterError, ValueError, KeyError, TypeError, AttributeError):
        return None


def join_params(
    options: ImportOptions, trials: Sequence[Label], metrics: Sequence[str]
) -> tuple[dict[Label, dict[str, object]], list[str]]:
    """Return each trial's hyperparameters from the second file, and notes.

    These are the columns ``params.NAME`` or ``config.NAME`` if there are any, else all columns that are
    neither metrics nor added by the tool.

    Raises
    ------
    SurrogateError
        The file cannot be read, or names no runs, or none of these runs.
    """
    settings: dict[Label, dict[str, object]] = {trial: {} for trial in trials}
    if options.params is None:
        return settings, []
    table, key = params_table(options, trials)
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
    return settings, [f"{options.params} lacks {counted(lacking, 'trial')}"] if lacking else []


def params_table(options: ImportOptions, trials: Sequence[Label]) -> tuple[pl.DataFrame, str]:
    """Read the second file; return its table, and the column that names the runs.

    Raises
    ------
    ParameterError, SurrogateError
        As `join_params`.
    """
    if options.params is None or not os.path.isfile(options.params):
        raise ParameterError("params", str(options.params), "no such file")
    source = str(options.params)
    table = read_csv(read_text(options.params, source), source)
    names = set(map(str, trials))
    for key in (name for name in _RUN if name in table.columns):
        if names & set(table[key].to_list()):
            if table[key].drop_nulls().is_duplicated().any():
                raise SurrogateError(source, f"names a run twice in column {key!r}")
            return pl.DataFrame([c if c.name == key else typed(c) for c in table]), key
    if not set(_RUN) & set(table.columns):
        problem = (
            f"has no column that names runs: one of {', '.join(_RUN)}; columns: {', '.join(table.columns)}"
        )
        raise SurrogateError(source, problem)
    such_as = f", such as {min(names)}" if names else ""
    raise SurrogateError(source, f"names none of the {len(names)} runs{such_as}")
