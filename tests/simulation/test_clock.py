"""Studies with a clock that can be checked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.surrogates import Ideal

from .surrogates import Formula, Rows

FALLING = Formula(lambda row, level: -row + 0 * level)  # trial 0 is best
RISING = Formula(lambda row, level: row + 0 * level)


def study(
    type: str,
    options: dict[str, Any],
    surrogate: Any = FALLING,
    max_time: float | None = None,
    **cluster: Any,
) -> hbsim.Result:
    """Run a study in which trial i is row i, and a unit takes a second."""
    scheduler = make_scheduler(type, **options)
    made = hbsim.Cluster(**cluster)
    return hbsim.simulate(scheduler, surrogate, cluster=made, searcher=Rows(), max_time=max_time)


def rows(result: hbsim.Result, *columns: str) -> list[tuple[Any, ...]]:
    return result.jobs.select(columns).rows()


@pytest.mark.parametrize(
    ("eta", "R", "workers", "resume", "first"),
    [(3, 9, 9, False, 13), (3, 9, 9, True, 9), (4, 256, 256, False, 341), (4, 256, 256, True, 256)],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_first_trial_at_R(eta: int, R: int, workers: int, resume: bool, first: int, seed: int) -> None:
    """Pausing and training from zero costs 13/9 of R, whichever trial is best."""
    scheduler = make_scheduler(
        "promotion", max_t=R, reduction_factor=eta, straight_on=False, num_trials=workers
    )
    cluster = hbsim.Cluster(workers=workers, resume=resume)
    result = hbsim.simulate(scheduler, Ideal(R), seed=seed, cluster=cluster)
    assert result.incumbent(at="max_t")["time"][0] == first


def test_straight_on_is_sooner_by_the_order_of_arrival() -> None:
    options = {"max_t": 9, "num_trials": 9}
    rising = study("promotion", options, RISING, workers=9, resume=False)
    assert rising.incumbent(at="max_t")["time"][0] == 9
    falling = study("promotion", options, FALLING, workers=9, resume=False)
    assert falling.incumbent(at="max_t")["time"][0] == 13


PAUSING = {"max_t": 3, "num_trials": 3, "straight_on": False}


def test_what_a_job_is_made_of() -> None:
    """Start-up 1, training, the decision 1/8 later, save 1/2; the promoted one loads for 1/4."""
    costs = {"startup": 1, "save": 0.5, "load": 0.25, "report_delay": 0.125}
    result = study("promotion", PAUSING, workers=1, **costs)
    assert rows(result, "trial", "start_time", "train_start", "end_time", "verdict") == [
        (0, 0.0, 1.0, 2.625, "pause"),
        (1, 2.625, 3.625, 5.25, "pause"),
        (2, 5.25, 6.25, 7.875, "pause"),
        (0, 7.875, 9.125, 11.25, "complete"),
    ]
    assert result.decisions["time"].to_list() == [2.125, 4.75, 7.375, 11.25]
    assert rows(result, "start_resource", "stop_resource") == [(0, 1), (0, 1), (0, 1), (1, 3)]
    assert result.trials["trained_seconds"].to_list() == [3, 1, 1]
    assert result.summary()["busy_share"] == 1


def test_without_resume_nothing_is_saved_or_loaded_and_training_is_from_zero() -> None:
    costs = {"startup": 1, "save": 0.5, "load": 0.25, "resume": False}
    result = study("promotion", PAUSING, workers=1, **costs)
    assert rows(result, "trial", "start_time", "train_start", "end_time", "start_resource") == [
        (0, 0, 1, 2, 0),
        (1, 2, 3, 4, 0),
        (2, 4, 5, 6, 0),
        (0, 6, 7, 10, 0),
    ]
    summary = result.summary()
    assert (summary["trained_resource"], summary["wasted_resource"]) == (6, 1)
    assert result.trials["trained_seconds"].to_list() == [4, 1, 1]


def test_a_checkpoint_is_not_loaded_before_it_is_saved() -> None:
    """Trial 0 is promoted by a third worker at 1, when two are pausing; its save ends at 6."""
    options = {"max_t": 2, "reduction_factor": 2, "num_trials": 2, "straight_on": False}
    result = study("promotion", options, workers=3, save=5, load=1)
    assert rows(result, "trial", "worker", "start_time", "train_start", "end_time") == [
        (0, 0, 0, 0, 6),
        (1, 1, 0, 0, 6),
        (0, 2, 1, 7, 8),
    ]
    started = study("promotion", options, workers=3, save=5, load=1, startup=7)
    assert rows(started, "start_time", "train_start", "end_time")[2] == (8, 16, 17)


def test_a_worker_is_held_while_it_saves() -> None:
    options = {"max_t": 2, "reduction_factor": 2, "num_trials": 3, "straight_on": False}
    result = study("promotion", options, RISING, workers=1, save=5)
    assert rows(result, "trial", "start_time", "end_time")[:2] == [(0, 0, 6), (1, 6, 12)]
    assert result.decisions["time"].to_list()[:2] == [1, 7]


STOPPING = {"max_t": 4, "reduction_factor": 2, "num_trials": 2}


def test_blocking_reports_make_training_wait() -> None:
    result = study("stopping", STOPPING, workers=1, report_delay=0.5)
    assert result.decisions.select("time", "trial", "level", "verdict").rows() == [
        (1.5, 0, 1, "continue"),
        (3.0, 0, 2, "continue"),
        (5.5, 0, 4, "complete"),
        (7.0, 1, 1, "stop"),
    ]
    assert rows(result, "stop_resource", "end_time") == [(4, 5.5), (1, 7)]
    assert result.summary()["wasted_resource"] == 0
    assert result.trials["trained_seconds"].to_list() == [4, 1]


def test_async_reports_let_it_run_on_until_the_stop_arrives() -> None:
    result = study("stopping", STOPPING, workers=1, report_delay=0.5, report="async")
    assert result.decisions.select("time", "trial", "level", "verdict").rows() == [
        (1.5, 0, 1, "continue"),
        (2.5, 0, 2, "continue"),
        (4.5, 0, 4, "complete"),
        (6.0, 1, 1, "stop"),
    ]
    assert rows(result, "stop_resource", "end_time") == [(4, 4.5), (1.5, 6)]
    assert result.summary()["wasted_resource"] == 0.5
    assert result.trials["trained_seconds"].to_list() == [4, 1.5]
    assert result.trials["resource"].to_list() == [4, 1]


def test_async_overrun_may_pass_milestones_but_not_R() -> None:
    """The decision takes 10 seconds: training is at R long before, and its report comes to nothing."""
    result = study("stopping", STOPPING, workers=1, report_delay=10, report="async")
    assert rows(result, "stop_resource", "start_time", "end_time", "verdict") == [
        (4, 0, 14, "complete"),
        (4, 14, 25, "stop"),
    ]
    assert result.decisions["level"].to_list() == [1, 2, 4, 1]
    assert result.decisions["time"].to_list() == [11, 12, 14, 25]
    assert result.summary()["wasted_resource"] == 3
    assert result.trials["trained_seconds"].to_list() == [4, 4]


def test_async_overrun_of_a_pause_is_trained_again() -> None:
    result = study("promotion", PAUSING, workers=1, report_delay=0.5, report="async")
    assert rows(result, "start_resource", "stop_resource", "end_time", "verdict") == [
        (0, 1.5, 1.5, "pause"),
        (0, 1.5, 3.0, "pause"),
        (0, 1.5, 4.5, "pause"),
        (1, 3, 7.0, "complete"),
    ]
    assert result.summary()["wasted_resource"] == 1.5


def test_speeds() -> None:
    result = study("fifo", {"max_t": 4, "num_trials": 4}, workers=2, speed=[1, 2], startup=1)
    assert rows(result, "trial", "worker", "start_time", "end_time") == [
        (0, 0, 0, 5),
        (1, 1, 0, 3),
        (2, 1, 3, 6),
        (3, 0, 5, 10),
    ]
    same = study("fifo", {"max_t": 4, "num_trials": 1}, workers=2, speed=0.5)
    assert same.jobs["end_time"].to_list() == [8]


def test_stragglers_take_the_factor_of_each_stretch() -> None:
    options = {"max_t": 4, "reduction_factor": 2, "num_trials": 1}
    result = study("stopping", options, workers=1, straggler_std=0.56, speed=2)
    factors = [s / f for s, f in zip(result.curves.seconds[:3], (1, 1, 2), strict=True)]
    assert min(factors) > 1
    ends = [factors[0] / 2, (factors[0] + factors[1]) / 2, (factors[0] + factors[1] + 2 * factors[2]) / 2]
    assert result.decisions["time"].to_list() == pytest.approx(ends)


def test_of_simultaneous_events_ends_come_before_starts_then_the_lower_worker() -> None:
    """All four end at 1: the third and the fourth record see those before them; then workers ask."""
    options = {"max_t": 2, "reduction_factor": 2, "num_trials": 6, "straight_on": False}
    surrogate = Formula(lambda row, level: (row * 7) % 4 + 0 * level)
    result = study("promotion", options, surrogate, workers=4)
    first = result.decisions.head(4)
    assert first.select("time", "trial", "n_before").rows() == [(1, 0, 0), (1, 1, 1), (1, 2, 2), (1, 3, 3)]
    # Of 0, 3, 2, 1 the two best go on, on the lower workers; new trials start on the others.
    assert rows(result, "trial", "worker", "start_time")[4:8] == [(1, 0, 1), (2, 1, 1), (4, 2, 1), (5, 3, 1)]


def test_a_failed_job_frees_its_worker_at_once_and_the_retry_comes_first() -> None:
    """What was trained since the milestone is lost; a retry loads where the trial stands."""
    scheduler = make_scheduler("stopping", max_t=9, num_trials=6, retries=5, seed=0)
    cluster = hbsim.Cluster(workers=2, drop_rate=0.05, startup=0.5, load=0.25)
    result = hbsim.simulate(scheduler, RISING, cluster=cluster, searcher=Rows(), seed=4)
    jobs = result.jobs.to_dicts()
    lost = [job for job in jobs if job["verdict"] == "failed"]
    assert len(lost) >= 3
    assert {job["start_resource"] > 0 for job in jobs if job["attempt"]} == {True, False}
    waste = 0.0
    for job in jobs:
        goes_on = job["start_resource"] > 0
        if job["train_start"] is not None:
            assert job["train_start"] == job["start_time"] + 0.5 + 0.25 * goes_on
        if job["verdict"] == "failed":
            again = next(j for j in jobs if j["trial"] == job["trial"] and j["job"] > job["job"])
            assert again["start_time"] == job["end_time"]
            assert again["worker"] == job["worker"]
            assert again["attempt"] == job["attempt"] + 1
            waste += job["stop_resource"] - again["start_resource"]
    assert result.summary()["wasted_resource"] == pytest.approx(waste)
    assert result.summary()["failed"] == 0


def test_a_failure_for_good_without_retries() -> None:
    scheduler = make_scheduler("fifo", max_t=100, num_trials=40)
    result = hbsim.simulate(scheduler, Ideal(100), workers=4, cluster=hbsim.Cluster(workers=4, drop_rate=0.5))
    assert result.summary()["failed"] == 40
    assert result.jobs["verdict"].unique().to_list() == ["failed"]
    assert result.jobs["value"].null_count() == 40
    assert result.decisions.is_empty()
    assert result.incumbent().is_empty()
    summary = result.summary()
    assert (summary["best"], summary["regret"]) == (None, None)
    assert summary["wasted_resource"] == summary["trained_resource"] > 0


def test_what_is_cut_off_just_before_a_level_is_not_beyond_it() -> None:
    """In floats 0.3 + (0.9 - 0.3) is above 0.9."""
    options = {"max_t": 0.9, "grace_period": 0.1, "resource_type": "float", "num_trials": 1}
    for cost in np.linspace(0.5, 2.0, 50):
        curves = Formula(lambda row, level: -row + 0 * level, lambda row, level, c=cost: c * level + 0 * row)
        end = study("stopping", options, curves).end_time
        cut = study("stopping", options, curves, max_time=math.nextafter(end, 0))
        assert 0.899 < cut.jobs["stop_resource"][0] <= 0.9
