"""Epochs expanded from jobs agree with what was decided at milestones."""

import numpy as np
import polars as pl
import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.surrogates import Ideal

DELAY = 0.5


@pytest.mark.parametrize("report", ["blocking", "async"])
@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("type", ["stopping", "promotion", "hyperband"])
def test_epochs_meet_the_milestones(type, resume, report):
    scheduler = make_scheduler(type, max_t=9, num_trials=20, retries=1)
    cluster = hbsim.Cluster(
        workers=3,
        startup=1,
        report_delay=DELAY,
        straggler_std=0.5,
        resume=resume,
        report=report,
        speed=[1, 2, 0.5],
    )
    result = hbsim.simulate(scheduler, "synthetic:max_resource=9", cluster=cluster, seed=3)
    epochs = result.epochs()
    told = epochs.join(result.decisions, left_on=["trial", "resource"], right_on=["trial", "level"])
    gap = (pl.col("time_right") - DELAY - pl.col("time")).abs()
    nearest = told.group_by("trial", "resource").agg(gap=gap.min())
    assert nearest.height == result.decisions.height
    assert nearest["gap"].max() < 1e-9
    matched = told.filter(gap < 1e-9)
    np.testing.assert_array_equal(matched["value"], matched["value_right"])


def test_every_whole_unit_of_a_job_has_a_row_in_order_of_time():
    result = hbsim.simulate(make_scheduler("promotion", max_t=27, num_trials=30), "synthetic:max_resource=27")
    epochs = result.epochs()
    assert epochs.height == result.summary()["trained_resource"]
    for job in epochs.partition_by("job"):
        assert (np.diff(job["time"]) > 0).all()
        assert (np.diff(job["resource"]) == 1).all()


def test_a_few_trials_only():
    result = hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=5), "synthetic:max_resource=9")
    epochs = result.epochs([3, 1])
    assert sorted(set(epochs["trial"])) == [1, 3]
    assert epochs.height == 18
    assert result.epochs([]).height == 0


def test_a_job_that_starts_at_a_milestone_waits_for_the_decision(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("worker,start,end,state\na,0,8,up\na,8,10,preempted\na,10,,up\n")
    # Told at 7 that it goes, while its report at 3 units is under way: it is saved, and reports again.
    cluster = hbsim.Cluster(trace=str(trace), notice=1, report_delay=2, decision_delay=1)
    scheduler = make_scheduler("stopping", max_t=9, num_trials=1, retries=1)
    result = hbsim.simulate(scheduler, Ideal(9), cluster=cluster)
    assert result.jobs["start_resource"].to_list() == [0, 3]
    assert result.decisions["time"].to_list() == [3, 12, 21]
    epochs = result.epochs()
    assert epochs["job"].to_list() == [0] * 3 + [1] * 6
    assert epochs["time"].to_list() == [1, 5, 6, 14, 15, 16, 17, 18, 19]
