"""What is concluded of scores, against the same written slowly; and what holds whatever the scores."""

import math
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear
from scipy.stats import norm, studentized_range, t

from hbsim.bench.conclusions import best_probability, conclude, mean_intervals
from hbsim.errors import ParameterError
from tests.profile import examples, thorough

SEEDS = np.arange(100)
SPLIT, PART = (SEEDS // 2) % 10, SEEDS % 2


# The same, slowly


def variances(scores, split, part):
    """Return W, V, the degrees of freedom of W, and those of another draw; V None without halves."""
    k, n = len(scores), len(scores[0])
    cells = {}
    for study in range(n):
        where = (0, 0) if split is None else (int(split[study]), int(part[study]))
        cells.setdefault(where, []).append(study)
    splits = sorted({one for one, _ in cells if (one, 0) in cells and (one, 1) in cells})
    halves = split is not None and len(splits) >= 2 and min(map(len, cells.values())) >= 2
    if not halves:
        cells = {(0, 0): list(range(n))}
    w, b = np.zeros((k, k)), np.zeros((k, k))
    for i, j in combinations(range(k), 2):
        difference = [scores[i][study] - scores[j][study] for study in range(n)]
        means = {at: math.fsum(difference[x] for x in those) / len(those) for at, those in cells.items()}
        squares = [(difference[x] - means[at]) ** 2 for at, those in cells.items() for x in those]
        w[i, j] = w[j, i] = math.fsum(squares) / (n - len(cells))
        if halves:
            b[i, j] = b[j, i] = np.mean([(means[one, 0] - means[one, 1]) ** 2 / 4 for one in splits])
    if not halves:
        return w, None, n - 1, 0
    j = len(splits)
    share = np.mean([(1 / len(cells[one, 0]) + 1 / len(cells[one, 1])) / 4 for one in splits])
    pairs = [(x, y) for x, y in combinations(range(k), 2) if w[x, y] > 1e-20]
    slope = constant = 0.0
    if pairs:
        unit = max(w[at] for at in pairs)
        design = np.array([[1.0, unit / w[at]] for at in pairs])
        target = np.array([(b[at] - share * w[at]) / w[at] for at in pairs])
        found = lsq_linear(design, target, bounds=(0, np.inf), method="bvls", tol=1e-14).x
        slope, constant = found[0], found[1] * unit
    v = np.zeros((k, k))
    for at in [(x, y) for x in range(k) for y in range(k) if x != y]:
        estimate = slope * w[at] + constant if w[at] > 1e-20 else b[at]
        v[at] = estimate + math.sqrt(2 / (j * (k - 1))) * (estimate + share * w[at])
    uneven = 1.0
    for one in {one for one, _ in cells}:
        more = len(cells.get((one, 0), ())) - len(cells.get((one, 1), ()))
        uneven += (more / n) ** 2
    return w, v * uneven, n - len(cells), min(n - len(cells), j * (k - 1))


def ranked(means, error, df, alpha):
    """Return the rank of each variant, by its index."""
    ranks, left = {}, set(range(len(means)))
    while left:
        live = set(left)
        while len(live) > 1:
            best = min(live, key=lambda one: (means[one], one))
            quantile = t.isf(norm.sf(studentized_range.isf(alpha, len(live), np.inf) / math.sqrt(2)), df)
            out = {one for one in live if means[one] - means[best] > quantile * error[one, best]}
            if not out:
                break
            live -= out
        for one in live:
            ranks[one] = 1 + len(means) - len(left)
        left -= live
    return [ranks[one] for one in range(len(means))]


@st.composite
def tables(draw):
    k = draw(st.integers(2, 5))
    n = draw(st.sampled_from([3, 7, 20, 41, 60, 100]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = random.normal(size=(k, 10, 2)) * draw(st.sampled_from([0.0, 0.3, 2.0]))
    seeds = np.arange(n)
    split, part = (seeds // 2) % 10, seeds % 2
    noise = random.normal(size=(k, n)) * random.lognormal(size=(k, 1))
    scores = noise + rows[:, split, part] + draw(st.sampled_from([0.0, 0.5, 5.0])) * np.arange(k)[:, None]
    if draw(st.booleans()):
        scores = scores.round()
    if draw(st.booleans()):
        return scores, None, None
    return scores, split, part


@settings(max_examples=examples(40), deadline=None)
@given(tables())
def test_it_is_what_the_formulas_say(table):
    scores, split, part = table
    found = conclude(scores, split, part)
    w, v, df, df_drawn = variances(scores.tolist(), split, part)
    n, means = scores.shape[1], scores.mean(axis=1)
    np.testing.assert_allclose(found.curves.errors, np.sqrt(w / n), atol=1e-9)
    assert found.curves.df == df
    assert list(found.curves.rank) == ranked(means, found.curves.errors, df, 0.05)
    assert (found.draw is None) == (v is None)
    if v is not None:
        np.testing.assert_allclose(found.draw.errors, np.sqrt(w / n + v), rtol=1e-6, atol=1e-9)
        assert found.draw.df == df_drawn
        assert list(found.draw.rank) == ranked(means, found.draw.errors, df_drawn, 0.05)
    best = found.best
    assert means[best] == means.min()
    for column in filter(None, (found.curves, found.draw)):
        assert column.call[best] == "best"
        for one in range(len(means)):
            worse = column.call[one] == "worse"
            assert worse == (column.rank[one] > 1) == (column.p[one] <= 0.05) == (column.low[one] > 0.0)
        np.testing.assert_allclose(column.difference, means - means[best], atol=1e-12)
        np.testing.assert_allclose((column.low + column.high) / 2, column.difference, atol=1e-9)
    half = t.isf(0.025, n - 1) * scores.std(axis=1, ddof=1) / math.sqrt(n)
    np.testing.assert_allclose(found.high - found.mean, half)


@settings(max_examples=examples(20), deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_orders_and_units_do_not_count(table, random):
    scores, split, part = table
    found = conclude(scores, split, part)
    studies = random.sample(range(scores.shape[1]), scores.shape[1])
    variants = random.sample(range(len(scores)), len(scores))
    halves = (None, None) if split is None else (split[studies], part[studies])
    again = conclude(7.0 * scores[np.ix_(variants, studies)] - 3.0, *halves)
    for one, other in ((found.curves, again.curves), (found.draw, again.draw)):
        if one is not None:
            np.testing.assert_allclose(other.errors, 7.0 * one.errors[np.ix_(variants, variants)], atol=1e-6)
            if len(set(scores.mean(axis=1))) == len(scores):
                assert list(other.rank) == list(one.rank[variants])


# What cannot be told


def test_a_single_variant_and_few_studies_have_no_conclusions_and_say_so():
    for scores, why in (
        (np.ones((1, 9)), "nothing to compare"),
        (np.ones((0, 9)), "nothing to compare"),
        (np.ones((3, 1)), "at least 3 studies of each variant, and there are 1"),
        (np.ones((3, 2)), "at least 3 studies of each variant, and there are 2"),
        (np.ones((3, 0)), "no variant has a score"),
        (np.full((3, 9), np.nan), "no variant has a score"),
    ):
        found = conclude(scores)
        assert found.curves is found.draw is None
        assert why in found.no_curves
        assert found.no_draw == found.no_curves
    assert conclude(np.ones((3, 3))).curves is not None


@pytest.mark.parametrize("studies", [20, 39])
def test_another_draw_takes_two_studies_in_each_half(studies):
    scores = np.random.default_rng(0).normal(size=(3, studies))
    found = conclude(scores, SPLIT[:studies], PART[:studies])
    assert found.draw is None
    assert "2 studies in each half" in found.no_draw
    assert found.curves.df == studies - 1
    scores = np.random.default_rng(0).normal(size=(3, 40))
    assert conclude(scores, SPLIT[:40], PART[:40]).draw.df == 20
    assert "halves" in conclude(scores).no_draw
    one_split = conclude(scores, np.zeros(40, int), PART[:40])
    assert "2 splits" in one_split.no_draw


def test_identical_variants_share_their_rank_and_constant_scores_are_told_apart():
    random = np.random.default_rng(1)
    one = random.normal(size=100)
    found = conclude(np.stack((one, one, one + 0.5, one + 0.9 + random.normal(size=100))), SPLIT, PART)
    assert found.curves.call[:3] == ("best", "not told apart", "worse")
    assert (found.curves.error[1], found.curves.p[1], found.curves.p[2]) == (0.0, 1.0, 0.0)
    assert found.curves.rank.tolist() == [1, 1, found.curves.rank[2], found.curves.rank[3]]
    constant = conclude(np.repeat([[1.0], [1.0], [2.0]], 50, axis=1), SPLIT[:50], PART[:50])
    for column in (constant.curves, constant.draw):
        assert column.rank.tolist() == [1, 1, 3]
        assert column.call == ("best", "not told apart", "worse")
    assert (constant.low == constant.mean).all()


def test_where_rows_alone_differ_another_draw_is_not_told_apart():
    effects = np.random.default_rng(3).normal(size=(2, 10)) * [[0.0], [1.0]]
    scores = 0.3 * np.ones((2, 100)) * [[0.0], [1.0]] + effects[:, SPLIT] * (1 - 2 * PART)
    found = conclude(scores, SPLIT, PART)
    assert found.curves.call == ("best", "worse")  # no difference between seeds of a half
    assert found.draw.call == ("best", "not told apart")
    assert found.draw.seeds_needed[1] == np.inf
    assert found.draw.rows_factor[1] > 1


def test_missing_scores_are_the_median_configurations_or_the_worst():
    scores = np.random.default_rng(4).normal(size=(3, 50))
    scores[1, :5], scores[2, :6] = np.nan, np.inf  # one in ten; and more
    found = conclude(scores, median=2.0)
    assert found.missing.tolist() == [0, 5, 6]
    assert found.curves.call[2] == "no score"
    assert found.curves.rank[2] == 3
    assert np.isnan([found.mean[2], found.curves.difference[2], found.curves.p[2]]).all()
    filled = np.where(np.isfinite(scores), scores, 2.0)[:2]
    expected = conclude(filled)
    assert found.mean[:2].tolist() == expected.mean.tolist()
    assert found.curves.p[:2].tolist() == expected.curves.p.tolist()
    worst = np.where(np.isfinite(scores), scores, scores[:2][np.isfinite(scores[:2])].max())[:2]
    assert conclude(scores).mean[:2].tolist() == worst.mean(axis=1).tolist()
    nobody = np.append(scores, np.full((3, 4), np.nan), axis=1)
    assert conclude(nobody, median=2.0).studies == 50
    alone = conclude(np.array([[1.0, 2.0, 3.0], [np.nan] * 3]))
    assert alone.curves.call == ("best", "no score")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"scores": np.ones(3)}, "scores"),
        ({"split": SPLIT[:9]}, "part"),
        ({"split": SPLIT[:8], "part": PART[:8]}, "split"),
        ({"split": SPLIT[:9], "part": PART[:9] + 1}, "part"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"matters": 0.0}, "matters"),
        ({"matters": math.inf}, "matters"),
    ],
)
def test_a_bad_request_is_one_error(options, field):
    with pytest.raises(ParameterError) as error:
        conclude(**{"scores": np.ones((2, 9)), **options})
    assert error.value.field == field


# What it says


def test_what_matters_splits_the_probability():
    scores = np.random.default_rng(5).normal(size=(3, 60)) + np.array([[0.0], [0.1], [3.0]])
    found = conclude(scores, matters=0.5)
    column = found.curves
    np.testing.assert_allclose(column.better + column.same + column.worse, 1.0)
    assert column.same[found.best] == 1.0
    assert column.worse[2] > 0.99
    for one in {0, 1, 2} - {found.best}:
        upper = t.sf((0.5 - column.difference[one]) / column.error[one], 59)
        assert column.worse[one] == pytest.approx(upper)
    assert conclude(scores).curves.same is None


def test_with_the_studies_that_it_names_the_difference_is_found():
    random = np.random.default_rng(6)

    def judged(studies):
        return conclude(random.normal(size=(2, studies)) + np.array([[0.0], [0.4]])).curves

    needed = int(np.median([judged(400).seeds_needed[1] for _ in range(9)]))
    assert 70 < needed < 140
    assert 0.7 < np.mean([judged(needed).call[1] == "worse" for _ in range(200)]) < 0.9


def test_the_probability_of_being_best_is_how_often_it_is():
    random = np.random.default_rng(7)
    level = np.array([0.0, 0.1, 3.0, 0.0])[:, None, None]
    scores = random.normal(size=(4, 60, 3)) + level * [0.0, 1.0, 1.0]
    scores[:, :, 2] = np.nan
    scores[0, :10, 1] = np.nan  # no score
    found = best_probability(scores)
    np.testing.assert_allclose(found[:, :2].sum(axis=0), 1.0)
    assert np.isnan(found[:, 2]).all()
    assert found[0, 1] == 0.0
    assert found[2, 1] < 0.001
    means, errors = scores[[1, 3], :, 1].mean(axis=1), conclude(scores[[1, 3], :, 1]).curves.error.max()
    assert found[1, 1] == pytest.approx(t.cdf((means[1] - means[0]) / errors, 59), abs=0.05)
    twins = np.repeat(scores[1:2, :, 1:2], 2, axis=0)
    assert best_probability(twins)[:, 0].tolist() == [0.5, 0.5]
    assert (best_probability(scores)[:, :2] == found[:, :2]).all()
    assert np.isnan(best_probability(scores[:, :2])).all()


def test_halves_make_the_best_less_certain():
    random = np.random.default_rng(8)
    rows = random.normal(size=(2, 10))[:, SPLIT] * (1 - 2 * PART)
    scores = (random.normal(size=(2, 100)) + np.array([[0.0], [0.4]]) + rows)[:, :, None]
    sure, unsure = best_probability(scores), best_probability(scores, SPLIT, PART)
    assert 0.5 < unsure[0, 0] < sure[0, 0] - 0.05


@pytest.mark.parametrize(
    ("shape", "k"),
    [
        ("tied", 8),
        *(pytest.param(shape, k, marks=thorough) for shape in ("normal", "lognormal") for k in (2, 8)),
    ],
)
def test_of_equal_variants_few_are_called_worse(shape, k):
    random = np.random.default_rng(k)
    curves = draw = few = 0
    for _ in range(200):
        scores = getattr(random, "lognormal" if shape == "lognormal" else "normal")(size=(k, 100))
        scores = scores.round() if shape == "tied" else scores
        found = conclude(scores, SPLIT, PART)
        curves, draw = curves + ("worse" in found.curves.call), draw + ("worse" in found.draw.call)
        few += "worse" in conclude(scores[:, :10]).curves.call
    assert max(curves, few) <= 0.05 * 200 + 3 * math.sqrt(200 * 0.05 * 0.95)
    assert draw <= 0.05 * 200


@pytest.mark.parametrize("k", [2, pytest.param(8, marks=thorough)])
def test_where_the_rows_of_a_table_differ_few_are_called_worse_on_another_draw(k):
    random = np.random.default_rng(k)
    curves = draw = 0
    for _ in range(200):
        rows, means = random.normal(size=(k, 200)), np.empty((k, 10, 2))
        for split in range(10):
            means[:, split] = rows[:, random.permutation(200).reshape(2, -1)].mean(axis=2)
        found = conclude(3.0 * means[:, SPLIT, PART] + random.normal(size=(k, 100)), SPLIT, PART)
        curves, draw = curves + ("worse" in found.curves.call), draw + ("worse" in found.draw.call)
    assert curves > 0.25 * 200  # why there are two columns
    assert draw <= 0.05 * 200 + 3 * math.sqrt(200 * 0.05 * 0.95)


def test_means_have_students_intervals():
    data = np.random.default_rng(9).normal(size=(4, 20))
    data[1, :2], data[2, :3] = np.nan, np.nan
    mean, low, high = mean_intervals(data)
    kept = data[1, 2:]
    assert mean[1] == pytest.approx(kept.mean())
    assert high[1] - mean[1] == pytest.approx(t.isf(0.025, 17) * kept.std(ddof=1) / math.sqrt(18))
    assert np.isnan([mean[2], low[2], high[2]]).all()  # more than one in ten are missing
    one, none, _ = mean_intervals(np.array([3.0]))
    assert one == 3.0
    assert np.isnan(none)
    assert np.isnan(mean_intervals(np.empty((2, 0)))[0]).all()
    held = [low <= 0.0 <= high for _, low, high in (mean_intervals(row) for row in data[[0, 3]])]
    assert all(held)


def test_importing_it_loads_no_statistics_library():
    code = "import sys; from hbsim.bench import conclusions, over_tasks, targets; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"scipy", "statsmodels", "scikit_posthocs", "pandas"}
