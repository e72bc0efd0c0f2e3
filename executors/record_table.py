"""From finished trials to one Parquet file in long form: a row a report."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from hbsim.errors import OutputError, ParameterError
from hbsim.executors.record_load import Train
from hbsim.executors.record_part import Curve

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TIMES", "long_form", "metadata", "write_parquet"]

TIMES = ("seconds", "process_seconds")
_FLOAT32_SECONDS = 4096.0  # below this a float32 is good to a quarter of a millisecond


def long_form(
    curves: Iterable[Curve],
    resource: str,
    hyperparameters: Mapping[str, list[object]],
    active: Mapping[str, list[bool]],
) -> pl.DataFrame:
    """Make one table of all curves.

    Parameters
    ----------
    curves : iterable of Curve
        In any order.
    resource : str
        The name of the resource.
    hyperparameters : mapping of str to list
        By name, the value of each trial, by trial number.
    active : mapping of str to list
        By name, whether it is active in each trial; of those that are not active in all.

    Returns
    -------
    table : polars.DataFrame
        A row a report, by trial and resource. Columns: ``config`` (the trial), the resource, the metrics,
        ``seconds``, ``process_seconds``, the hyperparameters. Metrics are float32 where that loses nothing,
        the resource is an integer where all of it is whole.
    """
    import polars as pl

    curves = sorted(curves, key=lambda curve: curve.trial)
    metrics = _metrics(curves, resource)
    trials = [curve.trial for curve in curves for _ in range(len(curve))]
    columns = [pl.Series("config", trials, dtype=pl.Int32)]
    for name in (resource, *metrics, *TIMES):
        values = [v for curve in curves for v in curve.columns.get(name, [None] * len(curve))]
        columns.append(_narrow(pl.Series(name, values, dtype=pl.Float64), name == resource, name in TIMES))
    for name, settings in hyperparameters.items():
        plain = _plain(settings)
        columns.append(pl.Series(name, [plain[trial] for trial in trials]))
    masks = {name: pl.Series([flags[trial] for trial in trials]) for name, flags in active.items()}
    return pl.DataFrame(columns).with_columns(
        pl.when(mask).then(pl.col(name)).alias(name) for name, mask in masks.items()
    )


def write_parquet(table: pl.DataFrame, out: Path, metadata: dict[str, str]) -> None:
    """Write the table and its key-value metadata, all of it or nothing.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    from hbsim.surrogates.parquet import parquet

    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(parquet(table, metadata, level=19))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, out)
    except OSError as error:
        raise OutputError(str(out), f"cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def metadata(
    columns: list[str], train: Train, spec: Mapping[str, object], trials: int, errors: Mapping[int, str]
) -> dict[str, str]:
    """Return the file's key-value metadata; ``docs/how-to/record.md`` describes it.

    Parameters
    ----------
    columns : list of str
        The table's.
    train : Train
        The training function.
    spec : mapping
        How it was recorded.
    trials : int
        How many trials there were.
    errors : mapping of int to str
        By trial, why it failed.
    """
    hyperparameters = list(train.space.names)
    others = {"config", spec["time_attr"], *TIMES, *hyperparameters}
    metrics = [name for name in columns if name not in others]
    decides = {**_deciding(metrics, spec), "test_metric": spec["test_metric"]}
    description = {
        "schema": 1,
        "resource": spec["time_attr"],
        "metrics": metrics,
        **decides,
        "time": "seconds",
        "hyperparameters": hyperparameters,
        "space": _space(train),
        "trials": trials,
        "failed": {str(trial): error for trial, error in errors.items()},
        "recorded": {**spec, "hbsim": version("hbsim"), "python": platform.python_version()},
    }
    pairs = {f"hbsim.{name}": str(value) for name, value in decides.items() if value is not None}
    return {"hbsim": json.dumps(description), **pairs}


def _deciding(metrics: list[str], spec: Mapping[str, object]) -> dict[str, object]:
    """Return the metric and the mode: as given, or as `hbsim run` takes them where nothing is."""
    if spec["metric"] is None and "accuracy" in metrics:
        return {"metric": "accuracy", "mode": "max"}
    only = metrics[0] if len(metrics) == 1 else None
    return {"metric": spec["metric"] or only, "mode": spec["mode"]}


def _space(train: Train) -> dict[str, object] | None:
    try:
        return train.space.to_json()
    except ParameterError:  # a choice that JSON does not know: its column holds the text
        return None


def _metrics(curves: Iterable[Curve], resource: str) -> list[str]:
    """Return the names of all metrics, in the order in which trials first reported them."""
    names = dict.fromkeys(name for curve in curves for name in curve.columns)
    return [name for name in names if name != resource and name not in TIMES]


def _narrow(column: pl.Series, is_resource: bool, is_time: bool) -> pl.Series:
    import polars as pl

    if is_resource:
        whole = column.cast(pl.Int64, strict=False)
        return whole if bool((whole.cast(pl.Float64) == column).all()) else column
    single = column.cast(pl.Float32)
    if is_time:
        longest = column.max()
        return single if isinstance(longest, float) and longest < _FLOAT32_SECONDS else column
    return single if bool(single.cast(pl.Float64).eq_missing(column).all()) else column


def _plain(settings: list[object]) -> list[object]:
    """Choices may be anything hashable: what one column cannot hold becomes text."""
    kinds = {type(value) for value in settings if value is not None}
    if kinds == {int, float}:
        return [float(value) if isinstance(value, int) else value for value in settings]
    if len(kinds) <= 1 and kinds <= {bool, int, float, str}:
        return settings
    return [value if value is None else str(value) for value in settings]
