from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hbsim.bench.cells import resource_at, run_cell
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.bench import Plan
from hbsim.errors import ParameterError
from hbsim.simulation import Cluster
from hbsim.surrogates import load
from tests.bench.grids import plan_of

HARSH = Cluster(
    workers=4, startup=0.5, report_delay=0.25, save=1.0, load=0.5, straggler_std=0.5, drop_rate=0.01
)


def naive_resource(jobs: pl.DataFrame, time: float) -> float:
    total = 0.0
    for job in jobs.iter_rows(named=True):
        if job["train_start"] is not None and job["train_start"] < time:
            span = job["end_time"] - job["train_start"]
            share = 1.0 if time >= job["end_time"] else (time - job["train_start"]) / span
            total += share * (job["stop_resource"] - job["start_resource"])
    return total


@pytest.mark.parametrize("variant", ["stopping", "promotion,brackets=2", "hyperband", "fifo"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), times=st.lists(st.floats(0, 100), max_size=4), harsh=st.booleans())
def test_resource_at_is_what_was_trained_by_then(variant: str, seed: int, times: list[float], harsh: bool):
    plan, surrogate = plan_of(variant, max_time=60.0, cluster=HARSH if harsh else None)
    result = plan.run(surrogate, 0, seed)
    times = [*times, *result.jobs["end_time"][:5].to_list(), result.end_time]
    found = resource_at(result.jobs, np.array(times))
    assert found.tolist() == pytest.approx([naive_resource(result.jobs, time) for time in times])
    assert found[-1] == pytest.approx(result.summary()["trained_resource"])


def test_resource_of_no_jobs_is_zero():
    plan, surrogate = plan_of("fifo")
    none = plan.run(surrogate, 0, 0).jobs.clear()
    assert resource_at(none, np.array([0.0, 5.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("surrogate", ["synthetic:mode=min,max_resource=9", "synthetic:max_resource=9"])
def test_incumbents_are_scored_by_what_they_show_at_the_top(surrogate: str):
    plan, curves = plan_of("promotion", surrogate=surrogate)
    result = plan.run(curves, 0, 1)
    cell = run_cell(plan, curves, 0, 1)
    incumbents = result.incumbent()
    assert cell.time.tolist() == incumbents["time"].to_list()
    assert cell.trial.tolist() == incumbents["trial"].to_list()
    rows = result.curves.configurations()[cell.trial]
    values, _ = curves.evaluate(rows, np.array([9.0]))
    assert cell.value.tolist() == pytest.approx(values[:, 0].tolist(), nan_ok=True)
    optimum = curves.optimum(9.0)
    assert optimum is not None
    assert cell.regret.tolist() == pytest.approx(np.abs(values[:, 0] - optimum).tolist(), nan_ok=True)
    assert cell.regret[-1] == pytest.approx(result.summary()["regret"])
    assert (np.diff(cell.resource) >= 0).all()
    assert cell.resource[-1] <= cell.total_resource
    assert np.isnan(cell.test).all()


def test_trial_i_is_the_same_under_every_variant_of_a_seed():
    plan, surrogate = plan_of("stopping", "promotion", "hyperband", "sha", "fifo")
    for seed in (0, 1):
        results = [plan.run(surrogate, variant, seed) for variant in range(5)]
        first = results[0].curves.configurations()
        for other in results[1:]:
            count = min(len(first), len(other.curves.configurations()))
            assert count >= 40
            assert np.array_equal(first[:count], other.curves.configurations()[:count])
    assert not np.array_equal(first, plan.run(surrogate, 0, 0).curves.configurations())


def test_no_incumbent_gives_empty_columns():
    plan, surrogate = plan_of("fifo", max_time=0.001)
    cell = run_cell(plan, surrogate, 0, 0)
    assert [len(column) for column in (cell.time, cell.value, cell.regret, cell.test)] == [0, 0, 0, 0]
    assert cell.at("time", 1.0) == -1


def test_a_plan_is_checked_before_work():
    plan, surrogate = plan_of("stopping", "promotion", vary=("brackets=1,9",))
    assert plan.check(surrogate) == [
        "stopping,brackets=9; promotion,brackets=9: brackets=9 is clipped to 3: that many fit between "
        "grace_period and max_t"
    ]
    assert plan.cells[:5] == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)]


def test_levels_that_curves_lack_are_found_before_work():
    plan, _ = plan_of("stopping", "stopping,grace_period=2")
    table = load("ideal:max_resource=9")
    table.resources = (1.0, 3.0, 9.0)
    with pytest.raises(ParameterError, match="grace_period"):
        plan.check(table)


def test_a_study_without_an_end_is_refused():
    plan, _ = plan_of("stopping")
    endless = type(plan.variants[0])("stopping", "stopping", {"max_t": 9})
    with pytest.raises(ParameterError, match="has no end"):
        Plan((endless,), plan.surrogate, range(2))
    assert Plan((endless,), plan.surrogate, range(2), max_time=5.0).max_t == 9


@pytest.mark.parametrize("seeds", [range(0), range(-1, 3)])
def test_seeds_that_cannot_be(seeds: range):
    plan, _ = plan_of("stopping")
    with pytest.raises(ParameterError, match="seed"):
        Plan(plan.variants, plan.surrogate, seeds)


def test_all_variants_are_scored_at_the_same_level():
    plan, _ = plan_of("stopping")
    other = type(plan.variants[0])("fifo", "fifo", {"max_t": 3, "num_trials": 4})
    with pytest.raises(ParameterError, match="max_t must be 9"):
        Plan((plan.variants[0], other), plan.surrogate, range(2))
