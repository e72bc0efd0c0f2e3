"""Run studies, and keep of each what a report needs: rows of tables, a few kilobytes."""

from __future__ import annotations

import math
import time
import traceback
import warnings
from collections.abc import Sequence

import numpy as np
import polars as pl

from hbsim.bench.cells import SUMMARY, Cell, cell_of
from hbsim.bench.diagnosis import diagnose, timeline
from hbsim.bench.sweep.curves import load_curves
from hbsim.bench.sweep.study import Study
from hbsim.bench.sweep.tables import COUNTS, DONE, FAILED, KEY, MAIN, PARTS, SHARES, TABLES, Frames, empty
from hbsim.bench.sweep.words import said
from hbsim.errors import HbsimError, HbsimWarning
from hbsim.simulation import Result
from hbsim.surrogates.checked import placeless

__all__ = ["failed", "run_studies"]


def run_studies(studies: Sequence[tuple[Study, bool]]) -> dict[str, pl.DataFrame]:
    """Run studies one after the other; what one of them raises is its outcome.

    Parameters
    ----------
    studies : sequence of (Study, bool)
        And whether to keep what workers did when.

    Returns
    -------
    dict
        A frame each of `hbsim.bench.sweep.tables.TABLES`.
    """
    found = [_one(study, is_drawn) for study, is_drawn in studies]
    return {name: pl.concat([frames[name] for frames in found]) for name in TABLES}


def failed(study: Study, error: str, seconds: float = 0.0) -> Frames:
    """Return the outcome of a study that came to nothing."""
    cell = dict.fromkeys(TABLES[MAIN]) | {KEY: study.key, "status": FAILED, "error": error}
    main = pl.DataFrame([cell], schema=TABLES[MAIN])
    return {**{name: empty(name) for name in TABLES}, MAIN: main, "timings": _timing(study, seconds)}


def _one(study: Study, is_drawn: bool) -> Frames:
    begin = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # what can be known before was said before
            result = study.run(load_curves(study.of.load, study.of.fingerprint))
            frames = _measured(study.key, result, is_drawn)
    except Exception as error:
        return failed(study, _said(error), time.process_time() - begin)
    return {**frames, "timings": _timing(study, time.process_time() - begin)}


def _said(error: Exception) -> str:
    """Return what went wrong, the same in every process."""
    if isinstance(error, HbsimError):
        text = said(error)
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rpartition('/')[2]}, line {last.lineno}"
        text = f"{type(error).__name__}: {error} ({where})"
    return placeless(text)


def _measured(key: str, result: Result, is_drawn: bool) -> Frames:
    cell, found = cell_of(result, 0, result.simulated.seed), diagnose(result)
    numbers: dict[str, object] = {
        KEY: key,
        "status": DONE,
        "error": None,
        **{name: _number(name, cell.summary[name]) for name in SUMMARY},
        "is_deserted": cell.is_deserted,
        **{name: _last(cell, name) for name in ("value", "regret", "test")},
        **{f"{name}_share": _known(found.shares[name]) for name in SHARES},
        **{f"{name}_part": _known(getattr(found.regrets, name)) for name in PARTS},
    }
    drawn, cut = timeline(result) if is_drawn else (empty("timelines"), None)
    return {
        MAIN: pl.DataFrame([numbers], schema=TABLES[MAIN]),
        "incumbents": _keyed(key, "incumbents", _incumbents(cell)),
        "rungs": _keyed(key, "rungs", found.rungs),
        "brackets": _keyed(key, "brackets", found.brackets),
        # `cut` is null in all rows of a study that is whole.
        "timelines": _keyed(key, "timelines", drawn.with_columns(pl.lit(cut).alias("cut"))),
    }


def _incumbents(cell: Cell) -> pl.DataFrame:
    return pl.DataFrame({name: np.asarray(getattr(cell, name)) for name in list(TABLES["incumbents"])[1:]})


def _keyed(key: str, table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a table, with null for NaN."""
    schema = TABLES[table]
    columns: list[pl.Expr] = [pl.lit(key, schema[KEY]).alias(KEY)]
    for name, kind in list(schema.items())[1:]:
        column = pl.col(name).cast(kind)
        columns.append(column.fill_nan(None) if kind == pl.Float64() else column)
    return frame.select(columns)


def _timing(study: Study, seconds: float) -> pl.DataFrame:
    return pl.DataFrame([{KEY: study.key, "seconds": seconds}], schema=TABLES["timings"])


def _number(name: str, value: float) -> float | int | None:
    return int(value) if name in COUNTS else _known(value)


def _last(cell: Cell, name: str) -> float | None:
    column = getattr(cell, name)
    return _known(float(column[-1])) if len(column) else None


def _known(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
