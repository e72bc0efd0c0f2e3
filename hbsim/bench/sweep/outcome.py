"""Run studies, and keep of each what a report needs: rows of tables, a few kilobytes."""

from __future__ import annotations

import math
import time
import traceback
import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from hbsim.bench.cells import SUMMARY, Cell, cell_of
from hbsim.bench.diagnosis import diagnose, timeline
from hbsim.bench.sweep.study import Study, load_curves
from hbsim.errors import HbsimError, HbsimWarning
from hbsim.simulation import Result

__all__ = ["DONE", "FAILED", "failed", "run_studies"]

DONE, FAILED = "done", "failed"
SHARES: Final = ("training", "retrained", "overhead", "idle", "absent", "saved")
PARTS: Final = ("sampling", "decisions", "unfinished", "choice", "best_started")
COUNTS: Final = SUMMARY[:7]

CELL: Final[dict[str, pl.DataType]] = {
    "key": pl.String(),
    "status": pl.String(),
    "error": pl.String(),
    **{name: pl.Int64() if name in COUNTS else pl.Float64() for name in SUMMARY},
    "is_deserted": pl.Boolean(),
    "value": pl.Float64(),
    "regret": pl.Float64(),
    "test": pl.Float64(),
    **{f"{name}_share": pl.Float64() for name in SHARES},
    **{f"{name}_part": pl.Float64() for name in PARTS},
}
INCUMBENT: Final[dict[str, pl.DataType]] = {
    "key": pl.String(),
    "time": pl.Float64(),
    "resource": pl.Float64(),
    "trial": pl.Int64(),
    "value": pl.Float64(),
    "regret": pl.Float64(),
    "test": pl.Float64(),
}
TIMING: Final[dict[str, pl.DataType]] = {"key": pl.String(), "seconds": pl.Float64()}


def run_studies(studies: Sequence[tuple[Study, bool]]) -> dict[str, pl.DataFrame]:
    """Run studies one after the other; what one of them raises is its outcome.

    Parameters
    ----------
    studies : sequence of (Study, bool)
        And whether to keep what workers did when.

    Returns
    -------
    dict
        A frame each of `hbsim.bench.sweep.store.TABLES`.
    """
    found = [_one(study, is_drawn) for study, is_drawn in studies]
    return {name: pl.concat([frames[name] for frames in found]) for name in found[0]}


def failed(study: Study, error: str, seconds: float = 0.0) -> dict[str, pl.DataFrame]:
    """Return the outcome of a study that came to nothing."""
    cell = dict.fromkeys(CELL) | {"key": study.key, "status": FAILED, "error": error}
    return {
        "cells": pl.DataFrame([cell], schema=CELL),
        "incumbents": pl.DataFrame(schema=INCUMBENT),
        "rungs": _rungs(study.key),
        "brackets": _brackets(study.key),
        "timelines": _timeline(study.key),
        "timings": pl.DataFrame([{"key": study.key, "seconds": seconds}], schema=TIMING),
    }


def _one(study: Study, is_drawn: bool) -> dict[str, pl.DataFrame]:
    begin = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # what can be known before was said before
            frames = _measured(study, study.run(load_curves(study.of.load)), is_drawn)
    except HbsimError as error:
        return failed(study, str(error), time.process_time() - begin)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rpartition('/')[2]}, line {last.lineno}"
        return failed(study, f"{type(error).__name__}: {error} ({where})", time.process_time() - begin)
    seconds = time.process_time() - begin
    return {**frames, "timings": pl.DataFrame([{"key": study.key, "seconds": seconds}], schema=TIMING)}


def _measured(study: Study, result: Result, is_drawn: bool) -> dict[str, pl.DataFrame]:
    cell, found = cell_of(result, 0, study.seed), diagnose(result)
    numbers: dict[str, object] = {
        "key": study.key,
        "status": DONE,
        "error": None,
        **{
            name: int(cell.summary[name]) if name in COUNTS else _known(cell.summary[name])
            for name in SUMMARY
        },
        "is_deserted": cell.is_deserted,
        **{name: _last(cell, name) for name in ("value", "regret", "test")},
        **{f"{name}_share": _known(found.shares[name]) for name in SHARES},
        **{f"{name}_part": _known(getattr(found.regrets, name)) for name in PARTS},
    }
    return {
        "cells": pl.DataFrame([numbers], schema=CELL),
        "incumbents": _incumbents(study.key, cell),
        "rungs": _rungs(study.key, found.rungs),
        "brackets": _brackets(study.key, found.brackets),
        "timelines": _timeline(study.key, result if is_drawn else None),
    }


def _incumbents(key: str, cell: Cell) -> pl.DataFrame:
    columns: dict[str, object] = {"key": [key] * len(cell.trial)}
    for name in list(INCUMBENT)[1:]:
        column = np.asarray(getattr(cell, name))
        columns[name] = pl.Series(column, nan_to_null=name != "trial")
    return pl.DataFrame(columns, schema=INCUMBENT)


def _rungs(key: str, frame: pl.DataFrame | None = None) -> pl.DataFrame:
    from hbsim.bench.diagnosis.early import SCHEMA

    return _keyed(key, pl.DataFrame(schema=SCHEMA) if frame is None else frame)


def _brackets(key: str, frame: pl.DataFrame | None = None) -> pl.DataFrame:
    schema = {
        "bracket": pl.Int64,
        "trials": pl.Int64,
        "trained_resource": pl.Float64,
        "best": pl.Float64,
        "completed": pl.Int64,
        "is_winner": pl.Boolean,
    }
    return _keyed(key, pl.DataFrame(schema=schema) if frame is None else frame.select(list(schema)))


def _timeline(key: str, result: Result | None = None) -> pl.DataFrame:
    """Return stretches of time on workers; `cut` is null in all rows of a study that is whole."""
    schema = {"worker": pl.Int64, "start": pl.Float64, "end": pl.Float64, "level": pl.Float64}
    frame, cut = (pl.DataFrame(schema=schema), None) if result is None else timeline(result)
    return _keyed(key, frame.cast(schema).with_columns(cut=pl.lit(cut, pl.Float64)))  # type: ignore[arg-type]


def _keyed(key: str, frame: pl.DataFrame) -> pl.DataFrame:
    floats = [name for name, kind in frame.schema.items() if kind == pl.Float64]
    named = frame.with_columns(pl.col(floats).fill_nan(None))
    return named.select(pl.lit(key, pl.String).alias("key"), *frame.columns)


def _last(cell: Cell, name: str) -> float | None:
    column = getattr(cell, name)
    return _known(float(column[-1])) if len(column) else None


def _known(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
