"""How a study ends: by its trials, its time or its reward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.simulation.trace import Absence, Trace
from hbsim.surrogates import Ideal

from .surrogates import Formula, Rows

FALLING = Formula(lambda row, level: -row + 0 * level)


def run(max_time: float | None, type: str = "stopping", **cluster: Any) -> hbsim.Result:
    """Levels 1, 3 and 9; trial 0 goes on to R, those after it stop at 1."""
    scheduler = make_scheduler(type, max_t=9)
    made = hbsim.Cluster(**{"workers": 1, **cluster})
    return hbsim.simulate(scheduler, FALLING, cluster=made, searcher=Rows(), max_time=max_time)


def last(result: hbsim.Result) -> tuple[Any, ...]:
    columns = ("trial", "start_time", "train_start", "end_time", "stop_resource", "value", "verdict")
    return result.jobs.select(columns).row(-1)


def test_running_jobs_are_cut_and_censored() -> None:
    result = run(4.5)
    assert last(result) == (0, 0, 0, 4.5, 4.5, 0, "censored")
    assert result.trials.row(0, named=True) == {
        "trial": 0,
        "bracket": 0,
        "status": "running",
        "resource": 3,
        "best": 0,
        "final": 0,
        "trained_seconds": 4.5,
    }
    summary = result.summary()
    assert (summary["running"], summary["simulated_seconds"], summary["busy_share"]) == (1, 4.5, 1)
    assert (summary["trained_resource"], summary["wasted_resource"]) == (4.5, 0)


def test_before_the_first_milestone_there_is_no_value() -> None:
    result = run(0.5)
    assert last(result) == (0, 0, 0, 0.5, 0.5, None, "censored")
    assert result.decisions.is_empty()
    assert result.summary()["best"] is None


def test_what_happens_at_exactly_that_time_counts() -> None:
    result = run(9)
    assert result.decisions["verdict"].to_list() == ["continue", "continue", "complete"]
    assert result.trials["status"][0] == "completed"
    just_before = run(np.nextafter(9.0, 0.0))
    assert just_before.decisions["verdict"].to_list() == ["continue", "continue"]
    assert last(just_before)[-1] == "censored"


def test_a_start_at_exactly_that_time_counts_too() -> None:
    result = run(9)
    assert last(result) == (1, 9, 9, 9, 0, None, "censored")
    assert result.summary()["trials"] == 2


def test_cut_while_it_starts_up() -> None:
    """It never trained: no train_start, and nothing reached."""
    result = run(0.5, startup=1)
    assert last(result) == (0, 0, None, 0.5, 0, None, "censored")
    assert result.trials["trained_seconds"].to_list() == [0]


def test_cut_while_it_loads() -> None:
    options = {"max_t": 3, "num_trials": 3, "straight_on": False}
    scheduler = make_scheduler("promotion", **options)
    cluster = hbsim.Cluster(workers=1, load=2)
    result = hbsim.simulate(scheduler, FALLING, cluster=cluster, searcher=Rows(), max_time=4)
    assert last(result) == (0, 3, None, 4, 1, None, "censored")
    assert result.trials["status"].to_list() == ["running", "paused", "paused"]


def test_cut_while_it_saves() -> None:
    """The pause was decided; the stay is cut."""
    scheduler = make_scheduler("promotion", max_t=3, num_trials=1)
    cluster = hbsim.Cluster(workers=1, save=5)
    result = hbsim.simulate(scheduler, FALLING, cluster=cluster, searcher=Rows(), max_time=2)
    assert last(result) == (0, 0, 0, 2, 1, 0, "pause")
    assert result.summary()["simulated_seconds"] == 2


@pytest.mark.parametrize(("report", "reached"), [("blocking", 1), ("async", 1.75)])
def test_cut_while_a_decision_is_on_its_way(report: str, reached: float) -> None:
    result = run(1.75, report_delay=1, report=report)
    assert last(result) == (0, 0, 0, 1.75, reached, None, "censored")
    assert result.decisions.is_empty()


def test_time_beyond_the_end_changes_nothing() -> None:
    scheduler = [make_scheduler("promotion", max_t=9, num_trials=20) for _ in range(2)]
    a = hbsim.simulate(scheduler[0], "ideal:max_resource=9", workers=3)
    b = hbsim.simulate(scheduler[1], "ideal:max_resource=9", workers=3, max_time=1e9)
    assert a.jobs.equals(b.jobs)
    assert a.summary() == b.summary()


def test_a_shorter_study_is_the_beginning_of_a_longer_one() -> None:
    long = run(200, workers=3, startup=0.25)
    short = run(77.7, workers=3, startup=0.25)
    until = long.decisions.filter(long.decisions["time"] <= 77.7)
    assert short.decisions.equals(until)
    started = long.jobs.filter(long.jobs["start_time"] <= 77.7)
    assert short.jobs["trial"].equals(started["trial"])
    assert short.jobs["start_time"].equals(started["start_time"])


# max_reward

RISING = Formula(lambda row, level: row + 0 * level)


def rewarded(reward: float, mode: str = "max", **options: Any) -> hbsim.Result:
    scheduler = make_scheduler("fifo", max_t=4, mode=mode, **options)
    surrogate = RISING if mode == "max" else Formula(lambda row, level: -row + 0 * level, mode="min")
    return hbsim.simulate(scheduler, surrogate, workers=2, searcher=Rows(), max_reward=reward)


@pytest.mark.parametrize(("mode", "reward"), [("max", 3), ("max", 2.5), ("min", -3), ("min", -2.5)])
def test_the_study_ends_as_soon_as_a_value_is_as_good(mode: str, reward: float) -> None:
    """Trials 2 and 3 end together at 8; nothing starts after."""
    result = rewarded(reward, mode)
    assert result.jobs.select("trial", "end_time", "verdict").rows() == [
        (0, 4, "complete"),
        (1, 4, "complete"),
        (2, 8, "complete"),
        (3, 8, "complete"),
    ]
    assert abs(result.summary()["best"]) == 3


def test_what_runs_then_is_censored() -> None:
    """At 8 the lower worker's trial 2 is good enough: that of the other one, due then too, is cut."""
    result = rewarded(2)
    assert result.jobs.select("trial", "end_time", "stop_resource", "verdict").rows()[2:] == [
        (2, 8, 4, "complete"),
        (3, 8, 4, "censored"),
    ]
    assert result.decisions["trial"].to_list() == [0, 1, 2]


def test_a_reward_at_a_milestone_on_the_way() -> None:
    scheduler = make_scheduler("stopping", max_t=9)
    result = hbsim.simulate(scheduler, RISING, workers=1, searcher=Rows(), max_reward=0)
    assert result.jobs.select("end_time", "stop_resource", "value", "verdict").rows() == [
        (1, 1, 0, "censored")
    ]
    assert result.decisions["verdict"].to_list() == ["continue"]


def test_a_reward_that_is_never_reached_ends_by_the_trials() -> None:
    result = rewarded(100, num_trials=5)
    assert result.summary()["completed"] == 5


def test_values_that_are_no_numbers_are_no_reward() -> None:
    surrogate = Formula(lambda row, level: np.where(row < 3, np.nan, 1.0) + 0 * level)
    scheduler = make_scheduler("fifo", max_t=4, num_trials=9)
    result = hbsim.simulate(scheduler, surrogate, workers=1, searcher=Rows(), max_reward=0.5)
    assert result.decisions["value"].to_list() == [None, None, None, 1.0]


def test_the_earlier_of_time_and_reward() -> None:
    for max_time, trials in ((5.0, 4), (20.0, 6)):
        scheduler = make_scheduler("fifo", max_t=4)
        result = hbsim.simulate(
            scheduler, RISING, workers=2, searcher=Rows(), max_time=max_time, max_reward=5
        )
        assert result.summary()["trials"] == trials
        assert result.summary()["simulated_seconds"] == min(max_time, 12)


def test_promotions_drain_after_the_last_trial() -> None:
    """All nine have started at 1; the best are promoted until none can be."""
    scheduler = make_scheduler("promotion", max_t=9, num_trials=9, straight_on=False)
    result = hbsim.simulate(scheduler, FALLING, workers=9, searcher=Rows())
    assert result.jobs["start_time"].max() > 0
    assert result.summary()["completed"] == 1
    assert result.summary()["paused"] == 8
    assert result.scheduler.done


def test_what_failed_trials_had_reached_and_saves_that_never_came() -> None:
    """Trial 0 reaches level 1 at 1: what it pauses with is cut off at 1.5, or what it trains on is lost."""
    absences = ((Absence(1.5, 9.0, True),), (Absence(2.0, 9.0, True),))
    cluster = hbsim.Cluster(trace=Trace("made", ("0", "1"), absences), save=1.0)
    scheduler = make_scheduler("promotion", max_t=9, num_trials=2, straight_on=False)
    summary = hbsim.simulate(scheduler, Ideal(9), cluster=cluster, max_time=5).summary()
    assert (summary["lost_saves"], summary["failed_resource"]) == (1, 0.0)
    stopping = make_scheduler("stopping", max_t=9, num_trials=2)
    summary = hbsim.simulate(stopping, Ideal(9), cluster=cluster, max_time=5).summary()
    assert (summary["failed"], summary["failed_resource"], summary["lost_saves"]) == (1, 1.0, 0)
