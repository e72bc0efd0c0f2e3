"""The reader of Ray Tune experiments: a folder for each trial, with ``result.json`` or ``progress.csv``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from hbsim.errors import SurrogateError, counted
from hbsim.surrogates.import_log import (
    ImportOptions,
    Label,
    RunLog,
    as_float,
    begins_again,
    read_csv,
    read_json,
    read_text,
    typed,
)

_HIDDEN: Final = frozenset(
    {
        "timestamp",
        "checkpoint_dir_name",
        "should_checkpoint",
        "done",
        "training_iteration",
        "trial_id",
        "date",
        "time_this_iter_s",
        "time_total_s",
        "pid",
        "hostname",
        "node_ip",
        "time_since_restore",
        "iterations_since_restore",
        "timesteps_total",
        "timesteps_since_restore",
        "episodes_total",
        "experiment_id",
        "experiment_tag",
        "trial_name",
        "warmup_time",
        "config",
        "trial_index",
    }
)
_RESTARTS: Final = "iterations_since_restore"  # a counter that begins again when a trial is resumed
_REFUSED: Final = {
    "timestamp": "is a date, not a duration",
    "time_this_iter_s": "is the time of one iteration; time_total_s is its sum",
    "time_since_restore": "begins again when a trial is resumed; time_total_s goes on",
}


def read_ray(path: Path, options: ImportOptions) -> RunLog:
    """Read an experiment's folder.

    Raises
    ------
    SurrogateError
        The folder holds no trials, or a file in it cannot be read.
    """
    if not path.is_dir():
        problem = "is one trial's file; give the experiment's folder, which has a folder a trial"
        raise SurrogateError(str(path), problem)
    folders = trial_folders(path)
    if not folders:
        problem = "holds no folders with result.json or progress.csv, as an experiment of Ray Tune does"
        raise SurrogateError(str(path), problem)
    reports: list[dict[str, object]] = []
    trials: list[Label] = []
    settings: dict[Label, Mapping[str, object]] = {}
    silent, torn = 0, 0
    for folder in folders:
        found, config, lost = _trial(folder)
        label = str(found[0].get("trial_id") or folder.name) if found else folder.name
        if label in settings:
            label = folder.name
        settings[label] = config
        torn += lost
        silent += not found
        reports += found
        trials += [label] * len(found)
    if not reports:
        raise SurrogateError(str(path), f"none of its {len(folders)} trials reported anything")
    rows = pl.DataFrame([_column(reports, name) for name in dict.fromkeys(n for r in reports for n in r)])
    notes = [f"left out {counted(silent, 'trial')} that reported nothing"] * bool(silent)
    notes += [f"left out {counted(torn, 'line')} not written to the end"] * bool(torn)
    return RunLog(
        source=str(path),
        kind="Ray Tune",
        trials=trials,
        rows=rows,
        settings=settings,
        resources=("training_iteration",),
        times=("time_total_s",) if "time_total_s" in rows.columns else (),
        refused=_REFUSED,
        hidden=_HIDDEN,
        fresh=begins_again(trials, rows[_RESTARTS]) if _RESTARTS in rows.columns else None,
        ordered=True,
        metric=_metric(path),
        notes=tuple(notes),
    )


def trial_folders(path: Path) -> list[Path]:
    """Return the folders below an experiment's that hold a trial's reports, in order."""
    try:
        return sorted(
            folder
            for folder in path.iterdir()
            if folder.is_dir() and any((folder / name).is_file() for name in ("result.json", "progress.csv"))
        )
    except OSError as error:
        raise SurrogateError(str(path), f"cannot be read: {error.strerror}") from error


def _trial(folder: Path) -> tuple[list[dict[str, object]], dict[str, object], int]:
    """Return a trial's reports and settings, and how many lines are torn."""
    lines = folder / "result.json"
    if lines.is_file() and lines.stat().st_size:
        found, torn = _json_lines(lines)
        config = found[-1].get("config") if found else None
        flat = [_flat({k: v for k, v in report.items() if k != "config"}) for report in found]
    else:
        flat, torn, config = _csv_lines(folder / "progress.csv"), 0, None
    if not isinstance(config, dict):
        config = _params(folder / "params.json")
    return flat, _flat(config), torn


def _json_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    lines = read_text(path, str(path)).splitlines()
    for number, line in enumerate(lines, 1):
        try:
            report = read_json(line, f"{path}, line {number}") if line.strip() else {}
        except SurrogateError:
            if number == len(lines):  # the trial was killed while it wrote
                return found, 1
            raise
        if not isinstance(report, dict):
            raise SurrogateError(f"{path}, line {number}", "must be a JSON object")
        found += [report] * bool(report)
    return found, 0


def _csv_lines(path: Path) -> list[dict[str, object]]:
    if not path.is_file() or not path.stat().st_size:
        return []
    frame = read_csv(read_text(path, str(path)), str(path))
    frame = frame.select(pl.exclude("^config/.*$"))
    return pl.DataFrame([typed(column) for column in frame]).to_dicts()


def _params(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = read_json(read_text(path, str(path)), str(path))
    return found if isinstance(found, dict) else {}


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Flatten nested names, joined by a slash as Ray does."""
    flat: dict[str, object] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


def _column(reports: list[dict[str, object]], name: str) -> pl.Series:
    values = [report.get(name) for report in reports]
    if all(value is None or isinstance(value, int | float) for value in values):
        return pl.Series(name, [None if v is None else as_float(v) for v in values], dtype=pl.Float64)  # type: ignore[arg-type]
    return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)


def _metric(path: Path) -> str | None:
    """Return the metric in the experiment's state; its mode is only in a pickle."""
    for state in sorted(path.glob("experiment_state-*.json"))[-1:]:
        try:
            metric = json.loads(read_text(state, str(state)))["runner_data"]["_metric"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return metric if isinstance(metric, str) else None
    return None
