"""A comparison in polars frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from hbsim.bench.cells import SUMMARY
from hbsim.bench.scores import column

if TYPE_CHECKING:
    from hbsim.bench.comparison import Comparison, Row
    from hbsim.bench.scores import Budget, Score

__all__ = ["anytime", "cells", "incumbents", "variants"]

COUNTS = SUMMARY[:7]


def cells(comparison: Comparison) -> pl.DataFrame:
    """Return a row a study: variant, seed, `SUMMARY`, then its incumbent at equal time and at equal resource.

    The latter are time_incumbent (a trial), time_value, time_regret and time_test (at R), and the same
    with resource_; null where there is none.
    """
    labels = [variant.label for variant in comparison.plan.variants]
    frame: dict[str, pl.Series] = {
        "variant": pl.Series([labels[cell.variant] for cell in comparison.cells], dtype=pl.String),
        "seed": pl.Series([cell.seed for cell in comparison.cells], dtype=pl.Int64),
    }
    for name in SUMMARY:
        numbers = np.array([cell.summary[name] for cell in comparison.cells], dtype=np.float64)
        found = pl.Series(numbers, nan_to_null=True)
        frame[name] = found.cast(pl.Int64) if name in COUNTS else found
    for budget in (comparison.time, comparison.resource):
        for name in ("trial", "value", "regret", "test"):
            found = pl.Series(column(comparison.cells, budget, name), nan_to_null=True)
            title = "incumbent" if name == "trial" else name
            frame[f"{budget.axis}_{title}"] = found.cast(pl.Int64) if name == "trial" else found
    return pl.DataFrame(frame)


def incumbents(comparison: Comparison) -> pl.DataFrame:
    """Return a row an incumbent: variant, seed, time, resource, trial, value, regret, test."""
    labels = [variant.label for variant in comparison.plan.variants]
    counts = [len(cell.trial) for cell in comparison.cells]
    frame: dict[str, pl.Series] = {
        "variant": pl.Series([labels[cell.variant] for cell in comparison.cells], dtype=pl.String),
        "seed": pl.Series([cell.seed for cell in comparison.cells], dtype=pl.Int64),
    }
    places = np.repeat(np.arange(len(counts)), counts)
    frame = {name: series.gather(places) for name, series in frame.items()}
    for name in ("time", "resource", "trial", "value", "regret", "test"):
        joined = np.concatenate([getattr(cell, name) for cell in comparison.cells])
        frame[name] = pl.Series(joined) if name == "trial" else pl.Series(joined, nan_to_null=True)
    return pl.DataFrame(frame)


def anytime(comparison: Comparison) -> pl.DataFrame:
    """Return the anytime curves: variant, axis (time or resource), x, mean, low, high (or null), seeds."""
    labels = [variant.label for variant in comparison.plan.variants]
    schema = {
        "variant": pl.String,
        "axis": pl.String,
        **dict.fromkeys(("x", "mean", "low", "high"), pl.Float64),
    }
    schema["seeds"] = pl.Int64
    parts = [
        pl.DataFrame(
            {
                "variant": [labels[curve.variant]] * len(curve.x),
                "axis": [curve.axis] * len(curve.x),
                "x": curve.x,
                **{n: pl.Series(getattr(curve, n), nan_to_null=True) for n in ("mean", "low", "high")},
                "seeds": curve.seeds,
            },
            schema=schema,
        )
        for curve in comparison.curves
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def variants(comparison: Comparison) -> pl.DataFrame:
    """Return a row a variant, by rank, in numbers; null for none.

    Columns: rank, variant, seeds; for equal time and equal resource the score's mean, low, high, missing,
    rank, difference to the best with low and high, and call; the mean value and test value at R at equal
    time; then the means of `SUMMARY`.
    """
    return pl.DataFrame([_row(comparison, row) for row in comparison.rows], infer_schema_length=None)


def _row(comparison: Comparison, row: Row) -> dict[str, object]:
    return {
        "rank": row.at_time.rank,
        "variant": row.label,
        "seeds": len(comparison.seeds),
        **_score(comparison.what, comparison.time, row.at_time),
        **_score(comparison.what, comparison.resource, row.at_resource),
        "time_mean_value": _plain(row.value),
        "time_mean_test": _plain(row.test),
        **{name: _plain(mean) for name, mean in row.means.items()},
    }


def _score(what: str, budget: Budget, score: Score) -> dict[str, object]:
    at = f"{budget.axis}_"
    return {
        f"{at}{what}": _plain(score.interval.mean),
        f"{at}{what}_low": _plain(score.interval.low),
        f"{at}{what}_high": _plain(score.interval.high),
        f"{at}missing": score.missing,
        f"{at}rank": score.rank,
        f"{at}difference": _plain(score.difference.mean),
        f"{at}difference_low": _plain(score.difference.low),
        f"{at}difference_high": _plain(score.difference.high),
        f"{at}call": score.call,
    }


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
