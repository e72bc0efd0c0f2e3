"""Epochs expanded from jobs agree with what was decided at milestones."""

import numpy as np
import polars as pl
import pytest

import hbsim
from hbsim.core import make_scheduler

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
