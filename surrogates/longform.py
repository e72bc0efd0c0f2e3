"""Recorded curves from ``.csv`` and ``.parquet``: one line a configuration and level."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars

from hbsim.errors import SurrogateError
from hbsim.surrogates.notes import pairs_beside, read_notes
from hbsim.surrogates.parquet import read_parquet
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.recorded import Recorded

__all__ = ["read_long"]

_CONFIG: Final = ("config", "row", "trial")
_RESOURCE: Final = ("resource", "epoch", "step", "level")
_TIME: Final = "seconds"


def read_long(path: Path, metric: str | None, test_metric: str | None, time: str | None) -> Recorded:
    """Read a table in long form; `docs/reference/surrogates.md` gives the columns.

    Unless the file says what its hyperparameters are, they are the columns that do not change within
    any configuration, the metric and time never.

    Raises
    ------
    SurrogateError
        The file cannot be read, a column is missing or holds no numbers, or a line is there twice.
    """
    source, (frame, pairs) = str(path), _read(path)
    notes = read_notes(pairs)
    if frame.height == 0:
        raise SurrogateError(source, "the table is empty")
    config = _the_column(source, frame, _CONFIG, "the configuration")
    resource = _the_column(source, frame, notes.resource or _RESOURCE, "the level")
    rows, places, levels = _positions(source, frame, config, resource)
    _refuse_gaps(source, frame[config].unique().sort(), resource, rows, places, levels)
    clock = notes.text.get("time", _TIME)
    named = {metric, test_metric, time, notes.text.get("metric"), notes.text.get("test_metric"), clock}
    settings = notes.hyperparameters or _constant(frame, config)
    curves = [c for c in frame.columns if c not in (config, resource) and (c in named or c not in settings)]
    shape = (int(rows.max()) + 1, len(levels))
    known = [config, *(c for c in frame.columns if c not in (config, resource, *curves))]
    return Recorded(
        source=source,
        levels=levels,
        columns={
            c: _pivot(frame[c], shape, rows, places)
            for c in curves
            if _is_numeric(source, frame[c], needed=c in named)
        },
        configurations=frame.select(known).unique(config, keep="first").sort(config),
        metadata=notes.text,
        space=notes.space,
        time=clock,
        hyperparameters=tuple(known[1:]),
        named_metrics=notes.metrics,
    )


def _read(path: Path) -> tuple[polars.DataFrame, dict[str, str]]:
    """Return the table, and what is said of it."""
    try:
        if path.suffix == ".csv":
            # The whole file decides a column's type: an integer column may become fractional late.
            frame = polars.read_csv(path, infer_schema_length=None, null_values=["", "NaN", "nan"])
            return frame, pairs_beside(path)
        return read_parquet(path)
    except polars.exceptions.NoDataError as error:
        raise SurrogateError(str(path), "the table is empty") from error
    except (polars.exceptions.PolarsError, OSError, ValueError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SurrogateError(str(path), f"cannot be read as {path.suffix}: {text}") from error


def _the_column(source: str, frame: polars.DataFrame, names: tuple[str, ...], what: str) -> str:
    found = [name for name in names if name in frame.columns]
    if len(found) == 1:
        return found[0]
    if not found:
        there = ", ".join(frame.columns)
        raise SurrogateError(source, f"has no column for {what}: one of {', '.join(names)}; columns: {there}")
    raise SurrogateError(source, f"has several columns for {what} ({', '.join(found)}): keep one")


def _positions(source: str, frame: polars.DataFrame, config: str, resource: str) -> tuple[Ints, Ints, Floats]:
    """Return each line's row number and place among the levels, and the levels."""
    for name in (config, resource):
        if frame[name].null_count():
            raise SurrogateError(source, f"column {name!r} has empty cells")
    if not frame[resource].dtype.is_numeric():
        raise SurrogateError(source, f"column {resource!r} must hold numbers, not {frame[resource].dtype}")
    at = frame[resource].cast(polars.Float64).to_numpy()
    if not np.isfinite(at).all() or (at < 0).any():
        raise SurrogateError(source, f"column {resource!r} must hold finite numbers, 0 or more")
    levels, places = np.unique(at, return_inverse=True)
    rows = frame[config].rank("dense").cast(polars.Int64).to_numpy() - 1
    _refuse_twice(source, frame, config, resource, rows * len(levels) + places)
    return rows, places.astype(np.int64), levels


def _refuse_twice(source: str, frame: polars.DataFrame, config: str, resource: str, cells: Ints) -> None:
    _, first = np.unique(cells, return_index=True)
    if len(first) < len(cells):
        line = int(np.setdiff1d(np.arange(len(cells)), first)[0])
        where = f"{config} {frame[config][line]}, {resource} {frame[resource][line]:g}"
        raise SurrogateError(source, f"{where} is there twice ({len(cells) - len(first)} such lines)")


def _refuse_gaps(
    source: str, configs: polars.Series, resource: str, rows: Ints, places: Ints, levels: Floats
) -> None:
    """A configuration may end early, but must have every level until then; level 0 may be left out."""
    there = np.zeros((len(configs), len(levels)), dtype=bool)
    there[rows, places] = True
    there, levels = there[:, levels > 0], levels[levels > 0]
    later = np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    gaps = np.argwhere(later & ~there)
    if len(gaps):
        row, place = gaps[0].tolist()
        problem = f"{configs.name} {configs[row]} has no {resource} {levels[place]:g}, but a later one"
        raise SurrogateError(source, f"{problem} ({len(gaps)} such levels)")


def _constant(frame: polars.DataFrame, config: str) -> set[str]:
    """Return the columns that have one value within each configuration."""
    others = polars.all().exclude(config)
    counts = frame.group_by(config).agg(others.n_unique()).select(others.max())
    return {name for name in counts.columns if counts[name][0] == 1}


def _is_numeric(source: str, column: polars.Series, needed: bool) -> bool:
    numeric = column.dtype.is_numeric() or column.dtype in (polars.Boolean, polars.Null)
    if needed and not numeric:
        raise SurrogateError(source, f"column {column.name!r} must hold numbers, not {column.dtype}")
    return numeric


def _pivot(column: polars.Series, shape: tuple[int, int], rows: Ints, places: Ints) -> Floats:
    table = np.full(shape, np.nan)
    table[rows, places] = column.cast(polars.Float64).to_numpy()
    return table
