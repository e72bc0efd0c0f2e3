"""Intermediate values of an Optuna study: which storage it is, and what is made of its trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl

from hbsim.errors import ParameterError, SurrogateError, nearest
from hbsim.surrogates.import_log import Log, Wanted, counted
from hbsim.surrogates.import_space import optuna_space

__all__ = ["Storage", "Study", "Trial", "read_optuna", "sqlite_path", "value_of"]

_STATES: Final = ("RUNNING", "WAITING", "FAIL")
T = TypeVar("T")


@dataclass
class Trial:
    """A trial as a storage has it.

    `params` has, by name, the stored number and the distribution's JSON; `values` the reported ones by step.
    """

    number: int
    state: str
    start: str | None = None
    complete: str | None = None
    params: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)


@dataclass
class Study:
    """A study: whether each objective is minimised or maximised, what objectives are called, its trials."""

    name: str
    directions: list[str]
    metrics: list[str] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)


@dataclass(frozen=True)
class Storage:
    """All studies of a file."""

    studies: list[Study]
    notes: tuple[str, ...] = ()


def sqlite_path(source: str) -> Path:
    """Return the file of ``sqlite:///FILE``, or of a plain path.

    Raises
    ------
    ParameterError
        It is the address of another database.
    """
    scheme, mark, rest = source.partition("://")
    if not mark:
        return Path(source)
    if scheme.partition("+")[0] != "sqlite":
        rule = (
            "is a server's; copy the study into a file first: optuna.copy_study(to_storage='sqlite:///x.db')"
        )
        raise ParameterError("source", source.rpartition("@")[2], rule)
    return Path(rest.removeprefix("/").partition("?")[0])


def read_optuna(storage: Storage, source: str, wanted: Wanted) -> Log:
    """Turn a study of a storage into reports.

    Raises
    ------
    ParameterError
        There are several studies, and none was named; or it was, and is not there.
    SurrogateError
        The study has several objectives, or no intermediate values.
    """
    study = _study(storage.studies, source, wanted.study)
    if len(study.directions) != 1:
        problem = (
            f"study {study.name!r} has {len(study.directions)} objectives; Optuna keeps no curves for those"
        )
        raise SurrogateError(source, problem)
    reported = sorted((t for t in study.trials if t.values), key=lambda trial: trial.number)
    if not reported:
        problem = f"none of the {len(study.trials)} trials of study {study.name!r} has intermediate values"
        raise SurrogateError(source, f"{problem}: the objective must call trial.report(value, step)")
    name = wanted.metric or (study.metrics[0] if len(study.metrics) == 1 else "value")
    pairs = [(number, *pair) for number, of in _of_each(source, reported, _reports).items() for pair in of]
    silent = len(study.trials) - len(reported)
    return Log(
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


def _study(studies: Sequence[Study], source: str, named: str | None) -> Study:
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


def _of_each(source: str, trials: Sequence[Trial], what: Callable[[Trial], T]) -> dict[int | str, T]:
    """Return something of each trial, by its number; what Optuna does not write is one clear error."""
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


def _reports(trial: Trial) -> list[tuple[float, float]]:
    if not -(2**63) <= trial.number < 2**63:
        raise ValueError("its number has more than 64 bits")
    return [(float(step), float(value)) for step, value in sorted(trial.values.items())]


def _settings(trial: Trial) -> dict[str, object]:
    return {name: value_of(*stored) for name, stored in trial.params.items()}


def value_of(stored: float, distribution: dict[str, Any]) -> object:
    """Return a hyperparameter from the number that Optuna stores."""
    kind, options = str(distribution.get("name")), distribution.get("attributes", {})
    if kind == "CategoricalDistribution":
        choice = options["choices"][int(stored)]
        return choice if choice is None or isinstance(choice, bool | int | float | str) else str(choice)
    return int(stored) if kind.startswith("Int") else float(stored)


def _duration(trial: Trial) -> float:
    if trial.start is None or trial.complete is None:
        return math.nan
    start, end = map(datetime.fromisoformat, (trial.start, trial.complete))
    return (end - start).total_seconds()


def _space(trials: list[Trial]) -> Any:
    """Return the space where all trials have the same one; a distribution may depend on the trial."""
    first = {name: distribution for name, (_, distribution) in trials[0].params.items()}
    same = all({n: d for n, (_, d) in t.params.items()} == first for t in trials)
    return optuna_space(first) if same else None


def _said(reported: list[Trial], silent: int) -> list[str]:
    notes = [f"left out {counted(silent, 'trial')} without intermediate values"] if silent else []
    for state in _STATES:
        count = sum(trial.state == state for trial in reported)
        if count:
            notes.append(f"{counted(count, 'trial')} in state {state}: the curve is kept as far as it goes")
    return notes
