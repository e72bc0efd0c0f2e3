"""The resource that jobs had trained by a time, against a loop over the jobs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.bench.sweep.cell import resource_at
from hbsim.core import make_scheduler
from hbsim.simulation import Cluster
from tests.profile import examples

HARSH = Cluster(
    workers=4, startup=0.5, report_delay=0.25, save=1.0, load=0.5, straggler_std=0.5, drop_rate=0.01
)
TYPES = {"stopping": {}, "promotion": {"brackets": 2}, "hyperband": {}, "fifo": {}}


def study(type: str, seed: int, harsh: bool = False) -> hbsim.Result:
    own = TYPES[type]
    scheduler = make_scheduler(type, max_t=9, mode="min", num_trials=40, seed=seed, **own)  # type: ignore[arg-type]
    cluster = HARSH if harsh else Cluster(workers=4)
    curves = "synthetic:mode=min,max_resource=9"
    return hbsim.simulate(scheduler, curves, seed=seed, cluster=cluster, max_time=60.0)


def naive_resource(jobs: pl.DataFrame, time: float) -> float:
    total = 0.0
    for job in jobs.iter_rows(named=True):
        if job["train_start"] is not None and job["train_start"] < time:
            span = job["end_time"] - job["train_start"]
            share = 1.0 if time >= job["end_time"] else (time - job["train_start"]) / span
            total += share * (job["stop_resource"] - job["start_resource"])
    return total


@pytest.mark.parametrize("type", TYPES)
@settings(max_examples=examples(10), deadline=None)
@given(seed=st.integers(0, 99), times=st.lists(st.floats(0, 100), max_size=4), harsh=st.booleans())
def test_it_is_what_was_trained_by_then(type: str, seed: int, times: list[float], harsh: bool):
    result = study(type, seed, harsh)
    times = [*times, *result.jobs["end_time"][:5].to_list(), result.end_time]
    found = resource_at(result.jobs, np.array(times))
    assert found.tolist() == pytest.approx([naive_resource(result.jobs, time) for time in times])
    assert found[-1] == pytest.approx(result.summary()["trained_resource"])


def test_of_no_jobs_it_is_zero():
    assert resource_at(study("fifo", 0).jobs.clear(), np.array([0.0, 5.0])).tolist() == [0.0, 0.0]


def test_trial_i_is_the_same_under_every_variant_of_a_seed():
    first = study("fifo", 1).curves.configurations()
    for type in TYPES:
        other = study(type, 1).curves.configurations()
        count = min(len(first), len(other))
        assert count >= 30
        assert np.array_equal(first[:count], other[:count])
    assert not np.array_equal(first, study("fifo", 0).curves.configurations())
