"""What a study on the naive cluster comes to, beside what every study has."""

from __future__ import annotations

from typing import Any

from . import naive_simulator_figures as figures
from .naive_cluster import NaiveCluster
from .naive_stay import Stay


def wasted(stay: Stay, is_kept: bool) -> float:
    """Return the resource of a stay that brought its trial no further.

    Trained again what the trial had; and, unless the study was cut there, past its last milestone, where
    it began and what was kept of it upon a notice.
    """
    again = max(0.0, min(stay.stop_resource, stay.stood) - stay.start_resource)
    had = max(stay.milestone, stay.start_resource)
    if is_kept and stay.leaving:
        had = max(had, stay.leaving.resource)
    return again + (0.0 if stay.verdict == "censored" else max(0.0, stay.stop_resource - had))


def summary(study: NaiveCluster, presence: Any) -> dict[str, Any]:
    """The study in a few numbers."""
    kept = {row["job"]: row["kept"] for row in study.failures}
    found = figures.summary(study)
    found["wasted_resource"] = sum(
        wasted(stay, stay.leaving is not None and kept.get(stay.number) == stay.leaving.resource)
        for stay in study.stays
    )
    kinds = [row["kind"] for row in study.failures]
    found |= {kind: kinds.count(kind) for kind in ("lost", "preempted")}
    return found | disk_peaks(study) | costs(study, presence)


def disk_peaks(study: NaiveCluster) -> dict[str, Any]:
    """The most that the disk held, without and with collecting."""
    rows = study.checkpoints.disk(study.luck.size)
    return {
        "disk_peak": max((row[1] for row in rows), default=0.0),
        "disk_peak_collected": max((row[2] for row in rows), default=0.0),
    }


def costs(study: NaiveCluster, presence: Any) -> dict[str, Any]:
    """Money, what of it was paid for workers without a job, and the share of time they were not there."""
    cluster = study.cluster
    end = max((stay.end_time for stay in study.stays), default=0.0)
    there = [presence.there(machine, end) for machine in cluster.machine_of]
    cost = idle_cost = 0.0
    for worker, machine in enumerate(cluster.machine_of):
        an_hour = cluster.prices[machine] / cluster.machine_of.count(machine)
        busy = sum(stay.end_time - stay.start_time for stay in study.stays if stay.worker == worker)
        cost += an_hour * there[worker] / 3600
        idle_cost += an_hour * (there[worker] - busy) / 3600
    is_priced = any(cluster.prices)
    return {
        "cost": cost if is_priced else None,
        "idle_cost": idle_cost if is_priced else None,
        "absent_share": sum(end - time for time in there) / (cluster.workers * end) if end else 0.0,
    }
