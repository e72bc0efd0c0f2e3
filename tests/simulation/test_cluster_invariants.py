"""What holds on every cluster, read off a study's tables alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import hbsim
from hbsim.simulation.availability import Absence, MachineAvailability
from hbsim.simulation.cluster import Machines
from hbsim.simulation.distributions import Empirical
from hbsim.simulation.random_effects import RandomEffects
from hbsim.simulation.trace import Trace
from hbsim.surrogates import Ideal
from tests.doubles.traces import lost_times
from tests.profile import examples

from . import cluster_digests
from .cluster_studies import cluster_studies, clusters, clusters_with_a_store
from .studies import Study, exact_curves, studies
from .test_invariants import check_time, check_verdicts, check_workers

SCRIPT = Path(__file__).with_name("cluster_digests.py")
Rows = list[dict[str, Any]]
anywhere = cluster_studies(clusters() | clusters_with_a_store())


@settings(max_examples=examples(200), deadline=None)
@given(study=anywhere)
def test_every_study(study: Study) -> None:
    result = study.simulate()
    jobs, decisions, failures = (
        getattr(result, table).to_dicts() for table in ("jobs", "decisions", "failures")
    )
    check_time(jobs, decisions, study)
    check_workers(jobs, result.summary(), study.cluster.workers)
    check_presence(jobs, study)
    check_states(result, jobs, decisions, study)
    check_losses(jobs, failures, lost_times(study.options))
    check_resource(result, jobs, failures)


def check_presence(jobs: Rows, study: Study) -> None:
    """No job runs while its machine is not there; none starts once the worker was told that it goes."""
    presence = MachineAvailability(study.cluster, study.seed)
    for job in jobs:
        for absence in presence.absences(study.cluster.machine_of[job["worker"]]):
            if absence.start - absence.notice > job["end_time"]:
                break
            is_before = (
                job["end_time"] <= absence.start and job["start_time"] < absence.start - absence.notice
            )
            is_noticed_at_once = job["start_time"] == job["end_time"] == absence.start - absence.notice
            assert is_before or job["start_time"] >= absence.end, (job, absence)
            assert not is_noticed_at_once or job["start_time"] >= absence.end


def check_states(result: hbsim.Result, jobs: Rows, decisions: Rows, study: Study) -> None:
    """Every trial ends in one state, and its jobs say which."""
    trials = result.trials.to_dicts()
    assert list(dict.fromkeys(job["trial"] for job in jobs)) == [row["trial"] for row in trials]
    counts = Counter(row["status"] for row in trials)
    summary = result.summary()
    for status in ("completed", "stopped", "paused", "failed", "running"):
        assert summary[status] == counts.pop(status, 0)
    assert not counts
    check_verdicts(trials, jobs, decisions, lost_times(study.options))


def check_losses(jobs: Rows, failures: Rows, retries: int) -> None:
    """Each failed job has a row; its trial is tried again, has failed, or waits at the end."""
    failed = {job["job"]: job for job in jobs if job["verdict"] == "failed"}
    assert [row["time"] for row in failures] == sorted(row["time"] for row in failures)
    assert sorted(row["job"] for row in failures) == sorted(failed)
    for row in failures:
        job = failed[row["job"]]
        told = (row["time"], row["trial"], row["attempt"], row["worker"], row["resource"])
        names = ("end_time", "trial", "attempt", "worker", "stop_resource")
        assert told == tuple(job[name] for name in names)
        assert row["kind"] in ("lost", "preempted")
        later = [one for one in jobs if one["trial"] == job["trial"] and one["job"] > job["job"]]
        if later:
            assert (later[0]["attempt"], job["attempt"] < retries) == (job["attempt"] + 1, True)
            assert later[0]["start_time"] >= job["end_time"]
            assert later[0]["start_resource"] <= row["kept"]  # less if what was being saved is cut


def check_resource(result: hbsim.Result, jobs: Rows, failures: Rows) -> None:
    """What was trained is what trials have, what was wasted, and what jobs that were cut had begun."""
    stands = dict(zip(result.trials["trial"], result.trials["resource"], strict=True))
    for row in failures:
        stands[row["trial"]] = max(stands[row["trial"]], row["kept"])
    cut = [job for job in jobs if job["verdict"] == "censored"]
    begun = sum(max(0.0, job["stop_resource"] - stands[job["trial"]]) for job in cut)
    summary = result.summary()
    trained = sum(job["stop_resource"] - job["start_resource"] for job in jobs)
    assert summary["trained_resource"] == pytest.approx(trained)
    assert trained == pytest.approx(summary["wasted_resource"] + sum(stands.values()) + begun)
    assert summary["wasted_resource"] >= -1e-9


@settings(max_examples=examples(150), deadline=None)
@given(study=anywhere)
def test_the_parts_of_a_job_are_its_time(study: Study) -> None:
    """Start-up, wait, load, training and save, where reports and the store take no time."""
    cluster = replace(study.cluster, report_delay=0, decision_delay=0, suggest_delay=0, store_bandwidth=None)
    result = replace(study, cluster=cluster).simulate()
    luck = RandomEffects(cluster, study.seed, len(result.scheduler.levels))
    saved = defaultdict(set)  # when a worker was done with a trial's pause
    for job, row in zip(result.jobs.to_dicts(), result.job_rows(), strict=True):
        if job["train_start"] is None:
            assert row["trained"] == 0
            continue
        size = luck.size(job["trial"])
        load = cluster.load + (size / cluster.load_bandwidth if cluster.load_bandwidth else 0.0)
        startup = luck.startup(job["trial"], first_stop(result, job, row["stood"]), job["attempt"])
        loaded = load if job["start_resource"] else 0.0
        wait = job["train_start"] - job["start_time"] - startup - loaded
        assert wait == close(0) or job["train_start"] - loaded in map(close, saved[job["trial"]])
        save = cluster.save + (size / cluster.save_bandwidth if cluster.save_bandwidth else 0.0)
        after = job["end_time"] - job["train_start"] - row["trained"]
        may_be = {"pause": (save,), "failed": (0.0, save)}.get(job["verdict"], (0.0,))
        is_cut = cluster.resume and (job["end_time"] == result.end_time or goes(job, study))
        assert after in map(close, may_be) or (is_cut and after < save) or not cluster.resume
        saved[job["trial"]].add(job["end_time"])


def first_stop(result: hbsim.Result, job: dict[str, Any], stood: float) -> int:
    """Return the index of the first milestone that a job reports."""
    scheduler = result.scheduler
    return scheduler.levels.index(stood) + 1 if stood else scheduler.geometry.first[job["bracket"]]


def goes(job: dict[str, Any], study: Study) -> bool:
    """Whether the worker goes as the job ends."""
    for absence in MachineAvailability(study.cluster, study.seed).absences(
        study.cluster.machine_of[job["worker"]]
    ):
        if absence.start >= job["end_time"]:
            return absence.start == job["end_time"]
    return False


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("store", [None, 1.0])
def test_workers_go_and_are_back_at_their_very_times(store: float | None) -> None:
    """Whatever a sum of floats makes of them: not a bit sooner, and not a bit later."""
    drawn = np.random.default_rng(3).uniform((0, 3), (3, 9), (2000, 2)).tolist()
    missed = [(gone, back) for gone, back in drawn if gone + (back - gone) != back][:12]
    absences = [(Absence(gone, back, True),) for gone, back in missed]
    names = tuple(map(str, range(12)))
    cluster = hbsim.Cluster(trace=Trace("random", names, tuple(absences)), store_bandwidth=store)
    study = Study("fifo", {"max_t": 9, "num_trials": 40, "retries": 9}, Ideal(9), cluster)
    result = study.simulate()
    assert len(result.failures) == 12
    starts = {absence.start for worker in absences for absence in worker}
    assert starts.issuperset(result.failures["time"])
    free = {0.0, *result.jobs["end_time"], *(absence.end for worker in absences for absence in worker)}
    assert free.issuperset(result.jobs["start_time"])
    check_presence(result.jobs.to_dicts(), study)


NEVER = Empirical((1e12,))
NEUTRAL: dict[str, Any] = {
    "mtbf": NEVER,
    "mttr": 5.0,
    "preempted_every": NEVER,
    "preempted_for": 7.0,
    "notice": 3.0,
    "decision_delay": Empirical((0.0,)),
    "retry_from": "milestone",
    "checkpoint_size": 1e-12,
    "save_bandwidth": 1e12,
    "load_bandwidth": 1e12,
    "store_bandwidth": 1e12,
}


@settings(max_examples=examples(100), deadline=None)
@given(study=studies())
def test_a_cluster_whose_parts_do_nothing_is_the_plain_one(study: Study) -> None:
    plain = study.cluster
    speeds = plain.speeds
    machines = [Machines(kind=f"m{number}", count=1, speed=speed) for number, speed in enumerate(speeds)]
    every = replace(
        plain,
        **NEUTRAL,
        speed=1.0,
        machines=machines,
        schedule=[(0, plain.workers)],
        startup=Empirical((plain.startup,)),
        report_delay=Empirical((plain.report_delay,)),
    )
    with exact_curves():
        expected, result = study.simulate(), replace(study, cluster=every).simulate()
    for table in ("jobs", "decisions", "failures", "trials"):
        assert getattr(result, table).equals(getattr(expected, table)), table
    peaks = dict.fromkeys(("disk_peak", "disk_peak_collected"))
    assert result.summary() | peaks == expected.summary()


@settings(max_examples=examples(40), deadline=None)
@given(study=anywhere)
def test_the_same_seed_gives_the_same_bytes(study: Study) -> None:
    assert cluster_digests.tables(study.simulate()) == cluster_digests.tables(study.simulate())


def test_in_another_process_too() -> None:
    """With another hash seed, and the studies in another order."""
    command = [sys.executable, str(SCRIPT)]
    found = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    expected = cluster_digests.digests()
    assert len(set(expected)) == len(expected) >= 6
    assert found.stdout.split() == expected[::-1]
