"""How often the tests reject, where nothing differs and where something does: by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from hbsim.bench.statistics import (
    across_tasks,
    block_ranks,
    compare_pairs,
    critical_difference,
    friedman,
    holm,
    holm_pairs,
    least_pairs,
    seed_means,
    seeds_needed,
    signed_rank,
    verdict,
)
from hbsim.errors import ParameterError

REPEATS = 200
SEEDS = 20
Draw = Callable[[np.random.Generator, int], np.ndarray]


def at_most(share: float, repeats: int) -> float:
    """Return the most rejections that chance allows a test of that rate: three standard deviations."""
    return share * repeats + 3 * math.sqrt(repeats * share * (1 - share))


def alike(random: np.random.Generator, variants: int) -> np.ndarray:
    """Seeds matter much more than variants, as with common random numbers."""
    return 3.0 * random.normal(size=(SEEDS, 1)) + random.normal(size=(SEEDS, variants))


def few_values(random: np.random.Generator, variants: int) -> np.ndarray:
    """Half of the studies end with the seed's usual incumbent, of few values."""
    usual = random.integers(4, size=(SEEDS, 1)) / 4
    return np.where(
        random.random((SEEDS, variants)) < 0.5, usual, random.integers(4, size=(SEEDS, variants)) / 4
    )


def skewed_with_missing(random: np.random.Generator, variants: int) -> np.ndarray:
    scores = random.exponential(size=(SEEDS, 1)) * random.lognormal(size=(SEEDS, variants))
    return np.where(random.random(scores.shape) < 0.05, np.nan, scores)


def independent(random: np.random.Generator, variants: int) -> np.ndarray:
    return random.normal(size=(SEEDS, variants))


@pytest.mark.parametrize("draw", [alike, few_values, skewed_with_missing, independent])
def test_of_variants_that_are_the_same_few_families_call_any(draw: Draw):
    random = np.random.default_rng(10)
    false = sum(np.nanmin(holm_pairs(draw(random, 5))) <= 0.05 for _ in range(REPEATS))
    assert false <= at_most(0.05, REPEATS)


def test_a_family_of_those_with_the_best_alone_would_call_too_many():
    """Why `holm_pairs` counts all pairs: which variant is the best is read off the same seeds."""
    random = np.random.default_rng(11)
    false = false_alone = 0
    for _ in range(REPEATS):
        scores = independent(random, 10)
        best = int(scores.mean(axis=0).argmin())
        with_best = [
            signed_rank(scores[:, other] - scores[:, best]).p for other in range(10) if other != best
        ]
        false += np.nanmin(holm_pairs(scores)) <= 0.05
        false_alone += holm(np.array(with_best)).min() <= 0.05
    assert false <= at_most(0.05, REPEATS) < false_alone


def test_two_percent_are_found_by_pairs_and_missed_without():
    random = np.random.default_rng(12)
    paired = unpaired = 0
    for _ in range(REPEATS):
        usual = random.lognormal(sigma=0.3, size=SEEDS)
        other = 1.02 * usual * random.lognormal(sigma=0.02, size=SEEDS)
        paired += signed_rank(other - usual).p <= 0.05
        unpaired += mannwhitneyu(other, usual).pvalue <= 0.05
    assert paired >= 0.8 * REPEATS
    assert unpaired <= 0.2 * REPEATS


def test_a_planted_difference_is_called_and_its_effects_say_which_way():
    random = np.random.default_rng(13)
    usual = random.lognormal(sigma=0.3, size=SEEDS)
    found = compare_pairs(1.02 * usual * random.lognormal(sigma=0.02, size=SEEDS), usual)
    assert verdict(found, found.p) == "worse"
    assert found.difference.low > 0.0
    assert found.rank_biserial > 0.3
    assert found.d_z > 0.3
    assert found.superiority < 0.5


PLACES = (np.arange(400) + 0.5) / 400
NORMAL = norm.ppf(PLACES)
SHAPES = {
    "normal": NORMAL + 0.5,
    "skewed towards the difference": 0.5 - np.log1p(-PLACES) - 1.0,
    "skewed against it": 1.4 + np.log1p(-PLACES),
    "heavy tails": NORMAL**3 + 0.3,
    "ties": np.round(1.5 * NORMAL + 0.6),
    "mostly zeros": np.select([PLACES < 0.6, PLACES < 0.9], [0.0, 1.0], -1.0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_with_the_seeds_needed_the_power_is_what_was_asked_for(shape: str):
    n = seeds_needed(SHAPES[shape])
    assert n is not None
    random = np.random.default_rng(14)
    found = sum(signed_rank(random.choice(SHAPES[shape], n)).p <= 0.05 for _ in range(800))
    assert found / 800 == pytest.approx(0.8, abs=0.065)


def test_seeds_needed_by_a_table():
    """J. Cohen, "A Power Primer", Psychological Bulletin 112, 1992, and Wilcoxon's pi/3: 34 pairs for 0.5."""
    assert seeds_needed(NORMAL + 0.5) == math.ceil(34 * math.pi / 3)


def test_more_seeds_for_less():
    needed = [seeds_needed(NORMAL + effect) for effect in (0.02, 0.1, 0.5, 2.0)]
    assert None not in needed
    assert sorted(needed, key=lambda n: n or 0) == needed[::-1]
    assert seeds_needed(NORMAL - 0.1) == needed[1]
    assert (seeds_needed(NORMAL + 0.5, alpha=0.005) or 0) > (needed[2] or 0)
    assert (seeds_needed(NORMAL + 0.5, power=0.95) or 0) > (needed[2] or 0)


def test_where_no_number_of_seeds_is_enough():
    assert seeds_needed(NORMAL) is None
    assert seeds_needed(NORMAL + 0.5, most=30) is None
    assert seeds_needed(NORMAL + 1e-4) is None
    assert seeds_needed(np.zeros(9)) is None
    assert seeds_needed(np.array([0.3])) is None
    assert seeds_needed(np.array([np.nan, np.inf, 0.3])) is None


def test_the_clearest_difference_needs_as_many_as_any_test():
    assert seeds_needed(np.full(3, 0.1)) == least_pairs() == 6
    assert seeds_needed(np.array([1.0, 1.0, 1.0 + 1e-9])) == 6


@pytest.mark.parametrize(("field", "alpha", "power"), [("alpha", 0.0, 0.8), ("power", 0.05, 1.0)])
def test_levels_that_are_none(field: str, alpha: float, power: float):
    with pytest.raises(ParameterError, match=field):
        seeds_needed(np.ones(3), alpha, power)


def tasks(random: np.random.Generator) -> np.ndarray:
    """Ten tasks, SEEDS seeds, four variants: each is better on some tasks, and none on all."""
    level, taste = random.normal(size=(10, 1, 1)), random.normal(size=(10, 1, 4))
    return level + taste + 0.3 * random.normal(size=(10, SEEDS, 4))


def test_seeds_are_no_tasks():
    """Counting seeds as blocks finds differences that are there on these tasks only."""
    random = np.random.default_rng(15)
    by_task = pairs_by_task = by_seed = 0
    for _ in range(REPEATS):
        scores = tasks(random)
        means = np.array([seed_means(task) for task in scores])
        by_task += friedman(block_ranks(means))[2] <= 0.05
        pairs_by_task += np.nanmin(holm_pairs(means)) <= 0.05
        by_seed += friedman(block_ranks(scores.reshape(-1, 4)))[2] <= 0.05
    assert max(by_task, pairs_by_task) <= at_most(0.05, REPEATS)
    assert by_seed >= 0.6 * REPEATS


@pytest.mark.parametrize(("blocks", "variants"), [(3, 3), (5, 3), (4, 6), (12, 5)])
def test_of_few_tasks_none_are_called_too_often(blocks: int, variants: int):
    random = np.random.default_rng(17)
    false = false_nemenyi = 0
    for _ in range(REPEATS):
        ranks = block_ranks(random.normal(size=(blocks, variants)))
        false += friedman(ranks)[2] <= 0.05
        false_nemenyi += np.ptp(ranks.mean(axis=0)) >= critical_difference(blocks, variants)
    assert max(false, false_nemenyi) <= at_most(0.05, REPEATS)


def test_a_difference_on_all_tasks_is_found():
    random = np.random.default_rng(16)
    scores = tasks(random).mean(axis=1) + np.array([0.0, 0.0, 0.0, 3.0])
    found = across_tasks(scores)
    assert found.p_friedman < 0.01
    assert found.mean_ranks.argmax() == 3
    assert all((3 in (duel.first, duel.second)) == (duel.p <= 0.05) for duel in found.duels)
