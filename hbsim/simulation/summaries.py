"""A simulated study in a few numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hbsim.history import Jobs
from hbsim.history.columns import numbers
from hbsim.history.summaries import resources

if TYPE_CHECKING:
    from hbsim.simulation.result import Result

__all__ = ["summary"]


def summary(result: Result, jobs: Jobs) -> dict[str, object]:
    """Return the study in a few numbers."""
    scheduler, cluster = result.scheduler, result.cluster
    counts = scheduler.status_counts()
    rows = jobs.ended()
    occupied = math.fsum(rows["end_time"] - rows["start_time"])
    capacity = cluster.workers * result.end_time
    trained, wasted = resources(rows)
    surrogate = result.curves.surrogate
    return {
        "trials": scheduler.started,
        "jobs": len(jobs),
        **{name: counts[name] for name in ("completed", "stopped", "paused", "failed", "running")},
        "simulated_seconds": result.end_time,
        "busy_share": occupied / capacity if capacity else 0.0,
        "training_share": math.fsum(rows["trained"]) / capacity if capacity else 0.0,
        "trained_resource": trained,
        "wasted_resource": wasted,
        **score(result),
        "scheduler": scheduler.options.as_dict(),
        "surrogate": surrogate.name,
        "metric": surrogate.metric,
        "mode": surrogate.mode,
        "workers": cluster.workers,
        "replace": result.replace,
        "interrupted": result.interrupted,
    }


def score(result: Result) -> dict[str, object]:
    """Return best, regret and test of the final incumbent."""
    last = result.incumbent().tail(1)
    if last.is_empty():
        return {"best": None, "regret": None, "test": None}
    trial = int(last["trial"][0])
    surrogate, level = result.curves.surrogate, result.scheduler.levels[-1]
    value = float(result.values_at_max([trial])[0])
    optimum = surrogate.optimum(level)
    distance = None
    if optimum is not None and math.isfinite(value):
        signed = optimum - value if surrogate.mode == "max" else value - optimum
        distance = max(0.0, signed)
    configuration = result.curves.configurations()[trial : trial + 1]
    tests = surrogate.test_values(configuration, level)
    test = None if tests is None else numbers([float(tests[0])])[0]
    return {"best": float(last["value"][0]), "regret": distance, "test": test}
