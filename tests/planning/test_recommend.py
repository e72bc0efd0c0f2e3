"""Recommendations: the default unless another variant is surely better, and what to avoid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.planning.recommend import MOST, normalised, recommended, standings
from tests.profile import examples

GROUPS = [f"group {n}" for n in range(12)]
NAMES = ["default", "other", "bad"]


def judged(other, bad=0.0, groups=GROUPS):
    """Return how two variants stand against a default of regret 1, with these differences in each group."""
    scores = np.ones((len(groups), 3))
    scores[:, 1] += other
    scores[:, 2] += bad
    return standings(scores, groups, NAMES)


@settings(max_examples=examples(50))
@given(
    st.lists(st.lists(st.floats(0, 100), min_size=4, max_size=4), min_size=1, max_size=6),
    st.floats(0.1, 10),
)
def test_regrets_are_0_for_the_best_and_1_for_the_median_variant(rows, factor):
    regrets = np.array(rows)
    worst = np.full(len(rows), 1e-9)
    found = normalised(regrets, worst)
    assert (found.min(axis=1) == 0).all()
    assert (found <= MOST).all()
    assert found == pytest.approx(normalised(factor * regrets, factor * worst), abs=1e-6)
    for row, score in zip(regrets, found, strict=True):
        unit = np.median(row) - row.min()
        if unit > 1e-6:
            assert score == pytest.approx(np.minimum((row - row.min()) / unit, MOST))


def test_words_follow_the_numbers_that_are_shown():
    random = np.random.default_rng(0)
    noise = random.standard_normal(12)
    noise -= noise.mean()
    wanted = {
        (-0.3, 0.05): "better",
        (-0.13, 0.35): "leans better",  # probable, but not beyond two standard errors
        (-0.06, 0.05): "much the same",
        (0.06, 0.05): "much the same",
        (0.0, 0.5): "not told apart",
        (0.2, 0.1): "leans worse",
        (0.8, 0.1): "avoid",
    }
    for (difference, spread), word in wanted.items():
        one = judged(difference + spread * noise)[1]
        assert one.judgement == word, one
        is_sure = not 0.1 < round(one.better, 2) < 0.9
        matters = abs(round(one.difference, 2)) >= 0.1
        assert (word == "not told apart") == (not is_sure)
        assert (word == "much the same") == (is_sure and not matters)


def test_what_is_the_same_everywhere_is_not_told_apart():
    assert [one.judgement for one in judged(0.0)] == ["default", "not told apart", "not told apart"]


def test_what_is_better_in_all_groups_is_run_unless_it_shows_no_full_result():
    random = np.random.default_rng(0)
    found = judged(-0.5 + 0.1 * random.standard_normal(12))
    assert [one.judgement for one in found][:2] == ["default", "better"]
    assert found[1].difference == pytest.approx(-0.5, abs=0.1)
    assert recommended(found, [0.9, 0.85, 1.0]) == 1
    assert recommended(found, [0.9, 0.5, 1.0]) == 0


def test_a_gain_in_a_few_groups_decides_nothing():
    other = np.where(np.arange(12) < 4, -4.0, 0.1)
    found = judged(other)
    assert found[1].difference < -1
    assert found[1].better > 0.95
    assert found[1].judgement == "leans better"
    assert recommended(found, [1, 1, 1]) == 0


def test_what_is_worse_in_most_groups_is_to_be_avoided():
    random = np.random.default_rng(1)
    found = judged(0.2, 2.0 + random.standard_normal(12))
    assert [one.judgement for one in found] == ["default", "leans worse", "avoid"]
    assert found[2].far_off > 0.9
    assert found[0].far_off == 0


def test_one_group_of_tasks_tells_nothing():
    found = judged(-1.0, 3.0, ["group"] * 12)
    assert {one.judgement for one in found} == {"default", "not told apart"}


def test_groups_count_once_however_many_tasks_they_have():
    groups = ["large"] * 10 + ["small"]
    found = judged(np.array([1.0] * 10 + [-1.0]), groups=groups)
    assert found[1].difference == pytest.approx(0.0)


def test_the_best_of_many_variants_without_a_difference_is_seldom_called_better():
    random = np.random.default_rng(5)
    names = ["default", *(f"variant {n}" for n in range(8))]
    wrong = 0
    for _ in range(60):
        scores = 1 + random.standard_normal((12, 9))
        wrong += any(one.judgement == "better" for one in standings(scores, GROUPS, names))
    assert wrong <= 12
