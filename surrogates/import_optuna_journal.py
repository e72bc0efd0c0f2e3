"""Optuna's studies in a journal: a file of JSON lines, an operation each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from hbsim.errors import SurrogateError
from hbsim.surrogates.import_log import read_text
from hbsim.surrogates.import_optuna import Storage, Study, Trial

__all__ = ["read_journal"]

# Optuna's own numbers of operations and states.
_NEW_STUDY, _NO_STUDY, _STUDY_ATTRIBUTE, _NEW_TRIAL, _PARAM, _STATE, _VALUE = 0, 1, 3, 4, 5, 6, 7
_STATES: Final = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
_ERRORS: Final = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError),
)
_DIRECTIONS: Final = ("NOT_SET", "MINIMIZE", "MAXIMIZE")


def read_journal(path: Path, source: str) -> Storage:
    """Read all studies.

    Raises
    ------
    SurrogateError
        A line is no operation of Optuna's journal.
    """
    studies: list[Study | None] = []
    trials: list[tuple[Study, Trial]] = []
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
    return Storage([study for study in studies if study is not None], notes)


def _apply(entry: dict[str, Any], studies: list[Study | None], trials: list[tuple[Study, Trial]]) -> None:
    """Do what an operation says; studies and trials are numbered in order, over the whole file."""
    kind = entry["op_code"]
    if kind == _NEW_STUDY:
        if all(study is None or study.name != entry["study_name"] for study in studies):
            studies.append(Study(str(entry["study_name"]), [_DIRECTIONS[d] for d in entry["directions"]]))
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
            trial = _trial(entry, len(study.trials))
            study.trials.append(trial)
            trials.append((study, trial))
    elif kind in (_PARAM, _STATE, _VALUE):
        _change(trials[entry["trial_id"]][1], kind, entry)
    elif not isinstance(kind, int):
        raise ValueError(kind)


def _trial(entry: dict[str, Any], number: int) -> Trial:
    """Make a trial; one that comes with a state was copied from elsewhere, whole."""
    trial = Trial(
        number, _STATES[entry.get("state", 0)], entry.get("datetime_start"), entry.get("datetime_complete")
    )
    distributions = entry.get("distributions") or {}
    for name, value in (entry.get("params") or {}).items():
        trial.params[name] = (value, json.loads(distributions[name]))
    for step, value in (entry.get("intermediate_values") or {}).items():
        trial.values[int(step)] = float(value)
    return trial


def _change(trial: Trial, kind: int, entry: dict[str, Any]) -> None:
    if kind == _PARAM:
        trial.params[str(entry["param_name"])] = (
            entry["param_value_internal"],
            json.loads(entry["distribution"]),
        )
    elif kind == _VALUE:
        trial.values[int(entry["step"])] = float(entry["intermediate_value"])
    else:
        trial.state = _STATES[entry["state"]]
        trial.start = entry.get("datetime_start") or trial.start
        trial.complete = entry.get("datetime_complete") or trial.complete
