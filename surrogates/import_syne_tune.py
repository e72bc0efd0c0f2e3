"""The reader of Syne Tune experiments: ``results.csv.zip`` and ``metadata.json``."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from hbsim.core.space import Int, Real, Space
from hbsim.core.space.parameters import Parameter
from hbsim.errors import SurrogateError
from hbsim.surrogates.import_log import (
    ImportOptions,
    Label,
    RunLog,
    begins_again,
    choice_of,
    labels_of,
    read_csv,
    read_json,
    read_text,
    space_of_parts,
    typed,
)

_RESULTS: Final = ("results.csv.zip", "results.csv")
_EXPERIMENT: Final = "counts from the start of the experiment, waiting and other trials included"
_TIMES: Final = ("st_worker_time", "elapsed_time")  # the simulator writes only the second one


def read_syne_tune(path: Path, options: ImportOptions) -> RunLog:
    """Read an experiment's folder, or its results file.

    Raises
    ------
    SurrogateError
        There are no results, or they are not Syne Tune's.
    """
    results = _results(path)
    frame = read_csv(_unzipped(results), str(results))
    if "trial_id" not in frame.columns:
        there = ", ".join(frame.columns)
        raise SurrogateError(str(results), f"has no column trial_id, as Syne Tune's have; columns: {there}")
    metadata = _metadata(results.with_name("metadata.json"))
    frame = frame.filter(pl.col("trial_id").is_not_null())
    trials = labels_of(frame["trial_id"])
    settings, changing = _settings(frame, trials)
    rows = pl.DataFrame([typed(c) for c in frame if not c.name.startswith("config_")])
    metric, mode = _objective(metadata, options.metric)
    scheduler = metadata.get("scheduler_kwargs")
    attribute = scheduler.get("time_attr") if isinstance(scheduler, dict) else None
    first = (attribute,) if isinstance(attribute, str) else ()
    return RunLog(
        source=str(path),
        kind="Syne Tune",
        trials=trials,
        rows=_nan_for_empty(rows, options.metric or metric),
        settings=settings,
        resources=(*first, "epoch", "training_iteration", "resource", "step", "hp_epoch"),
        times=tuple(name for name in _TIMES if name in rows.columns),
        refused={"st_tuner_time": _EXPERIMENT, "st_worker_timestamp": "is a date, not a duration"},
        hidden=frozenset({"trial_id", *_TIMES, *(c for c in rows.columns if c.startswith("st_"))}),
        fresh=_fresh(rows, trials),
        restarts=True,
        ordered=True,
        metric=metric,
        mode=mode,
        space=_space_of(metadata.get("config_space")),
        notes=tuple(_notes(metadata, changing)),
    )


def _notes(metadata: Mapping[str, Any], changing: list[str]) -> list[str]:
    notes = (
        [] if metadata else ["there is no metadata.json beside the results: metric and mode are not known"]
    )
    return notes + [f"{name} is no hyperparameter: it changes within a trial" for name in changing]


def _results(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in _RESULTS:
        if (path / name).is_file():
            return path / name
    raise SurrogateError(str(path), f"holds no {' or '.join(_RESULTS)}, in which Syne Tune keeps reports")


def _unzipped(path: Path) -> str:
    if path.suffix != ".zip":
        return read_text(path, str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".csv")]
            if len(names) != 1:
                raise SurrogateError(str(path), f"must hold one .csv file; it holds {len(names)}")
            return archive.read(names[0]).decode("utf-8-sig")
    except SurrogateError:
        raise
    except Exception as error:  # zipfile raises many kinds of errors for a damaged file
        raise SurrogateError(str(path), f"cannot be read as a zip file with a CSV: {error}") from error


def _metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    metadata = read_json(read_text(path, str(path)), str(path))
    return metadata if isinstance(metadata, dict) else {}


def _objective(metadata: Mapping[str, Any], named: str | None) -> tuple[str | None, str | None]:
    """Return the metric, if there is only one or it was named, and its mode."""
    names, modes = metadata.get("metric_names"), metadata.get("metric_mode") or metadata.get("metric_modes")
    names = [str(name) for name in names] if isinstance(names, list) else []
    modes = [modes] * len(names) if isinstance(modes, str) else modes if isinstance(modes, list) else []
    metric = named if named in names else names[0] if len(names) == 1 else None
    if metric is None or len(modes) != len(names):
        return metric, None
    mode = modes[names.index(metric)]
    return metric, mode if mode in ("min", "max") else None


def _nan_for_empty(rows: pl.DataFrame, metric: str | None) -> pl.DataFrame:
    """Replace an empty metric by NaN: every report has the metric, and pandas writes NaN as empty."""
    if metric not in rows.columns or not rows[metric].dtype.is_numeric():
        return rows
    return rows.with_columns(pl.col(str(metric)).cast(pl.Float64).fill_null(float("nan")))


def _settings(frame: pl.DataFrame, trials: list[Label]) -> tuple[dict[Label, dict[str, object]], list[str]]:
    """Return each trial's hyperparameters, and the names of those that change during training.

    With ``max_resource_attr`` a promotion writes the next milestone into the configuration.
    """
    names = [name for name in frame.columns if name.startswith("config_")]
    names = [name for name in names if not name.startswith("config_st_")]
    columns = {name.removeprefix("config_"): typed(frame[name]).to_list() for name in names}
    settings: dict[Label, dict[str, object]] = {}
    changing: dict[str, None] = {}
    for row, trial in enumerate(trials):
        values = {name: column[row] for name, column in columns.items()}
        known = settings.setdefault(trial, values)
        changing |= dict.fromkeys(name for name, value in values.items() if value != known[name])
    kept = {t: {n: v for n, v in values.items() if n not in changing} for t, values in settings.items()}
    return kept, list(changing)


def _fresh(rows: pl.DataFrame, trials: list[Label]) -> pl.Series | None:
    """Return where a paused trial continues, by the count of reports or the decision before."""
    if "st_worker_iter" in rows.columns and rows["st_worker_iter"].dtype.is_numeric():
        return begins_again(trials, rows["st_worker_iter"])
    if "st_decision" not in rows.columns:
        return None
    frame = rows.select((pl.col("st_decision").cast(pl.String) == "PAUSE").alias("pause"))
    frame = frame.with_columns(pl.Series("trial", list(map(str, trials))))
    return frame.select(pl.col("pause").shift(1).over("trial").fill_null(False))["pause"]


def _space_of(text: object) -> Space | None:
    """Return the space of the ``config_space`` in Syne Tune's metadata, a JSON text.

    Constants of the space are not parameters.
    """
    try:
        domains = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(domains, dict):
        return None
    varied = {name: domain for name, domain in domains.items() if isinstance(domain, dict)}
    return space_of_parts(varied, _parameter)


def _parameter(domain: Mapping[str, Any]) -> Parameter:
    kind, options = domain["domain_cls"], domain["domain_kwargs"]
    sampler = domain.get("sampler_cls", "Uniform")
    if kind == "Categorical":
        return choice_of(options["categories"])
    if kind not in ("Float", "Integer") or sampler not in ("Uniform", "LogUniform"):
        raise ValueError(kind)
    made: Callable[..., Parameter] = Real if kind == "Float" else Int
    return made(options["lower"], options["upper"], log=sampler == "LogUniform")
