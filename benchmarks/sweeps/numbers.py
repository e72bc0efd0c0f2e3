"""The numbers of a report, without what only a page draws."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Final

from benchmarks.compact import compact_json
from hbsim.bench.report.model import Across, Report, Task

__all__ = ["numbers"]

DIGITS: Final = 6  # the rest may differ between machines
DEPTH: Final = 3


def numbers(report: Report) -> str:
    """Return them as one JSON object; None for what is no finite number."""
    content = {
        "title": report.title,
        "cells": report.cells,
        "finished": report.finished,
        "answer": report.answer,
        "summary": report.summary,
        "variants": [asdict(variant) for variant in report.variants],
        "settings": [_setting(across) for across in report.across],
        "tasks": [_task(task) for task in report.tasks],
        "heatmaps": [asdict(heatmap) for heatmap in report.heatmaps],
    }
    return compact_json(_rounded(content), DEPTH)


def _setting(across: Across) -> dict[str, Any]:
    """Return a setting; of its pairs those that the best is in."""
    best = across.variants[0]
    pairs = [asdict(pair) for pair in across.pairs if best in (pair.first, pair.second)]
    return {**asdict(across), "pairs": pairs}


def _task(task: Task) -> dict[str, Any]:
    left_out = ("anytime", "chances", "reached", "timelines", "rungs")
    return {name: value for name, value in asdict(task).items() if name not in left_out}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
