"""What holds in every study, read off its tables alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.errors import ParameterError
from hbsim.surrogates import Ideal, Synthetic
from tests.doubles.traces import lost_times
from tests.profile import examples

from .studies import Study, clusters, studies

STATUSES = ("completed", "stopped", "paused", "failed", "running")
ENDED = {"pause": "paused", "stop": "stopped", "complete": "completed"}


@settings(max_examples=examples(150), deadline=None)
@given(study=studies())
def test_every_study(study: Study) -> None:
    result = study.simulate()
    jobs, decisions = result.jobs.to_dicts(), result.decisions.to_dicts()
    check_time(jobs, decisions, study)
    check_workers(jobs, result.summary(), study.cluster.workers)
    check_trials(result, jobs, decisions, study)
    check_resource(result, jobs)
    check_incumbent(result, decisions)


def check_time(jobs: list[dict[str, Any]], decisions: list[dict[str, Any]], study: Study) -> None:
    assert [job["job"] for job in jobs] == list(range(len(jobs)))
    starts = [job["start_time"] for job in jobs]
    assert starts == sorted(starts)
    times = [row["time"] for row in decisions]
    assert times == sorted(times)
    for job in jobs:
        trains = job["start_time"] if job["train_start"] is None else job["train_start"]
        assert 0 <= job["start_time"] <= trains <= job["end_time"]
        if study.max_time is not None:
            assert job["end_time"] <= study.max_time
        assert (job["verdict"] == "censored") <= (
            study.max_time == job["end_time"] or study.max_reward is not None
        )
    if study.max_time is not None and times:
        assert times[-1] <= study.max_time


def check_workers(jobs: list[dict[str, Any]], summary: dict[str, Any], workers: int) -> None:
    """No worker runs two jobs at once; what they were occupied adds up."""
    free = [0.0] * workers
    for job in jobs:
        assert job["start_time"] >= free[job["worker"]]
        free[job["worker"]] = job["end_time"]
    last = max(free)
    assert summary["simulated_seconds"] == last
    if last:
        occupied = sum(job["end_time"] - job["start_time"] for job in jobs)
        assert summary["busy_share"] == pytest.approx(occupied / (workers * last))
        assert summary["busy_share"] <= 1 + 1e-12


def check_trials(
    result: hbsim.Result, jobs: list[dict[str, Any]], decisions: list[dict[str, Any]], study: Study
) -> None:
    trials, summary = result.trials.to_dicts(), result.summary()
    assert list(dict.fromkeys(job["trial"] for job in jobs)) == list(range(len(trials)))
    limit = study.options["num_trials"]
    assert limit is None or len(trials) <= limit
    if limit is not None and study.max_time is None and study.max_reward is None:
        assert len(trials) == limit
        assert result.scheduler.done
        assert summary["running"] == 0
    for trial in trials:
        assert trial["status"] == result.scheduler.status(trial["trial"])
        assert trial["bracket"] == result.scheduler.bracket_of(trial["trial"])
    counts = Counter(trial["status"] for trial in trials)
    assert {name: summary[name] for name in STATUSES} == {name: counts[name] for name in STATUSES}
    assert (summary["trials"], summary["jobs"]) == (len(trials), len(jobs))
    check_verdicts(trials, jobs, decisions, lost_times(study.options))


def check_verdicts(
    trials: list[dict[str, Any]], jobs: list[dict[str, Any]], decisions: list[dict[str, Any]], retries: int
) -> None:
    ends = Counter(job["verdict"] for job in jobs)
    decided = Counter(row["verdict"] for row in decisions)
    assert set(ends) <= {*ENDED, "failed", "censored"}
    assert set(decided) <= {*ENDED, "continue"}
    assert {name: ends[name] for name in ENDED} == {name: decided[name] for name in ENDED}
    of_trial = defaultdict(list)
    for job in jobs:
        of_trial[job["trial"]].append(job)
    for trial in trials:
        stays = of_trial[trial["trial"]]
        assert [stay["attempt"] for stay in stays] == attempts(stays)
        assert all(stay["verdict"] in ("pause", "failed") for stay in stays[:-1])
        last = stays[-1]
        given_up = last["verdict"] == "failed" and last["attempt"] == retries
        assert trial["status"] == ENDED.get(last["verdict"], "failed" if given_up else "running")
    levels = [(row["trial"], row["level"]) for row in decisions]
    assert len(set(levels)) == len(levels)


def attempts(stays: list[dict[str, Any]]) -> list[int]:
    """An attempt's number is that of the failures before it."""
    counts = []
    failures = 0
    for stay in stays:
        counts.append(failures)
        failures += stay["verdict"] == "failed"
    return counts


def check_resource(result: hbsim.Result, jobs: list[dict[str, Any]]) -> None:
    """What was trained is what trials have, what was wasted, and what jobs that were cut had begun."""
    summary = result.summary()
    R = result.scheduler.levels[-1]
    assert all(0 <= job["start_resource"] <= job["stop_resource"] <= R for job in jobs)
    assert summary["trained_resource"] == pytest.approx(
        sum(job["stop_resource"] - job["start_resource"] for job in jobs)
    )
    assert -1e-9 <= summary["wasted_resource"] <= summary["trained_resource"] + 1e-9
    stands = dict(zip(result.trials["trial"], result.trials["resource"], strict=True))
    begun = sum(
        max(0.0, job["stop_resource"] - stands[job["trial"]]) for job in jobs if job["verdict"] == "censored"
    )
    assert summary["trained_resource"] == pytest.approx(
        summary["wasted_resource"] + sum(stands.values()) + begun
    )


def check_incumbent(result: hbsim.Result, decisions: list[dict[str, Any]]) -> None:
    sign = 1 if result.scheduler.mode == "max" else -1
    reports = [(row["time"], row["trial"], row["level"], row["value"]) for row in decisions]
    completed = {row["trial"] for row in decisions if row["verdict"] == "complete"}
    for at in ("any", "max_t"):
        rows = result.incumbent(at=at)
        values = [sign * value for value in rows["value"]]
        assert all(a < b for a, b in pairwise(values))
        places = [reports.index(row) for row in rows.rows()]
        assert places == sorted(places)
        assert at == "any" or set(rows["trial"]) <= completed
    best = result.incumbent()["value"]
    summary = result.summary()
    assert summary["best"] == (best[-1] if len(best) else None)
    assert summary["regret"] is None or summary["regret"] >= 0


@settings(max_examples=examples(40), deadline=None)
@given(
    type=st.sampled_from(["stopping", "fifo", "promotion"]), cluster=clusters(), num_trials=st.integers(1, 40)
)
def test_no_worker_waits_while_trials_can_start(type: str, cluster: hbsim.Cluster, num_trials: int) -> None:
    """Before the last trial has started every worker goes from job to job."""
    result = Study(
        type, {"max_t": 9, "num_trials": num_trials}, Synthetic(max_resource=9), cluster
    ).simulate()
    jobs = result.jobs.to_dicts()
    all_started = next(job["start_time"] for job in jobs if job["trial"] == num_trials - 1)
    free = [0.0] * cluster.workers
    for job in jobs:
        if job["start_time"] <= all_started:
            assert job["start_time"] == free[job["worker"]]
        free[job["worker"]] = job["end_time"]


def test_the_lower_worker_comes_first() -> None:
    """At time 0 and whenever all are free at once, jobs go to workers in order."""
    study = Study("fifo", {"max_t": 4, "num_trials": 9}, Ideal(4), hbsim.Cluster(workers=3))
    assert study.simulate().jobs["worker"].to_list() == [0, 1, 2] * 3


def test_an_incumbent_at_no_such_level() -> None:
    result = Study("fifo", {"max_t": 4, "num_trials": 2}, Ideal(4), hbsim.Cluster()).simulate()
    with pytest.raises(ParameterError) as caught:
        result.incumbent(at="R")  # type: ignore[arg-type]
    assert (caught.value.field, caught.value.value) == ("at", "R")
