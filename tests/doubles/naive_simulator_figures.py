"""What a naively simulated study comes to: its trials, incumbents, rungs and summary, in plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .naive_simulator import NaiveSimulator

ENDED = {"pause": "paused", "stop": "stopped", "complete": "completed"}


def trials(study: NaiveSimulator) -> list[dict[str, Any]]:
    """A row a trial: status, where it stands, best and last value, seconds trained."""
    rows = []
    for trial in range(max((stay.job.trial for stay in study.stays), default=-1) + 1):
        stays = [stay for stay in study.stays if stay.job.trial == trial]
        decided = [row for row in study.decisions if row["trial"] == trial]
        numbers = [row["value"] for row in decided if is_number(row["value"])]
        best = max if study.scheduler.mode == "max" else min
        rows.append(
            {
                "trial": trial,
                "bracket": stays[0].job.bracket,
                "status": status(study, trial),
                "resource": decided[-1]["level"] if decided else 0,
                "best": best(numbers, default=None),
                "final": decided[-1]["value"] if decided else None,
                "trained_seconds": sum(stay.spent(("train",), stay.training_end) for stay in stays),
            }
        )
    return rows


def status(study: NaiveSimulator, trial: int) -> str:
    """Return what became of a trial, from its jobs alone."""
    last = [stay for stay in study.stays if stay.job.trial == trial][-1]
    if last.verdict in ENDED:
        return ENDED[last.verdict]
    options = study.scheduler.options
    retries = options.retries if options.loss_retries is None else options.loss_retries
    gone = last.verdict == "failed" and last.job.attempt >= retries
    return "failed" if gone else "running"


def incumbents(study: NaiveSimulator, level: float | None = None) -> list[dict[str, Any]]:
    """The strict improvements, in the order of reports; at one level, or at any."""
    rows: list[dict[str, Any]] = []
    sign = 1 if study.scheduler.mode == "max" else -1
    for row in study.decisions:
        if not is_number(row["value"]) or level not in (None, row["level"]):
            continue
        if not rows or sign * row["value"] > sign * rows[-1]["value"]:
            rows.append(
                {
                    "time": row["time"],
                    "trial": row["trial"],
                    "resource": row["level"],
                    "value": row["value"],
                }
            )
    return rows


def rungs(study: NaiveSimulator) -> dict[tuple[int, float], dict[str, int]]:
    """Counts by bracket and level."""
    counts: dict[tuple[int, float], dict[str, int]] = {}
    for row in study.decisions:
        count = counts.setdefault((row["bracket"], row["level"]), {})
        for name in ("recorded", row["verdict"]):
            count[name] = count.get(name, 0) + 1
    return counts


def wasted(stay: Any) -> float:
    """Return the resource of a stay that brought its trial no further.

    Trained again what it had; and, unless the study was cut there, past the last milestone that counted.
    """
    again = min(stay.stop_resource, stay.stood) - stay.start_resource
    beyond = 0.0 if stay.verdict == "censored" else max(0.0, stay.stop_resource - stay.milestone)
    return float(again + beyond)


def summary(study: NaiveSimulator) -> dict[str, Any]:
    """The study in a few numbers."""
    statuses = [row["status"] for row in trials(study)]
    last_end = max((stay.end_time for stay in study.stays), default=0.0)
    occupied = sum(stay.end_time - stay.start_time for stay in study.stays)
    best = (incumbents(study) or [None])[-1]
    return {
        "trials": len(statuses),
        "jobs": len(study.stays),
        **{name: statuses.count(name) for name in ("completed", "stopped", "paused", "failed", "running")},
        "simulated_seconds": last_end,
        "busy_share": occupied / (study.cluster.workers * last_end) if last_end else 0.0,
        "trained_resource": sum(stay.stop_resource - stay.start_resource for stay in study.stays),
        "wasted_resource": sum(map(wasted, study.stays)),
        "best": best and best["value"],
        "regret": regret(study, best),
    }


def regret(study: NaiveSimulator, best: dict[str, Any] | None) -> float | None:
    """Return how far the incumbent's value at R is from the best one there; None where it is unknown."""
    R = study.scheduler.levels[-1]
    optimum = study.curves.surrogate.optimum(R)
    if best is None or optimum is None:
        return None
    chosen = study.curves.configurations()[best["trial"] : best["trial"] + 1]
    value = float(study.curves.surrogate.evaluate(chosen, np.array([R], dtype=float))[0][0, 0])
    if not math.isfinite(value):
        return None
    return max(0.0, (optimum - value) * (1 if study.scheduler.mode == "max" else -1))


def is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
