"""What a study says of failed trials, of money, and of workers that never come back."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings

import hbsim
from hbsim.core import make_scheduler
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.simulation.cluster import Machines
from hbsim.surrogates import Ideal
from tests.profile import examples

from .studies import Study, studies


def simulated(cluster: hbsim.Cluster, trials: int = 30, max_time: float | None = None, **options: int):
    scheduler = make_scheduler("promotion", max_t=9, num_trials=trials, **options)
    return hbsim.simulate(scheduler, Ideal(9), cluster=cluster, max_time=max_time)


# Failed trials in the table of rungs


@settings(max_examples=examples(100), deadline=None)
@given(study=studies())
def test_trials_that_failed_on_their_way_to_a_level(study: Study) -> None:
    result = study.simulate()
    levels, first = result.scheduler.levels, result.scheduler.geometry.first
    found: Counter[tuple[int, float]] = Counter()
    for trial in result.trials.to_dicts():
        if trial["status"] == "failed":
            ahead = [level for level in levels[first[trial["bracket"]] :] if level > trial["resource"]]
            found[trial["bracket"], ahead[0]] += 1
    rows = result.rungs().to_dicts()
    assert {(row["bracket"], row["level"]): row["failed"] for row in rows if row["failed"]} == found
    assert all(row["recorded"] or row["failed"] for row in rows)
    assert [(row["bracket"], row["level"]) for row in rows] == sorted(
        (row["bracket"], row["level"]) for row in rows
    )


def test_the_table_adds_up_from_level_to_level() -> None:
    result = simulated(hbsim.Cluster(workers=5, drop_rate=0.05), trials=200)
    rows = result.rungs().to_dicts()
    assert rows[0]["recorded"] + rows[0]["failed"] == 200
    for below, above in pairwise(rows):
        assert below["continue"] + below["promoted"] == above["recorded"] + above["failed"]
    assert sum(row["failed"] for row in rows) == result.summary()["failed"] > 20


def test_nobody_came_to_the_first_level() -> None:
    result = simulated(hbsim.Cluster(workers=2, drop_rate=0.999999), trials=9)
    [row] = result.rungs().to_dicts()
    assert (row["level"], row["recorded"], row["failed"]) == (1, 0, 9)


# Money


@pytest.mark.parametrize("gpus_per_trial", [1, 0.5, 2])
def test_money_for_idle_hours(gpus_per_trial: float) -> None:
    """What is not paid for jobs is paid for nothing: a worker's hour costs its share of the machine's."""
    machines = [
        Machines(kind="A100", count=2, gpus=4, price=36.0),
        Machines(kind="T4", count=1, gpus=3, price=2.5),
    ]
    absences = {"mtbf": 40.0, "mttr": 5.0, "schedule": [(0, 3), (20, 1), (30, 3)]}
    cluster = hbsim.Cluster(machines=machines, gpus_per_trial=gpus_per_trial, startup=0.5, **absences)
    result = simulated(cluster, retries=9)
    summary, prices = result.summary(), cluster.prices
    workers = Counter(cluster.machine_of)
    used = 0.0
    for job in result.jobs.to_dicts():
        machine = cluster.machine_of[job["worker"]]
        used += (job["end_time"] - job["start_time"]) / 3600 * prices[machine] / workers[machine]
    assert 0 < summary["idle_cost"] < summary["cost"]
    assert summary["cost"] - summary["idle_cost"] == pytest.approx(used)


def test_nothing_is_idle_where_all_always_work() -> None:
    summary = simulated(hbsim.Cluster(workers=3, price=2.0), trials=500, max_time=12).summary()
    assert summary["busy_share"] == 1
    assert summary["idle_cost"] == pytest.approx(0)
    assert simulated(hbsim.Cluster(workers=3)).summary()["idle_cost"] is None


# Workers that never come back


@pytest.mark.parametrize("max_time", [None, 100.0])
def test_no_worker_is_left(max_time: float | None) -> None:
    cluster = hbsim.Cluster(schedule=[(0, 2), (7, 0)])
    text = "no worker is left after 7 s, and there is work: 9 of 30 trials have started, 1 wait to be tried"
    with pytest.warns(HbsimWarning, match=f"^{text} again$") as caught:
        result = simulated(cluster, retries=2, max_time=max_time)
    assert caught[0].filename == __file__
    assert result.no_worker_after == 7
    summary = result.summary()
    assert (summary["no_worker_after"], summary["running"], summary["trials"]) == (7, 1, 9)


def test_the_workers_of_a_trace_all_leave(tmp_path: Path) -> None:
    path = tmp_path / "there.csv"
    path.write_text("worker,start,end,state\na,0,5,up\nb,0,3,up\nb,3,,down\n")
    with pytest.warns(HbsimWarning, match="no worker is left after 5 s"):
        simulated(hbsim.Cluster(trace=path))


COME_BACK_OR_NOT_NEEDED = {
    "done before": (hbsim.Cluster(schedule=[(0, 2), (100, 0)]), None),
    "cut before they leave": (hbsim.Cluster(schedule=[(0, 2), (7, 0)]), 7 - 1e-9),
    "cut while the last ones work": (hbsim.Cluster(schedule=[(0, 2), (7, 1)]), 8),
    "they come back": (hbsim.Cluster(schedule=[(0, 2), (7, 0), (9, 2)]), 8.5),
    "saving while it is cut": (hbsim.Cluster(workers=1, save=10), 5),
    "broken while it is cut": (hbsim.Cluster(workers=1, mtbf="uniform:low=5,high=5", mttr=1e9), 50),
}


@pytest.mark.parametrize("case", COME_BACK_OR_NOT_NEEDED)
def test_a_worker_may_be_left(case: str) -> None:
    cluster, max_time = COME_BACK_OR_NOT_NEEDED[case]
    result = simulated(cluster, retries=2, max_time=max_time)  # a warning would be an error
    assert result.no_worker_after is None
    assert result.summary()["no_worker_after"] is None


def test_a_notice_that_leaves_no_time_to_work() -> None:
    """The study had no end: a worker that is told at once that it goes gets no job."""
    cluster = hbsim.Cluster(workers=2, preempted_every="uniform:low=3,high=5", notice=5)
    with pytest.raises(ParameterError, match="leaves no time to work") as caught:
        simulated(cluster)
    assert (caught.value.field, caught.value.value) == ("notice", 5)
    assert simulated(cluster, max_time=20).summary()["jobs"] == 0
