"""Equal time and equal resource, on cells by hand."""

from __future__ import annotations

import math

import pytest
from hbsim.bench.anytime import anytime
from hbsim.bench.scores import Budget, budgets, column, measure, score

from tests.bench.grids import cell

NAN = math.nan


def at(value: float) -> Budget:
    return Budget("time", value, None)


def test_time_is_the_earliest_end_and_resource_the_least():
    cells = [cell(0, [1], [1], end=7.0), cell(1, [1], [1], end=5.0), cell(2, [1], [1], end=9.0)]
    time, resource = budgets(cells, None)
    assert (time.axis, time.value, time.cell) == ("time", 5.0, cells[1])
    assert (resource.axis, resource.value, resource.cell) == ("resource", 10.0, cells[1])


def test_a_given_time_holds_whenever_studies_end():
    time, resource = budgets([cell(0, [1], [1], end=7.0), cell(1, [1], [1], end=5.0)], 6.0)
    assert (time.value, time.cell) == (6.0, None)
    assert resource.value == 10.0


def test_the_incumbent_is_the_last_one_reported_by_then():
    one = cell(0, [1.0, 3.0, 6.0], [0.3, 0.5, 0.1])
    found = [float(column([one], at(time), "regret")[0]) for time in (0.9, 1.0, 2.9, 3.0, 6.0, 99.0)]
    assert found == [pytest.approx(NAN, nan_ok=True), 0.3, 0.3, 0.5, 0.1, 0.1]


def test_resource_counts_separately():
    one = cell(0, [1.0, 3.0], [0.3, 0.1])  # reported when 2 and 6 units had been trained
    assert column([one], Budget("resource", 5.9, None), "regret")[0] == 0.3
    assert column([one], Budget("resource", 6.0, None), "regret")[0] == 0.1


def test_ranks_by_the_mean_at_that_time():
    slow = [cell(s, [1, 5], [0.9, 0.1 + s / 100]) for s in range(4)]
    quick = [cell(s, [1], [0.4 + s / 100]) for s in range(4)]
    early = score([slow, quick], at(4.0), "regret", "min")
    late = score([slow, quick], at(5.0), "regret", "min")
    assert [s.rank for s in early] == [2, 1]
    assert [s.rank for s in late] == [1, 2]
    assert late[0].interval.mean == pytest.approx(0.115)
    assert late[1].difference.mean == pytest.approx(0.3)
    assert [s.call for s in late] == ["best", "worse"]


def test_the_difference_is_paired():
    # Seeds differ far more than variants do; the pairs tell them apart all the same.
    luck = [0.1, 0.9, 0.4, 0.7, 0.2, 0.6]
    good = [cell(s, [1], [luck[s]]) for s in range(6)]
    bad = [cell(s, [1], [luck[s] + 0.01 + s / 1000]) for s in range(6)]
    first, second = score([good, bad], at(2.0), "regret", "min")
    assert second.interval.low < first.interval.mean < second.interval.high
    assert second.call == "worse"


def test_too_close_to_call():
    a = [cell(s, [1], [0.5 + (-1) ** s * 0.1]) for s in range(6)]
    b = [cell(s, [1], [0.51 - (-1) ** s * 0.1]) for s in range(6)]
    assert [s.call for s in score([a, b], at(2.0), "regret", "min")] == ["best", "too close to call"]


def test_more_is_better_where_values_are_maximised():
    a = [cell(s, [1], [0.1 + s]) for s in range(3)]
    b = [cell(s, [1], [0.2 + s]) for s in range(3)]
    assert [s.rank for s in score([a, b], at(2.0), "value", "max")] == [2, 1]
    assert [s.rank for s in score([a, b], at(2.0), "value", "min")] == [1, 2]
    assert [s.rank for s in score([a, b], at(2.0), "regret", "max")] == [1, 2]


def test_equal_scores_share_a_rank():
    a = [cell(s, [1], [0.1 + s]) for s in range(3)]
    worse = [cell(s, [1], [0.5 + s]) for s in range(3)]
    found = score([a, a, worse], at(2.0), "regret", "min")
    assert [s.rank for s in found] == [1, 1, 3]
    assert [s.call for s in found] == ["best", "best", "worse"]


def test_no_incumbent_yet_is_worse_than_any():
    late = [cell(0, [1], [0.0]), cell(1, [5], [0.0]), cell(2, [1], [0.0])]
    poor = [cell(s, [1], [9.0 + s]) for s in range(3)]
    never = [cell(s, [], []) for s in range(3)]
    found = score([late, poor, never], at(2.0), "regret", "min")
    assert [s.missing for s in found] == [1, 0, 3]
    assert [s.rank for s in found] == [2, 1, 3]
    assert [s.call for s in found] == ["no score", "best", "no score"]
    assert found[0].interval.mean == 0.0
    assert math.isnan(found[2].interval.mean)


def test_no_number_at_the_top_is_worse_than_any():
    diverged = [cell(s, [1, 2], [0.1, NAN]) for s in range(3)]
    found = score([diverged, [cell(s, [1], [0.5]) for s in range(3)]], at(3.0), "regret", "min")
    assert [s.rank for s in found] == [2, 1]
    assert found[0].missing == 3


def test_nobody_has_a_score():
    found = score([[cell(0, [5], [0.1])], [cell(0, [6], [0.1])]], at(2.0), "regret", "min")
    assert [s.rank for s in found] == [1, 1]
    assert [s.call for s in found] == ["no score", "no score"]


def test_values_count_where_the_optimum_is_unknown():
    assert measure([cell(0, [1], [0.1])]) == "regret"
    assert measure([cell(0, [1], [NAN]), cell(1, [], [])]) == "value"


def test_anytime_curves_hold_each_score_until_the_next():
    a = [cell(0, [1.0, 4.0], [0.8, 0.2]), cell(1, [2.0], [0.4])]
    (curve,) = anytime([a], at(3.0), "regret")
    means = dict(zip(curve.x.tolist(), curve.mean.tolist(), strict=True))
    assert curve.x[0] == 1.0
    assert math.isnan(curve.mean[0])  # seed 1 has none yet
    assert curve.seeds[0] == 1
    assert means[3.0] == pytest.approx(0.6)
    assert curve.x[-1] == 10.0
    assert curve.mean[-1] == pytest.approx(0.3)


def test_anytime_curves_end_with_the_first_study_but_not_before_the_budget():
    cells = [cell(0, [1.0], [0.5], end=4.0), cell(1, [1.0], [0.5], end=8.0)]
    assert anytime([cells], at(3.0), "regret")[0].x[-1] == 4.0
    assert anytime([cells], at(6.0), "regret")[0].x[-1] == 6.0


def test_no_incumbents_no_curves():
    assert anytime([[cell(0, [], [])]], at(3.0), "regret") == []
