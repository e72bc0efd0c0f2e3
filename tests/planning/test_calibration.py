"""Forecasts hold on tasks that the library does not have: a short run of the published evaluation."""

from __future__ import annotations

import pytest

from benchmarks.plan_evaluation import Where, evaluate, summary
from hbsim.planning.library import library

WHERE = Where(workers=8, full_runs=3.0, variants=1, studies=22)


@pytest.fixture(scope="module")
def coverage():
    """By pilot and quantity: shares of studies in 80 % intervals, each group left out; and the widths."""
    groups: dict[str, list] = {}
    for task in library():
        groups.setdefault(task.group, []).append(task)
    tasks = [task for group in groups.values() for task in group[:4]]
    rows = summary(evaluate(tasks, [WHERE], [(10, "complete")], a_group=1).forecasts)
    return {(row["pilot"], row["quantity"]): row for row in rows.to_dicts()}


@pytest.mark.parametrize("pilot", ["none", "10 complete"])
@pytest.mark.parametrize("quantity", ["trials", "completed", "first_full_result"])
def test_intervals_hold_about_as_often_as_they_say(coverage, pilot, quantity):
    row = coverage[pilot, quantity]
    assert row["groups"] == len({task.group for task in library()})
    assert 0.6 <= row["covered"] <= 0.97
    assert row["width"] < {"trials": 2.5, "completed": 3.5, "first_full_result": 1.3}[quantity]
