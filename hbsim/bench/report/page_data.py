"""The report as compact JSON for the page's script: columns instead of objects, curves packed in text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.report.figures_heat import heat_range, heatmap_title, shown_heatmaps
from hbsim.bench.report.figures_parts import PARTS
from hbsim.bench.report.model import Across, Heatmap, Line, Report, Task, Timeline
from hbsim.bench.report.page_names import short_names
from hbsim.bench.report.page_text import rounded
from hbsim.bench.report.tables_diagnosis import is_all_training
from hbsim.bench.report.tables_marks import few
from hbsim.bench.report.tables_numbers import PRECISION
from hbsim.bench.statistics import Interval

__all__ = ["encoded", "pack", "packed_lines"]

Json: TypeAlias = Any
DIGITS: Final = PRECISION  # so that what is rounded again is rounded as in the tables

# 64 characters that need no escape; three of them make a number below 2 ** 18, the last is kept for NaN.
ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STEPS: Final = 64**3 - 2
NONE: Final = 64**3 - 1

_ROW: Final = (
    "rank",
    "reached",
    "missing",
    "p",
    "effect",
    "superiority",
    "call",
    "seeds_needed",
    "completed",
)
_ROW_MORE: Final = ("p_target", "busy_share", "simulated_seconds", "cost")
_INTERVALS: Final = ("score", "regret", "area", "to_target", "median_time", "difference")
INFINITE: Final = 1e300  # JSON has no infinity: a time after the budget
_RUNG: Final = ("bracket", "level", "recorded", "stopped", "better", "false_promotions", "loss")
_TASK: Final = ("surrogate", "cluster", "workers", "group", "metric", "mode", "max_t", "seeds", "budget")
_TASK_MORE: Final = ("budget_text", "optimum", "is_optimum_known", "guess", "target")


def encoded(report: Report, styles: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return all that the page's script needs, as JSON types; variants are numbers, in the file's order."""
    number = {variant.name: index for index, variant in enumerate(report.variants)}
    short = short_names(list(number))
    return {
        "variants": [{"name": name, "short": short[name]} for name in number],
        "styles": list(styles),
        "tasks": [_task(task, number) for task in report.tasks],
        "across": [_across(across, number) for across in report.across],
        "heatmaps": [_heatmap(heatmap, report) for heatmap in shown_heatmaps(report)],
        "parts": {
            kind: [[name, part.colour, part.pattern] for name, part in parts.items()]
            for kind, parts in PARTS.items()
        },
    }


def _value(value: object) -> Json:
    if isinstance(value, float):
        if value == math.inf:
            return INFINITE
        return rounded(value, DIGITS)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _columns(items: Sequence[object], names: Sequence[str], number: Mapping[str, int]) -> dict[str, Json]:
    made: dict[str, Json] = {"variant": [number[getattr(item, "variant")] for item in items]}  # noqa: B009
    made.update({name: [_value(getattr(item, name)) for item in items] for name in names})
    return made


def _intervals(intervals: Sequence[Interval]) -> list[Json]:
    ends = ("mean", "low", "high")
    return [[_value(float(getattr(one, end))) for one in intervals] for end in ends]


def _task(task: Task, number: Mapping[str, int]) -> dict[str, Json]:
    rows = _columns(task.rows, (*_ROW, *_ROW_MORE), number)
    rows |= {name: _intervals([getattr(row, name) for row in task.rows]) for name in _INTERVALS}
    return {
        **{name: _value(getattr(task, name)) for name in (*_TASK, *_TASK_MORE)},
        "setting": task.setting,
        "notes": list(task.notes),
        "few": few(task.seeds, "seed"),
        "is_all_training": bool(task.shares) and is_all_training(task.shares),
        "rows": rows,
        "anytime": packed_lines(task.anytime, number),
        "curves": packed_lines(task.reached, number),
        "rungs": _columns(task.rungs, _RUNG, number),
        "regrets": _columns(task.regrets, tuple(PARTS["regrets"]), number),
        "brackets": _columns(task.brackets, ("bracket", "trials", "resource", "winners"), number),
        "shares": _columns(task.shares, (*PARTS["shares"], "saved"), number),
        "timelines": [_timeline(one, number) for one in task.timelines],
    }


def packed_lines(lines: Sequence[Line], number: Mapping[str, int]) -> dict[str, Json]:
    """Return curves with each grid of times once: `grids`, and of a line its variant, grid, packed values."""
    grids = {grid: index for index, grid in enumerate(dict.fromkeys(line.x for line in lines))}
    return {
        "grids": [[rounded(x, 5) for x in grid] for grid in grids],
        "lines": [
            [number[line.variant], grids[line.x], *(pack(v) for v in (line.mean, line.low, line.high) if v)]
            for line in lines
        ],
    }


def pack(values: Sequence[float]) -> list[Json]:
    """Return `[low, high, text]`: three letters of ALPHABET a value, 262143 even steps from low to high."""
    data = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(data)
    low, high = (float(data[finite].min()), float(data[finite].max())) if finite.any() else (0.0, 0.0)
    low, high = float(f"{low:.6g}"), float(f"{high:.6g}")
    share = (np.where(finite, data, low) - low) / (high - low) if high > low else np.zeros_like(data)
    steps = np.where(finite, np.clip(np.rint(share * STEPS), 0, STEPS), NONE).astype(np.int64)
    return [low, high, _letters(steps)]


def _letters(steps: NDArray[np.int64]) -> str:
    digits = np.stack([steps >> 12, steps >> 6 & 63, steps & 63], axis=1).ravel()
    return "".join([ALPHABET[digit] for digit in digits.tolist()])


def _timeline(timeline: Timeline, number: Mapping[str, int]) -> dict[str, Json]:
    place = {level: index for index, level in enumerate(timeline.levels)}
    segments = timeline.segments
    return {
        "variant": number[timeline.variant],
        "seed": timeline.seed,
        "workers": timeline.workers,
        "levels": [_value(float(level)) for level in timeline.levels],
        "worker": [one.worker for one in segments],
        "start": [rounded(one.start, 5) for one in segments],
        "end": [rounded(one.end, 5) for one in segments],
        # -1 for start-up and checkpoints
        "level": [-1 if one.level is None else place.get(one.level, -1) for one in segments],
        "cut": rounded(timeline.cut, 5),
    }


def _across(across: Across, number: Mapping[str, int]) -> dict[str, Json]:
    names = ("wins", "ties", "losses", "p", "p_nemenyi")
    duels: dict[str, Json] = {name: [_value(getattr(duel, name)) for duel in across.duels] for name in names}
    duels |= {side: [number[getattr(duel, side)] for duel in across.duels] for side in ("first", "second")}
    return {
        "setting": across.setting,
        "measure": across.measure,
        "groups": list(across.groups),
        "variants": [number[name] for name in across.variants],
        "scores": [[_value(float(score)) for score in row] for row in across.scores],
        "duels": duels,
    }


def _heatmap(heatmap: Heatmap, report: Report) -> dict[str, Json]:
    return {
        "title": heatmap_title(heatmap, report),
        "range": [_value(end) for end in heat_range(heatmap)],
        "setting": heatmap.setting,
        "brackets": [_value(float(value)) for value in heatmap.brackets],
        "etas": [_value(float(value)) for value in heatmap.etas],
        "values": [[_value(float(value)) for value in row] for row in heatmap.values],
    }
