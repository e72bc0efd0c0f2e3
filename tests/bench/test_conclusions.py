"""What is concluded of scores, against the same written slowly; and what holds whatever the scores."""

import math
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear
from scipy.stats import norm, studentized_range, t

from hbsim.bench.conclusions import conclude

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


@settings(max_examples=40, deadline=None)
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
        assert found.answer is found.draw
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


@settings(max_examples=20, deadline=None)
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
