"""The import of runs that other tools logged, as a table of curves that `load` and `fit` read.

The reader of each tool returns a `RunLog`; all later steps are the same for all tools.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from hbsim.core.types import Mode
from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates.import_curves import curves_of
from hbsim.surrogates.import_log import ImportOptions, RunLog, read_text
from hbsim.surrogates.import_mlflow import columns_of, read_mlflow
from hbsim.surrogates.import_optuna import read_journal, read_optuna, read_sqlite, sqlite_path
from hbsim.surrogates.import_ray import read_ray, trial_folders
from hbsim.surrogates.import_syne_tune import read_syne_tune
from hbsim.surrogates.import_table import Imported, choose, imported_table
from hbsim.surrogates.import_wandb import read_wandb
from hbsim.surrogates.options import MODES, check_choice, check_texts

KINDS: Final = ("syne-tune", "ray", "optuna", "wandb", "mlflow")
_SQLITE: Final = b"SQLite format 3\x00"
_FILES: Final = "a folder of Syne Tune or Ray Tune, a storage of Optuna, or a CSV of W&B or MLflow"
_ONLY: Final = {"study": ("optuna",), "params": ("wandb", "mlflow")}
_READERS: Final[Mapping[str, Callable[[Path, ImportOptions], RunLog]]] = {
    "syne-tune": read_syne_tune,
    "ray": read_ray,
    "wandb": read_wandb,
    "mlflow": read_mlflow,
}


def import_runs(
    source: str | os.PathLike[str],
    kind: str | None = None,
    *,
    metric: str | None = None,
    mode: Mode | None = None,
    resource: str | None = None,
    time: str | None = None,
    study: str | None = None,
    params: str | os.PathLike[str] | None = None,
    first_level: int | None = None,
) -> Imported:
    """Read runs that Syne Tune, Ray Tune, Optuna, W&B or MLflow logged.

    Parameters
    ----------
    source : str or path
        A folder of Syne Tune or Ray Tune; a SQLite file (also as ``sqlite:///FILE``) or a journal of Optuna;
        a CSV of histories of W&B or MLflow.
    kind : "syne-tune", "ray", "optuna", "wandb" or "mlflow", optional
        The tool; guessed unless given.
    metric : str, optional
        The metric that decides. Needed unless the source says it, or has only one. For Optuna, whose
        only metric has no name: its name.
    mode : "max" or "min", optional
        Whether it is maximised. Unless given, as the source says, if it does.
    resource, time : str, optional
        The column of the resource, and that of cumulative seconds of training.
    study : str, optional
        For Optuna: which study, where there are several.
    params : path, optional
        For W&B and MLflow: a CSV with a row a run, with its hyperparameters.
    first_level : 0 or 1, optional
        Where steps are counted from 0: whether step 0 is the untrained state, 0, or comes after the first
        unit, 1. Unless given, 1 if all of 0, 1, 2, ... are there.

    Returns
    -------
    imported : Imported
        The table, with remarks on it.

    Raises
    ------
    ParameterError
        An option is needed, or breaks its rule.
    SurrogateError
        The source cannot be read, or has no curves; the error says why.
    """
    if mode is not None:
        check_choice("mode", mode, MODES)
    check_texts({"metric": metric, "resource": resource, "time": time, "study": study})
    for field, path in (("source", source), ("params", params)):
        if path is not None and not isinstance(path, str | os.PathLike):
            raise ParameterError(field, path, "must be a path")
    options = ImportOptions(metric, mode, resource, time, study, None if params is None else Path(params))
    log = _read(source, kind, options)
    chosen = choose(log, options)
    return imported_table(log, chosen, curves_of(log, chosen, first_level), mode)


def _read(source: str | os.PathLike[str], kind: str | None, options: ImportOptions) -> RunLog:
    """Read a log; the tool is guessed unless it is named.

    Raises
    ------
    ParameterError, SurrogateError
        The file does not exist, is from no known tool, or cannot be read.
    """
    text = os.fspath(source)
    if kind is not None:
        check_choice("kind", kind, KINDS)
    if not text.strip():
        raise ParameterError("source", text, "must name a file or folder")
    path = sqlite_path(text)
    if not os.path.exists(path):  # False also for an invalid name
        raise SurrogateError(text, "no such file or folder")
    kind = kind or _guess(path)
    for field, kinds in _ONLY.items():
        value = getattr(options, field)
        if value is not None and kind not in kinds:
            raise ParameterError(field, str(value), f"is for {' and '.join(kinds)}; {text} is of {kind}")
    if path.is_dir() and kind not in ("syne-tune", "ray"):
        raise SurrogateError(text, f"is a folder; what {kind} leaves is a file")
    if kind == "optuna":
        storage = read_sqlite(path, text) if _begins(path, _SQLITE) else read_journal(path, text)
        return read_optuna(storage, text, options)
    return _READERS[kind](path, options)


def _guess(path: Path) -> str:
    if path.is_dir():
        return _guess_folder(path)
    if path.name.endswith(".csv.zip"):
        return "syne-tune"
    if path.name in ("result.json", "progress.csv"):
        return "ray"
    if _begins(path, _SQLITE):
        return "optuna"
    lines = read_text(path, str(path)).splitlines()
    first = lines[0] if lines else ""
    if first.startswith("{"):
        return _guess_json(path, first)
    kind = _guess_csv(next(csv.reader([first]), []))
    if kind is None:
        raise _unknown(path, f"its first line is {first[:60]!r}" if first else "it is empty")
    return kind


def _guess_folder(path: Path) -> str:
    if any((path / name).is_file() for name in ("results.csv.zip", "results.csv")):
        return "syne-tune"
    if trial_folders(path) or any(path.glob("experiment_state-*.json")):
        return "ray"
    if any((path / name).is_file() for name in ("result.json", "progress.csv")):
        raise SurrogateError(
            str(path), "is the folder of one trial; give the experiment's, which is above it"
        )
    if (path / "meta.yaml").is_file() or any(path.glob("*/meta.yaml")):
        problem = "is MLflow's own folder; export the metrics as CSV, as docs/how-to/import.md says"
        raise SurrogateError(str(path), problem)
    raise _unknown(path, "a folder with neither results.csv.zip nor folders with result.json")


def _guess_json(path: Path, first: str) -> str:
    try:
        entry = json.loads(first)
    except (ValueError, RecursionError):
        entry = {}
    if "op_code" in entry:
        return "optuna"
    if "training_iteration" in entry:
        raise SurrogateError(str(path), "is one trial's file of Ray Tune; give the experiment's folder")
    raise _unknown(path, "JSON, but no journal of Optuna")


def _guess_csv(columns: list[str]) -> str | None:
    names = {name.strip("\ufeff") for name in columns}
    if "trial_id" in names and any(name.startswith("st_") for name in names):
        return "syne-tune"
    if {"run", "key", "value", "step"} <= set(columns_of(sorted(names))):
        return "mlflow"
    panel = any(" - " in name for name in columns[1:])
    return "wandb" if panel or names & {"_step", "_runtime"} or {"Name", "State"} <= names else None


def _begins(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError as error:
        raise SurrogateError(str(path), f"cannot be read: {error.strerror}") from error


def _unknown(path: Path, what: str) -> SurrogateError:
    return SurrogateError(str(path), f"is from no tool that hbsim knows ({what}): it must be {_FILES}")
