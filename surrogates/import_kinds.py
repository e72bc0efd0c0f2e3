"""Which tool a file or folder is from, and its reader."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates.import_log import Log, Wanted, read_text
from hbsim.surrogates.import_mlflow import columns_of, read_mlflow
from hbsim.surrogates.import_optuna import read_optuna, sqlite_path
from hbsim.surrogates.import_optuna_journal import read_journal
from hbsim.surrogates.import_optuna_sqlite import read_sqlite
from hbsim.surrogates.import_ray import read_ray, trial_folders
from hbsim.surrogates.import_syne_tune import read_syne_tune
from hbsim.surrogates.import_wandb import read_wandb
from hbsim.surrogates.options import check_choice

__all__ = ["KINDS", "read_log"]

KINDS: Final = ("syne-tune", "ray", "optuna", "wandb", "mlflow")
_SQLITE: Final = b"SQLite format 3\x00"
_FILES: Final = "a folder of Syne Tune or Ray Tune, a storage of Optuna, or a CSV of W&B or MLflow"
_ONLY: Final = {"study": ("optuna",), "params": ("wandb", "mlflow")}


def read_log(source: str | os.PathLike[str], kind: str | None, wanted: Wanted) -> Log:
    """Read reports; the tool is guessed unless it is named.

    Raises
    ------
    ParameterError, SurrogateError
        There is no such file, it is from no tool that is known, or cannot be read.
    """
    text = os.fspath(source)
    if kind is not None:
        check_choice("kind", kind, KINDS)
    if not text.strip():
        raise ParameterError("source", text, "must name a file or folder")
    path = sqlite_path(text)
    if not os.path.exists(path):  # also of a name that is none
        raise SurrogateError(text, "no such file or folder")
    kind = kind or _guess(path)
    for field, kinds in _ONLY.items():
        value = getattr(wanted, field)
        if value is not None and kind not in kinds:
            raise ParameterError(field, str(value), f"is for {' and '.join(kinds)}; {text} is of {kind}")
    readers: dict[str, Callable[[Wanted], Log]] = {
        "syne-tune": partial(read_syne_tune, path),
        "ray": partial(read_ray, path),
        "optuna": partial(_read_optuna, path, text),
        "wandb": partial(read_wandb, path),
        "mlflow": partial(read_mlflow, path),
    }
    if path.is_dir() and kind not in ("syne-tune", "ray"):
        raise SurrogateError(text, f"is a folder; what {kind} leaves is a file")
    return readers[kind](wanted)


def _read_optuna(path: Path, source: str, wanted: Wanted) -> Log:
    storage = read_sqlite(path, source) if _begins(path, _SQLITE) else read_journal(path, source)
    return read_optuna(storage, source, wanted)


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


def _begins(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(mark)) == mark
    except OSError as error:
        raise SurrogateError(str(path), f"cannot be read: {error.strerror}") from error


def _unknown(path: Path, what: str) -> SurrogateError:
    return SurrogateError(str(path), f"is from no tool that hbsim knows ({what}): it must be {_FILES}")
