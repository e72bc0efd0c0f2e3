"""A simulated study in a few numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.runner.summaries import resources
from hbsim.runner.tables import LOST, PREEMPTED, numbers
from hbsim.simulation.availability import MachineAvailability

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.runner.tables import JobTable
    from hbsim.simulation.cluster import Cluster
    from hbsim.simulation.result import Result, SimulationData

__all__ = ["summary"]

HOUR: Final = 3600.0


def summary(result: Result, simulated: SimulationData) -> dict[str, object]:
    """Return the study in a few numbers."""
    scheduler, cluster, jobs = result.scheduler, result.cluster, simulated.jobs
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
        "failed_resource": failed_resource(scheduler) if counts["failed"] else 0.0,
        **score(result),
        **presence(result, simulated),
        "lost": simulated.failures.count(LOST),
        "preempted": simulated.failures.count(PREEMPTED),
        "lost_saves": sum(time <= result.end_time for time in simulated.lost_saves),
        **disk(result),
        "scheduler": scheduler.options.as_dict(),
        "surrogate": surrogate.name,
        "metric": surrogate.metric,
        "mode": surrogate.mode,
        "workers": cluster.workers,
        "replace": result.replace,
        "interrupted": result.interrupted,
        "no_worker_after": result.no_worker_after,
    }


def failed_resource(scheduler: Scheduler) -> float:
    """Return what trials that failed for good had reached: it was paid for, and came to nothing."""
    trials = zip(scheduler.trial_statuses(), scheduler.trial_levels(), strict=True)
    return math.fsum(level for status, level in trials if status == "failed")


def presence(result: Result, simulated: SimulationData) -> dict[str, object]:
    """Return what machines cost, and the share of the workers' time that they were not there."""
    cluster, end = result.cluster, result.end_time
    there = [end] * cluster.count_machines
    if cluster.has_absences:
        machines = MachineAvailability(cluster, simulated.seed)
        there = [machines.there(machine, end) for machine in range(cluster.count_machines)]
    paid = math.fsum(price * seconds for price, seconds in zip(cluster.prices, there, strict=True))
    worked = math.fsum(there[machine] for machine in cluster.machine_of)
    capacity = cluster.workers * end
    idle = max(0.0, paid - occupied(cluster, simulated.jobs))
    return {
        "cost": paid / HOUR if cluster.is_priced else None,
        "idle_cost": idle / HOUR if cluster.is_priced else None,
        "absent_share": 1.0 - worked / capacity if capacity and cluster.has_absences else 0.0,
    }


def occupied(cluster: Cluster, jobs: JobTable) -> float:
    """Return the money for the seconds in which jobs occupied workers: each has its share of its machine."""
    if not cluster.is_priced:
        return 0.0
    machines, rows = np.array(cluster.machine_of), jobs.ended()
    shares = np.array(cluster.prices)[machines] / np.bincount(machines)[machines]
    return math.fsum((rows["end_time"] - rows["start_time"]) * shares[rows["worker"]])


def disk(result: Result) -> dict[str, object]:
    """Return the most that checkpoints held, in GB."""
    if result.simulated.disk is None:
        return {"disk_peak": None, "disk_peak_collected": None}
    rows = result.disk().max().row(0)
    return {"disk_peak": rows[1] or 0.0, "disk_peak_collected": rows[2] or 0.0}


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
