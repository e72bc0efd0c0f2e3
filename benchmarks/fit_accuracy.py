"""What a fit's report says, beside what is true of the rows that the pilot left out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fit_tables import Source, write_pilot
from hbsim.surrogates import Fitted, spread_levels
from hbsim.surrogates.fit_report import spearman
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["accuracy", "speed"]

DRAWS = 200
INTERVAL = 0.8
BLOCK = 4096


def accuracy(source: Source, size: int, pilots: int, folder: Path) -> list[dict[str, Any]]:
    """Return a line a level: means over pilots of what the report says, and of what is true."""
    found: list[list[dict[str, float]]] = []
    for seed in range(pilots):
        rows, rest = cut(source, size, seed)
        fitted = source.fit(write_pilot(source, rows, folder / f"pilot{source.path.suffix}"))
        said, true = fitted.report.levels, _true(source, fitted, rest)
        found.append([_line(one, other) for one, other in zip(said, true, strict=True)])
    return [
        {key: float(np.mean([lines[place][key] for lines in found])) for key in found[0][place]}
        for place in range(len(found[0]))
    ]


def cut(source: Source, size: int, seed: int) -> tuple[Ints, Ints]:
    """Return the rows of a pilot, and the others."""
    order = np.random.default_rng(seed).permutation(source.load().rows or 0)
    return np.sort(order[:size]), np.sort(order[size:])


def _line(said: Any, true: dict[str, float]) -> dict[str, float]:
    return {
        "level": said.level,
        "ratio_said": said.relative,
        "ratio_true": true["ratio"],
        "ranks_said": said.rank_correlation,
        "ranks_true": true["ranks"],
        "inside_said": said.coverage[1],
        "inside_true": true["inside"],
        "to_end_drawn": said.early_fit,
        "to_end_true": true["to_end"],
    }


def _true(source: Source, fitted: Fitted, rest: Ints) -> list[dict[str, float]]:
    levels = np.array(spread_levels(fitted))
    values, _ = source.load().evaluate(rest, levels)
    points = source.points(fitted, rest)
    median = fitted.expected(points, levels)
    drawn = np.stack([fitted.again(points, levels, number)[0] for number in range(DRAWS)])
    low, high = np.nanquantile(drawn, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2], axis=0)
    return [_at(values, median, low, high, place) for place in range(len(levels))]


def _at(values: Floats, median: Floats, low: Floats, high: Floats, place: int) -> dict[str, float]:
    there = np.isfinite(values[:, place])
    both = there & np.isfinite(values[:, -1])
    true = values[there, place]
    worst = np.quantile(true, 0.95)  # all these metrics are minimised; as in the report
    error = np.abs(np.minimum(median[there, place], worst) - np.minimum(true, worst)).mean()
    spread = np.abs(np.minimum(true, worst) - np.median(true)).mean()
    inside = (low[there, place] <= true) & (true <= high[there, place])
    return {
        "ratio": float(error / spread),
        "ranks": spearman(median[there, place], true),
        "inside": float(inside.mean()),
        "to_end": spearman(values[both, place], values[both, -1]),
    }


def speed(source: Source, size: int, folder: Path) -> dict[str, float]:
    """Return seconds of a fit, of its report, and of a block of 4,096 configurations at 6 levels."""
    rows, _ = cut(source, size, 0)
    path = write_pilot(source, rows, folder / f"pilot{source.path.suffix}")
    seconds = []
    for _ in range(3):  # the first one imports
        began = time.perf_counter()
        fitted = source.fit(path)
        seconds.append(time.perf_counter() - began)
    assert fitted.space is not None
    assert fitted.resources is not None
    points = fitted.space.sample(BLOCK, np.random.default_rng(0))
    levels = np.array(fitted.resources)[np.linspace(0, len(fitted.resources) - 1, 6).astype(int)]
    drawn = min(_timed(fitted, points, levels) for _ in range(5))
    start = time.perf_counter()
    _ = fitted.report
    return {"rows": size, "fit": min(seconds), "block": drawn, "report": time.perf_counter() - start}


def _timed(fitted: Fitted, points: Floats, levels: Floats) -> float:
    start = time.perf_counter()
    fitted.evaluate(points, levels)
    return time.perf_counter() - start
