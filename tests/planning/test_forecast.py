"""Forecasts: numbers by hand, intervals, budgets, and what more workers or money buy."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.errors import ParameterError
from hbsim.planning.forecast import QUANTITIES, group_weights, spread
from hbsim.planning.library import Task
from hbsim.planning.plan import prepare
from hbsim.planning.setting import Budget, parse_what_if
from tests.profile import examples, thorough


def task_of(name="task", group="group", rows=60, seed=0, cost=1.0, spread=0.0):
    """Return a task of 9 levels whose ranks never change; rows cost the same unless they `spread`."""
    random = np.random.default_rng(seed)
    levels = np.arange(1.0, 10.0)
    values = random.random((rows, 1)) - 1.0 / levels
    seconds = cost * np.exp(spread * random.standard_normal((rows, 1))) * levels
    return Task(name, group, "", "unit", "accuracy", "max", levels, values, seconds)


def planned(tasks=None, **changes):
    options = {"max_t": 9, "budget": "30s", "workers": 2, "unit_seconds": 1.0}
    tasks = [task_of()] if tasks is None else tasks
    return prepare(**{**options, **changes}, tasks=tasks).carry_out(1)


def test_numbers_of_runs_of_equal_length_are_those_by_hand():
    cluster = hbsim.Cluster(workers=2, price=3.6, checkpoint_size=2.0)
    made = planned(workers=None, cluster=cluster)
    fifo = next(one for one in made.forecasts if one.variant == "fifo").ranges
    by_hand = {
        "trials": 8,  # each worker starts one at 0, 9, 18 and 27 s
        "completed": 6,
        "first_full_result": 9,
        "busy_share": 1,
        "checkpoints": 0,
        "disk": 0,
        "machine_hours": 2 * 30 / 3600,
        "money": 2 * 30 / 3600 * 3.6,
    }
    assert list(by_hand) == list(QUANTITIES)
    for name, number in by_hand.items():
        assert fifo[name].median == pytest.approx(number), name
        exact = name in ("machine_hours", "money")  # nothing fails, so the budget says it
        assert fifo[name].low == pytest.approx(number if exact else 0.99 * number), name
        assert number in fifo[name] or (exact and fifo[name].high == pytest.approx(number))
        assert fifo[name].high <= 1.01 * number + 1e-12


def test_costs_of_the_cluster_are_in_the_forecast():
    cluster = hbsim.Cluster(workers=2, startup=1.0)
    fifo = planned(workers=None, cluster=cluster, budget="40s").forecasts[-1]
    assert fifo.variant == "fifo"
    assert fifo.ranges["first_full_result"].median == 10
    assert fifo.ranges["completed"].median == 8  # at 10, 20, 30 and 40 s


def test_a_forecast_is_what_a_simulation_of_the_same_curves_shows():
    task = task_of(spread=1.0)
    made = prepare(9, "40s", 3, 1.0, tasks=[task])
    study, scheduler = made.studies[0], made.shortlist[0].make("max", made.studies[0].seed)
    cluster = hbsim.Cluster(workers=3, checkpoint_size=1.0)
    result = hbsim.simulate(
        scheduler, study.curves, cluster=cluster, seed=study.seed, max_time=40.0, replace=True
    )
    made.studies = [study]
    found = made.carry_out(1).forecasts[0].ranges
    full = result.decisions.filter(result.decisions["verdict"] == "complete")["time"]
    assert found["trials"].median == result.scheduler.started
    assert found["completed"].median == len(full) > 0
    assert found["first_full_result"].median == full.min()
    assert found["checkpoints"].median == result.disk()["collected"].max()


def test_what_came_by_each_time_ends_at_the_forecast_and_never_falls():
    one = planned([task_of(spread=1.0, seed=n) for n in range(4)], budget="60s").forecasts[0]
    for name, quantity in (("started", "trials"), ("completed", "completed")):
        table, found = getattr(one, name), one.ranges[quantity]
        assert (table[0] <= table[1]).all()
        assert (table[1] <= table[2]).all()
        assert (np.diff(table, axis=1) >= 0).all()
        assert table[:, -1].tolist() == [found.low, found.median, found.high]


def test_a_long_study_is_simulated_in_part_and_goes_on_at_the_same_rate():
    made = prepare(9, f"{100 * 9 * 10}s", 2, 1.0, tasks=[task_of()])
    assert made.setting.horizon < made.setting.max_time
    short = dataclasses.replace(made.setting, budget=Budget(made.setting.horizon, "s"))
    fifo = made.carry_out(1).forecasts[-1]
    assert fifo.ranges["completed"].median == pytest.approx(2 * 1000, rel=0.03)
    assert fifo.ranges["machine_hours"].median == pytest.approx(2 * 9000 / 3600)
    assert short.max_time == short.horizon == made.setting.horizon


numbers = st.one_of(st.floats(-1e6, 1e6), st.just(math.inf))


@settings(max_examples=examples(100))
@given(st.lists(st.tuples(numbers, st.sampled_from("abc")), min_size=1, max_size=40))
def test_an_interval_holds_four_fifths_of_the_weight(values):
    weights = group_weights([group for _, group in values])
    assert weights.sum() == pytest.approx(1.0)
    column = np.abs([value for value, _ in values])
    found = spread(column, weights)
    assert found.low <= found.median <= found.high
    inside = (column >= found.low) & (column <= found.high)
    assert weights[inside].sum() >= 0.8 - 1e-9
    # It is no wider than it must be: an end is a value that occurred, 1 % further out.
    assert any(found.high == value * 1.01 for value in column)
    assert any(found.low == value * 0.99 for value in column)


def test_groups_weigh_the_same_however_many_tasks_they_have():
    weights = group_weights(["a", "b", "b", "b"])
    assert weights.tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])


def test_more_workers_and_more_time_never_buy_less():
    made = planned(
        [task_of(spread=1.0, seed=n) for n in range(3)],
        what_if={"workers": [1, 2, 4, 8], "budget": ["18s", "36s", "72s"]},
    )
    found = {(one.workers, one.budget): one for one in made.what_if}
    assert len(found) == 12
    for quantity in ("trials", "completed", "machine_hours"):
        table = np.array(
            [
                [found[workers, budget].ranges[quantity].median for budget in ("18s", "36s", "72s")]
                for workers in (1, 2, 4, 8)
            ]
        )
        assert (np.diff(table, axis=0) >= 0).all(), quantity
        assert (np.diff(table, axis=1) >= 0).all(), quantity
    assert found[8, "72s"].any_full_result >= found[1, "18s"].any_full_result
    assert made.scenarios.height == 13


@thorough
def test_the_same_seed_gives_the_same_plan_on_any_number_of_processes():
    tasks = [task_of(spread=1.0, seed=n) for n in range(2)]
    made = prepare(9, "20s", 2, 1.0, tasks=tasks)
    one, two = made.carry_out(1), made.carry_out(2)
    assert one.forecast.equals(two.forecast)
    assert one.comparison.equals(two.comparison)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (90, 90),
        ("90s", 90),
        ("1.5 h", 5400),
        ("30min", 1800),
        ("2d", 172_800),
        ("30runs", 30 * 81 / 4),  # 30 runs of 81 s, shared by four workers
        ("8usd", 3600),
        ("16 EUR", 7200),
    ],
)
def test_budgets_are_seconds(text, seconds):
    cluster = hbsim.Cluster(workers=4, price=2.0)
    assert Budget.parse(text).seconds(cluster, 81.0) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "h", "24x", "-3h", "0h", None, True, "1e3h", "nan"])
def test_other_budgets_are_an_error(text):
    with pytest.raises(ParameterError, match="budget="):
        Budget.parse(text)


def test_without_seconds_a_full_run_is_the_unit_of_time():
    made = planned(unit_seconds=None, budget="8runs")
    fifo = made.forecasts[-1].ranges
    assert (fifo["first_full_result"].median, fifo["completed"].median) == (1, 8)
    assert "max_time" not in made.run_options()


def test_the_number_of_trials_is_the_largest_whose_whole_study_stays_within_a_budget_in_runs():
    tasks = [task_of(spread=1.0, seed=n) for n in range(4)]
    made = prepare(9, "12runs", 2, tasks=tasks)
    plan = made.carry_out(1)
    count = plan.run_options()["num_trials"]
    assert 0 < count < plan.forecasts[0].ranges["trials"].median  # then promotions go on

    def longest(trials):
        found = []
        for study in made.studies:
            scheduler = hbsim.make_scheduler(
                "promotion", max_t=9, mode="max", seed=study.seed, num_trials=trials
            )
            result = hbsim.simulate(scheduler, study.curves, workers=2, seed=study.seed, replace=True)
            found.append(result.trials["trained_seconds"].sum())
        return max(found)

    assert longest(count) <= 12
    assert longest(max(count + 2, round(1.1 * count))) > 12


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"budget": "8s"}, "budget", "is over after 0.89 of a full run"),
        ({"budget": "1runs"}, "budget", "all 2 workers share it"),
        ({"workers": 0}, "workers", "at least 1"),
        ({"unit_seconds": None}, "unit_seconds", "is needed"),
        ({"unit_seconds": None, "budget": "9runs", "workers": None,
          "cluster": hbsim.Cluster(startup=3)}, "unit_seconds", "costs are seconds"),
        ({"unit_seconds": 0}, "unit_seconds", "above 0"),
        ({"budget": "5usd"}, "budget", "needs what the machines cost"),
        ({"max_t": 1}, "max_t", "must be above grace_period=1"),
        ({"what_if": {"gpus": [3]}}, "what_if", "workers or budget"),
        ({"what_if": ["workers=x"]}, "what_if", "whole number"),
        ({"what_if": "budget=1s"}, "budget", "is over after"),
        ({"what_if": ["workers"]}, "what_if", "NAME=VALUE"),
        ({"metric": "loss"}, "metric", "is for a pilot"),
        ({"seed": -1}, "seed", "at least 0"),
    ],
)  # fmt: skip
def test_bad_input_names_the_field_and_the_rule(changes, field, rule):
    with pytest.raises(ParameterError) as caught:
        planned(**changes)
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_a_picture_shows_half_and_twice_the_workers_where_these_make_sense():
    def workers(**changes):
        made = prepare(**{"max_t": 9, "budget": "30s", "unit_seconds": 1.0, **changes}, around=True)
        return [one.cluster.workers for one in made.others]

    assert workers(workers=4) == [2, 4, 8]
    assert workers(workers=1) == [1, 2]
    assert workers(workers=4, budget="6runs") == [2, 4]  # eight would train three quarters of a run each
    assert workers(cluster=hbsim.Cluster(schedule=[(0, 2), (10, 4)])) == []
    assert workers(workers=4, what_if="workers=3") == [3]


def test_what_if_is_about_machines_that_can_be_counted():
    cluster = hbsim.Cluster(schedule=[(0, 2), (10, 4)])
    with pytest.raises(ParameterError, match="say how many workers there are"):
        planned(workers=None, cluster=cluster, what_if="workers=3")
    assert parse_what_if("workers=4,8") == {"workers": [4, 8]}
